"""
Staging that ends in the middle leaves nothing: what it was about to put into the store is written down first.

``releases/<pipeline>/.unfinished.json`` names the version directories that were not there before. It goes when the
receipt knows them; whoever finds it takes out what it names, unless some receipt or ensemble has come to need it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sextant.errors import ReceiptError, SextantError
from sextant_export.evidence import proof_path
from sextant_export.receipt import pipelines, read_receipt, receipt_path, releases
from sextant_export.store import Store, sync, writing

Pin = tuple[str, int]
NOTE = ".unfinished.json"


@contextmanager
def all_or_none(store: Store, pipeline: str, release: int, pins: Iterable[Pin]) -> Iterator[None]:
    """Put the versions *pins* of *release* into *store*, all with the receipt that knows them, or none."""
    new = [(model, version) for model, version in pins if not (store.models / model / str(version)).is_dir()]
    path = _path(store, pipeline)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"release": release, "versions": new}), encoding="utf-8")
        sync(path)
    try:
        yield
    except BaseException:
        with suppress(SextantError):
            clear_unfinished(store, pipeline)
        raise
    with writing(path):
        path.unlink()


def clear_unfinished(store: Store, pipeline: str) -> None:
    """Take out what an interrupted staging of *pipeline* left; nobody else writes the store meanwhile."""
    with writing(store.releases):
        for left in (store.releases / pipeline).glob(".r*.partial"):
            left.unlink()
    path = _path(store, pipeline)
    if not path.is_file():
        return
    release, pins = _read(path)
    if release is not None and not receipt_path(store, pipeline, release).is_file():
        with writing(path):
            proof_path(store, pipeline, release).unlink(missing_ok=True)
        _take_out(store, pins)
    with writing(path):
        path.unlink()


def unfinished(store: Store) -> set[Pin]:
    """The versions that some staging was about to put into *store*: it is under way, or was killed."""
    notes = (_read(path) for path in store.releases.glob(f"*/{NOTE}"))
    return {pin for _, pins in notes for pin in pins}


def _take_out(store: Store, pins: list[Pin]) -> None:
    needed = {(model, version) for model, versions in store.pinned().items() for version in versions}
    needed |= _known(store)
    for model, version in pins:
        if (model, version) not in needed:
            _remove(store, model, version)


def _remove(store: Store, model: str, version: int) -> None:
    configs, others = store.twins(model), store.versions(model) - {version}
    if configs is None or not others:
        store.remove(model)
        return
    store.write_configs(configs.with_versions(configs.versions - {version} or {max(others)}))
    store.remove_version(model, version)


def _known(store: Store) -> set[Pin]:
    """The versions that a receipt names, of any pipeline; of one that was edited nobody knows what it names."""
    known: set[Pin] = set()
    for pipeline in pipelines(store):
        for release in releases(store, pipeline):
            with suppress(ReceiptError):
                known |= {*read_receipt(store, pipeline, release).models}
    return known


def _read(path: Path) -> tuple[int | None, list[Pin]]:
    """What the note says; one that was cut off was written before anything was staged."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return int(said["release"]), [(str(model), int(version)) for model, version in said["versions"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None, []


def _path(store: Store, pipeline: str) -> Path:
    return store.releases / pipeline / NOTE
