"""
What MLflow is told of a release: four tags on each member's version, and the receipt beside its run's artifacts.

=====================  ==========================================  ====================================================
tag                    example                                     means
=====================  ==========================================  ====================================================
``sextant.serving``    ``true``                                    whether some pipeline serves this version
``sextant.release``    ``locate.r3``                               the releases that serve it; of one that serves no
                                                                   more, the last that did
``sextant.pipeline``   ``locate``                                  the pipelines of these releases
``sextant.proof``      ``|delta| 3.1e-06, tolerance 1e-04, ...``   how its copy was proven
=====================  ==========================================  ====================================================

Tags belong to a version, and several pipelines may serve one: then both lists hold them all, sorted, with commas.
Nothing else of the registry is touched. It serves already when this is written, so that what fails here is a sentence,
and no error: a registry that is read-only to us is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

from sextant.errors import SextantError
from sextant_export.journal import TOLD, note
from sextant_export.mlflow_calls import mlflow_calls
from sextant_export.model_uri import ModelUri
from sextant_export.receipt import Receipt, seal
from sextant_export.registry import Registry
from sextant_export.store import Store

SERVING, RELEASE, PIPELINE, PROOF = "sextant.serving", "sextant.release", "sextant.pipeline", "sextant.proof"


def record(store: Store, registry: Registry, receipt: Receipt, replaced: Receipt | None) -> tuple[str, ...]:
    """
    Tell MLflow that *receipt*'s release serves, and no other of its pipeline; gives a warning for what failed.

    Recording twice changes nothing. When nothing failed, the journal in *store* says so; what did not reach MLflow is
    told again by whoever comes next. *replaced* is the release before, which may be of other models.
    """
    tagged = _told(registry, lambda client: _tag(client, receipt, replaced))
    logged = _told(registry, lambda client: _log(client, receipt))
    warnings = {"its versions are not tagged": tagged, "its receipt is not among their runs' artifacts": logged}
    if not (tagged or logged):
        with suppress(SextantError):
            note(store, receipt.pipeline, TOLD, receipt.release)
    elif tagged == logged:
        warnings = {"neither by tags nor by its receipt": tagged}
    return tuple(f"MLflow was not told of {receipt.name}, {what}: {why}" for what, why in warnings.items() if why)


def record_removal(registry: Registry, receipts: Iterable[Receipt]) -> tuple[str, ...]:
    """Tell MLflow that the pipeline of *receipts* serves none of their members' versions any more."""
    models = {(receipt.pipeline, model) for receipt in receipts for model, _ in map(_version, _members(receipt))}
    said = {_told(registry, partial(_serve_no_more, pipeline=of, model=model)) for of, model in sorted(models)}
    return tuple(f"MLflow was not told that they serve no more: {why}" for why in sorted(filter(None, said)))


def releases_after(tag: str, *, serving: bool, pipeline: str, release: str | None) -> tuple[str, ...]:
    """
    The releases that serve a version, once *pipeline* serves it as *release*, or, where that is None, no more.

    *tag* is what ``sextant.release`` said before, and *serving* whether these did serve.

    >>> releases_after("find.r7,locate.r2", serving=True, pipeline="locate", release="locate.r3")
    ('find.r7', 'locate.r3')
    >>> releases_after("locate.r2", serving=True, pipeline="locate", release=None)
    ()
    """
    there = filter(None, tag.split(",")) if serving else ()
    others = {each for each in there if _pipeline(each) != pipeline}
    return tuple(sorted(others | ({release} if release else set())))


def _told(registry: Registry, tell: Callable[[Any], None]) -> str | None:
    """What stood in the way of telling MLflow, if anything did."""
    try:
        with mlflow_calls(registry.tracking_uri) as mlflow:
            tell(mlflow.MlflowClient(registry.tracking_uri, registry_uri=registry.tracking_uri))
    except Exception as error:  # noqa: BLE001  whatever it is, the release serves
        return " ".join(str(error).split())[:300] or type(error).__name__
    return None


