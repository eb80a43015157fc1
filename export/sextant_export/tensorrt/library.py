"""Which TensorRT there is: the one whose plans Triton loads, or its sister RTX, which compiles on a CPU."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from sextant.errors import ConversionError, MissingExtra
from sextant_export.tensorrt.gpu import compute_capability

DEFAULT = "tensorrt"
_EXTRAS = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}
_STRONG_TYPES = (10, 12)


@dataclass(frozen=True)
class Library:
    """The Python module *api*, and where it says what goes wrong: *log* grows while it works."""

    api: ModuleType
    log: Any = field(repr=False)

    @property
    def name(self) -> str:
        """``tensorrt`` or ``tensorrt_rtx``."""
        return self.api.__name__

    @property
    def version(self) -> str:
        """Plans are loaded by this version alone, unless built otherwise."""
        return str(self.api.__version__)

    @property
    def compiles(self) -> tuple[str, ...]:
        """The compute capabilities that it compiles for on any machine; the full library has none of these."""
        known = getattr(self.api, "ComputeCapability", None)
        names = (name for name in dir(known) if name.startswith("SM")) if known else ()
        return tuple(f"{name[2:-1]}.{name[-1]}" for name in sorted(names, key=lambda name: int(name[2:])))

    def targets(self, asked: tuple[str, ...]) -> tuple[str, ...]:
        """The compute capabilities to build for: those *asked*, or that of the GPU at hand; ConversionError if none."""
        here = compute_capability()
        wanted = asked or ((here,) if here else ())
        if not wanted:
            raise ConversionError(
                f'{self.name} finds no GPU to build for: write tensorrt.compute_capabilities, like ["8.9"]'
                if self.compiles
                else f"{self.name} builds plans on a GPU alone, and there is none here: export on the GPU host "
                "(docs/tensorrt.md), or write `target: onnx`"
            )
        can = self.compiles or ((here,) if here else ())
        if other := [capability for capability in wanted if capability not in can]:
            raise ConversionError(_cannot(self, other, can))
        return wanted


def open_library(name: str = DEFAULT) -> Library:
    """The library *name*; MissingExtra says what to type where it is not installed."""
    try:
        api = importlib.import_module(name)
    except ImportError as error:
        purpose = "building TensorRT plans (`docker compose run export` has it, see docs/tensorrt.md)"
        raise MissingExtra(_EXTRAS[name], purpose) from error
    if name == DEFAULT and _numbers(api.__version__) < _STRONG_TYPES:
        raise ConversionError(f"tensorrt {api.__version__} is too old: expected 10.12 or newer")
    return Library(api, _log(api))


def _log(api: ModuleType) -> Any:
    """TensorRT's words as a list: it prints errors, and says only that it failed."""

    class Log(api.ILogger):  # type: ignore[misc,name-defined]  # a class of a module that is found at run time
        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= api.ILogger.Severity.ERROR:
                self.errors.append(message)

    return Log()


def _cannot(library: Library, other: list[str], can: tuple[str, ...]) -> str:
    if library.compiles:
        return f"{library.name} {library.version} compiles for {', '.join(can)}, not for {', '.join(other)}"
    here = f"a GPU of {can[0]} is at hand" if can else "there is no GPU here"
    return (
        f"{library.name} builds for the GPU at hand alone, {here}, and {', '.join(other)} is asked for: export on a "
        "host with such a GPU into the same store; plans that are there already are kept"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
