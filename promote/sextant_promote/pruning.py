"""
Pruning: releases that nobody will go back to give their room back; their receipts stay, as history.

A release is kept where it serves, where it is what the serving one replaced, where its ensemble stands in the store or
is loaded by a server, where a canary tries it, and where it is among the newest that served. Everything that a kept
release of any pipeline is wired to stays with it.

The steps are in the order that lets a crash come at any time. The journal says first what is pruned, so that nobody
goes back to half a release; policies are narrowed and loaded before a version directory goes; the same command ends
what was interrupted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sextant.errors import LoadFailed, ReceiptError
from sextant_export.evidence import proof_path
from sextant_export.journal import PRUNED, REMOVED, note, pruned
from sextant_export.receipt import Receipt, pipelines, read_receipt, releases
from sextant_export.store import Store, writing
from sextant_export.unfinished import clear_unfinished
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet
from sextant_promote.lease import lease
from sextant_promote.removal import require_known
from sextant_promote.retention import present_releases, wanted

KEEP, ATTEMPTS = 3, 5
Pin = tuple[str, int]
"""A model and one of its versions, as an ensemble names them."""
Book = Mapping[int, Receipt]
"""The receipts of one pipeline by their numbers."""


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """
    What goes of each pipeline's *releases*, and what stays (*kept*), by number.

    *versions* are the version directories that go, by model and number, *models* those models of which none is left,
    *evidence* the files that the proofs rested on; together they hold *size* bytes.
    """

    releases: Mapping[str, tuple[int, ...]]
    kept: Mapping[str, tuple[int, ...]]
    versions: tuple[Pin, ...]
    models: tuple[str, ...]
    evidence: tuple[Path, ...]
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"evidence": [str(path) for path in self.evidence]}


def plan_pruning(
    store: Store, pipeline: str | None = None, *, keep: int = KEEP, fleet: Fleet | Control | None = None
) -> Pruning:
    """
    What :func:`prune` would take out of *store*; writes nothing.

    Of *pipeline*, or of all, the newest *keep* releases that served are kept beside those that must be. Without a
    *fleet* nobody is asked what is loaded.
    """
    asked = _asked(store, pipeline)
    books = {name: _receipts(store, name) for name in {*pipelines(store), *asked}}
    servers = [] if fleet is None else [server.control for server in Fleet.of(store, fleet).servers]
    kept = {name: _kept(store, name, books[name], keep, servers) for name in asked}
    needed = _needed(store, books, {name: _open(store, name, book) for name, book in books.items()} | kept)
    gone = {name: _gone(store, name, books[name], kept[name], needed) for name in asked}
    versions = sorted({pin for name in asked for n in gone[name] for pin in _alone(store, books[name][n], needed)})
    evidence = [path for name in asked for n in gone[name] if (path := proof_path(store, name, n)).is_file()]
    return Pruning(
        releases={name: tuple(sorted(numbers)) for name, numbers in gone.items()},
        kept={name: tuple(sorted(numbers)) for name, numbers in kept.items()},
        versions=tuple(versions),
        models=tuple(_emptied(store, versions)),
        evidence=tuple(evidence),
        size=sum(map(_size, [*(store.models / model / str(version) for model, version in versions), *evidence])),
    )


def prune(
    store: Store, pipeline: str | None = None, *, keep: int = KEEP, fleet: Fleet | Control | None = None
) -> Pruning:
    """
    Take out of *store* what :func:`plan_pruning` says, once no policy names it and no server of *fleet* serves it.

    ``LeaseHeld`` where one of the pipelines is at work, ``LoadFailed`` where a server does not let go of a version;
    what serves goes on serving in both cases.
    """
    asked = _asked(store.prepare(), pipeline)
    controlled = None if fleet is None else Fleet.of(store, fleet)
    if controlled is not None:
        controlled.require_live()
    with ExitStack() as held:
        for name in asked:
            held.enter_context(lease(store, name))
        held.enter_context(store.alone())
        for name in asked:
            clear_unfinished(store, name)
        planned = plan_pruning(store, pipeline, keep=keep, fleet=controlled)
        _note(store, planned)
        _take_out(store, planned, controlled)
    return planned


def _asked(store: Store, pipeline: str | None) -> list[str]:
    if pipeline is None:
        return pipelines(store)
    require_known(store, pipeline)
    return [pipeline]


def _kept(store: Store, pipeline: str, book: Book, keep: int, servers: Sequence[Control]) -> set[int]:
    must = wanted(store, pipeline) | present_releases(store, pipeline) | _loaded(pipeline, servers)
    gone = pruned(store, pipeline)
    fit = {number for number, receipt in book.items() if receipt.outcome == "served"} - gone
    return {*must, *sorted(fit, reverse=True)[:keep]} - gone


def _loaded(pipeline: str, servers: Sequence[Control]) -> set[int]:
    """The releases that some server has loaded, or whose front it serves."""
    name = re.compile(rf"{re.escape(pipeline)}\.r(\d+)")
    ready = {model for server in servers for model, versions in server.ready().items() if versions}
    fronts = {server.release(pipeline) for server in servers}
    return {int(match[1]) for match in map(name.fullmatch, ready) if match} | {front for front in fronts if front}


def _open(store: Store, pipeline: str, book: Book) -> set[int]:
    """All releases of a pipeline that may be served or gone back to: they stay where it was not asked about."""
    return {n for n, receipt in book.items() if receipt.outcome not in {"refused", REMOVED}} - pruned(store, pipeline)


def _needed(store: Store, books: Mapping[str, Book], kept: Mapping[str, set[int]]) -> set[Pin]:
    """What the ensembles in the store are wired to, and what the *kept* releases would be."""
    pinned = {(model, version) for model, versions in store.pinned().items() for version in versions}
    receipts = (books[name][number] for name, numbers in kept.items() for number in numbers & books[name].keys())
    return pinned | {pin for receipt in receipts for pin in receipt.models}


def _gone(store: Store, pipeline: str, book: Book, kept: set[int], needed: set[Pin]) -> set[int]:
    """What is not *kept*, and was not pruned before with nothing left of it."""
    before = pruned(store, pipeline)
    return {n for n in book.keys() - kept if n not in before or _left(store, book[n], needed)}


def _left(store: Store, receipt: Receipt, needed: set[Pin]) -> bool:
    return bool(_alone(store, receipt, needed)) or proof_path(store, receipt.pipeline, receipt.release).is_file()


def _alone(store: Store, receipt: Receipt, needed: set[Pin]) -> set[Pin]:
    """The version directories in the store that nothing but releases like this one needs."""
    return {(m, v) for m, v in receipt.models if (m, v) not in needed and (store.models / m / str(v)).is_dir()}


def _receipts(store: Store, pipeline: str) -> Book:
    """Those that can be read, by number: of an edited one nobody knows what it is wired to."""
    book = {}
    for number in releases(store, pipeline):
        with suppress(ReceiptError):
            book[number] = read_receipt(store, pipeline, number)
    return book


def _emptied(store: Store, versions: Sequence[Pin]) -> list[str]:
    models = {model: {v for name, v in versions if name == model} for model, _ in versions}
    return [model for model, gone in models.items() if gone >= store.versions(model)]


def _size(place: Path) -> int:
    files = [place] if place.is_file() else place.rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())


def _note(store: Store, planned: Pruning) -> None:
    for pipeline, numbers in planned.releases.items():
        for number in sorted({*numbers} - pruned(store, pipeline)):
            note(store, pipeline, PRUNED, number)


def _take_out(store: Store, planned: Pruning, fleet: Fleet | None) -> None:
    for model in dict.fromkeys(model for model, _ in planned.versions):
        if model in planned.models:
            _remove(store, model, fleet)
        else:
            gone = {version for name, version in planned.versions if name == model}
            _let_go(store, model, gone, fleet)
            for version in sorted(gone):
                store.remove_version(model, version)
    for path in planned.evidence:
        with writing(path):
            path.unlink(missing_ok=True)
    if fleet is not None:
        fleet.align()


def _remove(store: Store, model: str, fleet: Fleet | None) -> None:
    if fleet is not None:
        fleet.unload(model)
    store.remove(model)


def _let_go(store: Store, model: str, gone: set[int], fleet: Fleet | None) -> None:
    """
    Narrow the policy of *model* to what stays, and have it loaded where it is.

    A load may have to be repeated with a newer time stamp, as that of a front.
    """
    configs = store.twins(model)
    if configs is not None:
        store.write_configs(configs.with_versions(configs.versions - gone or {max(store.versions(model) - gone)}))
    if fleet is None or not _serving(fleet, model):
        return
    for _ in range(ATTEMPTS):
        fleet.load(model)
        if not _serving(fleet, model) & gone:
            return
        fleet.touch(model)
    raise LoadFailed(f"{model} was loaded again and again but still serves {sorted(gone)}: see the server's log")


def _serving(fleet: Fleet, model: str) -> set[int]:
    """The versions of *model* that any server serves."""
    return {version for server in fleet.servers for version in server.control.ready().get(model, set())}