def _tag(client: Any, receipt: Receipt, replaced: Receipt | None) -> None:
    served = {_version(member): (name, member) for name, member in receipt.members.items()}
    for version, (name, member) in served.items():
        _serves(client, version, receipt)
        _set(client, version, {PROOF: proof_words(member["proof"], receipt.proof.get(name))})
    for model in sorted({_version(member)[0] for each in (receipt, replaced) if each for member in _members(each)}):
        _serve_no_more(client, receipt.pipeline, model, besides=served.keys())


def _serve_no_more(client: Any, pipeline: str, model: str, besides: Collection[tuple[str, str]] = ()) -> None:
    """Every version of *model* that *pipeline* is said to serve, also one of a release that nobody was told of."""
    for version in client.search_model_versions(f"name='{model}'"):
        found = str(version.name), str(version.version)
        named = map(_pipeline, version.tags.get(RELEASE, "").split(","))
        if found not in besides and version.tags.get(SERVING) == "true" and pipeline in named:
            _serves_no_more(client, found, pipeline)


def _serves(client: Any, version: tuple[str, str], receipt: Receipt) -> None:
    tag, serving = _said(client, version)
    _list(client, version, releases_after(tag, serving=serving, pipeline=receipt.pipeline, release=receipt.name))
    _set(client, version, {SERVING: "true"})


def _serves_no_more(client: Any, version: tuple[str, str], pipeline: str) -> None:
    """The last release to serve it stays named: who reads the version later sees what it was in."""
    tag, serving = _said(client, version)
    left = releases_after(tag, serving=serving, pipeline=pipeline, release=None)
    if left:
        _list(client, version, left)
    else:
        _set(client, version, {SERVING: "false"})


def _said(client: Any, version: tuple[str, str]) -> tuple[str, bool]:
    tags = client.get_model_version(*version).tags
    return tags.get(RELEASE, ""), tags.get(SERVING) == "true"


def _list(client: Any, version: tuple[str, str], releases: tuple[str, ...]) -> None:
    pipelines = sorted({_pipeline(release) for release in releases})
    _set(client, version, {RELEASE: ",".join(releases), PIPELINE: ",".join(pipelines)})


def _set(client: Any, version: tuple[str, str], tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        client.set_model_version_tag(*version, key, value)


def _log(client: Any, receipt: Receipt) -> None:
    """Once for each run; a version that was registered without one has nowhere to put it."""
    runs = sorted({run for member in receipt.members.values() if (run := member.get("run_id"))})
    content = json.loads(json.dumps(asdict(receipt)))
    text = json.dumps({**content, "seal": seal(content)}, indent=2)
    for run in runs:
        client.log_text(run, text, f"sextant/{receipt.pipeline}/r{receipt.release}.json")


def proof_words(exported: Mapping[str, Any], served: Mapping[str, Any] | None) -> str:
    """
    A proof in one line: of the copy as exported, then of what Triton answered, where it was asked.

    >>> exported = {"rows": 256, "max_abs_delta": 3.1e-6, "tolerance": 1e-4}
    >>> proof_words(exported, {"max_abs_delta": 4e-6})
    '|delta| 3.1e-06 over 256 rows, tolerance 1.0e-04; through Triton 4.0e-06'
    """
    words = (
        f"|delta| {exported['max_abs_delta']:.1e} over {exported['rows']} rows, tolerance {exported['tolerance']:.1e}"
    )
    return f"{words}; through Triton {served['max_abs_delta']:.1e}" if served else words


def _members(receipt: Receipt) -> Iterable[Mapping[str, Any]]:
    return receipt.members.values()


def _version(member: Mapping[str, Any]) -> tuple[str, str]:
    uri = ModelUri.parse(member["uri"])
    return str(uri.name), str(uri.version)


def _pipeline(release: str) -> str:
    return release.rpartition(".r")[0]
