"""
MLflow flavours that become ONNX: one file each, found by the entry points of ``sextant.converters``.

The entry's name is the flavour, and its module has ``convert(artifact, signature) -> ModelProto``.  Three more words
are optional: ``original(artifact)``, the flavour's own answers by the name of the graph's output, where they are more
than MLflow's predict gives; ``known_rows(artifact)``, rows of the graph's inputs where the logged example holds none;
``EXACTNESS``: of a model saved in several flavours the one with the highest is tried first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import onnx

from sextant.errors import ConversionError, SextantError
from sextant_export.original import Original, first_line, pyfunc_original
from sextant_export.problem import guess
from sextant_export.registry import Artifact, RegisteredVersion
from sextant_export.signature import Feed

__all__ = ["PYFUNC", "Conversion", "Source", "convert", "converters", "require_flavor", "source"]

GROUP = "sextant.converters"
PYFUNC = "python_function"
"""The flavour that is no conversion: the model's own Python."""
FLAVOR = "sextant.flavor"
"""Under this key a graph says which flavour it was made of."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a graph is made of: a *flavor*, how to open its *original*, and rows that its graph is known to take."""

    flavor: str
    original: Callable[[], Original] = field(repr=False)
    known_rows: Callable[[], Feed | None] = field(repr=False, default=lambda: None)


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """
    The graph *model* and its *source*; *refused* are flavours that were tried before, with why.

    Where the weights of *model* lie outside it, they lie in the artifact's folder.
    """

    model: onnx.ModelProto = field(repr=False)
    source: Source
    refused: Mapping[str, str] = field(default_factory=dict)


def converters() -> Mapping[str, EntryPoint]:
    """Every converter that is installed, by the flavour it converts."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def convert(artifact: Artifact, flavor: str | None = None, refused: Mapping[str, str] | None = None) -> Conversion:
    """
    *artifact* as an ONNX graph, of *flavor* alone or of the most exact flavour that can be converted.

    Flavours that were *refused* before are not tried again. ``ConversionError`` says for each flavour why it cannot.
    """
    candidates, unloadable = _candidates(artifact, flavor)
    told = {**unloadable, **(refused or {})}
    for name, converter in candidates:
        if name in told:
            continue
        try:
            model = _graph(artifact, name, converter)
        except ConversionError as error:
            told[name] = str(error)
            continue
        model.metadata_props.add(key=FLAVOR, value=name)
        return Conversion(model=model, source=_source(artifact, name, converter), refused=told)
    raise ConversionError(_sentence(artifact, told))


def source(artifact: Artifact, model: onnx.ModelProto) -> Source:
    """What the graph *model*, converted before from *artifact*, was made of; ConversionError where none can say."""
    said = {entry.key: entry.value for entry in model.metadata_props}
    candidates, unloadable = _candidates(artifact, said.get(FLAVOR))
    if not candidates:
        made_of = said.get(FLAVOR, "a flavour it does not name")
        why = "; ".join(unloadable.values()) or "its converter is not installed any more: install it again"
        raise ConversionError(f"the copy of {artifact.version} in the store was made of {made_of}, and {why}")
    return _source(artifact, *candidates[0])


def _graph(artifact: Artifact, flavor: str, converter: Any) -> onnx.ModelProto:
    """What *converter* makes; whatever it raises that is no word of ours is why it cannot."""
    try:
        model = converter.convert(artifact, artifact.signature)
    except SextantError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise ConversionError(f"{artifact.version}: the converter of {flavor} failed: {said}") from error
    if not isinstance(model, onnx.ModelProto):
        came = type(model).__name__
        raise ConversionError(f"{artifact.version}: the converter of {flavor} gave a {came}, expected an ONNX graph")
    return model


def _source(artifact: Artifact, flavor: str, converter: Any) -> Source:
    original = getattr(converter, "original", pyfunc_original)
    known_rows = getattr(converter, "known_rows", lambda _: None)
    return Source(flavor=flavor, original=partial(original, artifact), known_rows=partial(known_rows, artifact))


def _candidates(artifact: Artifact, flavor: str | None) -> tuple[list[tuple[str, Any]], dict[str, str]]:
    """The converters to try, most exact first, and why the others cannot be loaded."""
    known = converters()
    wanted = _wanted(artifact, flavor) if flavor else artifact.flavors
    loaded = {name: _loaded(known[name]) for name in wanted if name in known}
    unloadable = {name: module for name, module in loaded.items() if isinstance(module, str)}
    modules = [pair for pair in loaded.items() if pair[0] not in unloadable]
    return sorted(modules, key=lambda pair: (-getattr(pair[1], "EXACTNESS", 50), pair[0])), unloadable


def _loaded(entry: EntryPoint) -> Any:
    """The module of a converter, which may be anybody's; in words why there is none, where it breaks at import."""
    try:
        return entry.load()
    except SextantError:
        raise
    except Exception as error:  # noqa: BLE001 - somebody else's module
        return f"the converter of {entry.name} cannot be loaded: {type(error).__name__}: {first_line(error)}"


def require_flavor(version: RegisteredVersion, flavor: str) -> None:
    """Raise ``ConversionError``, with a guess, where *version* was not saved in *flavor*."""
    if flavor not in version.flavors:
        saved = guess(flavor, version.flavors) or f"; it was saved as {', '.join(sorted(version.flavors))}"
        raise ConversionError(f"{version} was not saved as {flavor}{saved}")


def _wanted(artifact: Artifact, flavor: str) -> list[str]:
    require_flavor(artifact.version, flavor)
    return [flavor]


def _sentence(artifact: Artifact, refused: Mapping[str, str]) -> str:
    if refused:
        return "; ".join(refused.values())
    saved, known = ", ".join(sorted(artifact.flavors)), ", ".join(sorted(converters()))
    return (
        f"{artifact.version} was saved as {saved}, and converted are {known}: "
        "export it to ONNX and log it with mlflow.onnx.log_model"
    )
