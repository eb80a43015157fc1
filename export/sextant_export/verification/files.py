"""Every file of ``models/``: whole, where it belongs, and nothing beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sextant_export.receipt import receipt_path
from sextant_export.seals import CHANGED, DO, MISSING, UNEXPECTED, faults
from sextant_export.store import CONFIG, KEEP, KEPT, TWIN
from sextant_export.unfinished import NOTE
from sextant_export.verification.finding import DO_TRIAL, LEFT, Finding
from sextant_export.verification.records import Records

_PHRASES = {
    CHANGED: "has other bytes than when it was proven",
    MISSING: "is gone",
    UNEXPECTED: "was not there when it was proven",
}
FEW = 3
_PARTIAL = re.compile(r"\..*\.partial|\.config\.pbtxt\..*|\.embedded\.pbtxt\..*")
_OF_RELEASE = re.compile(r"r([1-9][0-9]*)\..*")


def check_versions(records: Records) -> Iterator[Finding]:
    """Every file of every version that a release belongs to, against the seals."""
    needed = {version for version, names in records.versions.items() if records.open & {*names}}
    for version, digests in sorted(records.seals.items()):
        there = (records.store.models / version).is_dir()
        if records.concerns(version.rpartition("/")[0]) and (there or version in needed):
            for path, fault in faults(records.store, {version: digests}):
                names = _few(records.versions.get(version, ()))
                yield records.finding(fault, path, f"{_PHRASES[fault]} ({names})", DO[fault])


def _few(names: Sequence[str]) -> str:
    """
    The first of *names*, and how many more there are.

    >>> _few(["locate.r1", "locate.r2"]), _few([f"locate.r{number}" for number in range(1, 54)])
    ('locate.r1, locate.r2', 'locate.r1, locate.r2, locate.r3 and 50 more')
    """
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def check_strays(records: Records) -> Iterator[Finding]:
    """Models, versions and files in ``models/`` that no receipt knows, and what killed writers left anywhere."""
    models = records.store.models
    for place in sorted(models.iterdir()) if models.is_dir() else ():
        if records.concerns(place.name) and records.complete:
            yield from _model(records, place)
    yield from _left(records)


def _model(records: Records, place: Path) -> Iterator[Finding]:
    known = {version for version in records.versions if version.startswith(f"{place.name}/")}
    begun = {version for version in records.unfinished if version.startswith(f"{place.name}/")}
    if place.name in records.ensembles or place.name in records.fronts:
        yield from _empty_version(records, place)
        known = {f"{place.name}/1"}
    if begun and not known:
        yield _leftover(records, place)
        return
    if not known or not place.is_dir():
        yield records.finding(UNEXPECTED, place, "is no model that a receipt knows", DO[UNEXPECTED])
        return
    for path in _entries(place):
        if not _has_its_place(path, place, known):
            left = f"{place.name}/{path.name}" in begun
            yield _leftover(records, path) if left else _stray(records, path, place)


def _has_its_place(path: Path, place: Path, known: set[str]) -> bool:
    name = path.relative_to(place).as_posix()
    return not path.is_symlink() and (name in {CONFIG, TWIN, "configs"} or f"{place.name}/{name}" in known)


def _stray(records: Records, path: Path, place: Path) -> Finding:
    """What stands at *path* in the model *place* and belongs to no release."""
    if _PARTIAL.fullmatch(path.name):
        return _leftover(records, path)
    if path.parent == place and place.name in records.fronts and path.name.isdigit():
        return records.finding(LEFT, path, "is the router of a canary", DO_TRIAL)
    return records.finding(UNEXPECTED, path, "is nothing that a receipt knows", DO[UNEXPECTED])


def _entries(place: Path) -> Iterator[Path]:
    """What stands in a model's folder and in its ``configs/``, and every link under it."""
    yield from sorted(place.iterdir())
    yield from sorted((place / "configs").iterdir()) if (place / "configs").is_dir() else ()
    yield from sorted(path for path in place.glob("*/**/*") if path.is_symlink() and path.parent.name != "configs")


def _empty_version(records: Records, place: Path) -> Iterator[Finding]:
    """The one version of an ensemble, which holds nothing but the file that keeps it there."""
    keep = place / "1" / KEEP
    if not keep.is_file() or keep.read_bytes() != KEPT.encode():
        yield records.finding(CHANGED, keep, "is not the file that Sextant put there", "restore it from a backup")
    for path in sorted((place / "1").rglob("*")):
        if path != keep:
            yield records.finding(UNEXPECTED, path, "stands in the version of an ensemble", DO[UNEXPECTED])


def _left(records: Records) -> Iterator[Finding]:
    """What of killed writers lies among the receipts."""
    store = records.store
    for path in sorted(store.releases.rglob("*")) if store.releases.is_dir() else ():
        inside = path.relative_to(store.releases)
        if records.pipeline not in {None, inside.parts[0]} or (len(inside.parts) > 2 and not path.is_symlink()):
            continue
        release = _OF_RELEASE.fullmatch(path.name) if len(inside.parts) == 2 else None
        orphan = release and not receipt_path(store, inside.parts[0], int(release[1])).is_file()
        if orphan or path.name == NOTE or _PARTIAL.fullmatch(path.name):
            yield _leftover(records, path)


def _leftover(records: Records, path: Path) -> Finding:
    what = "is unfinished: its writer is at work, or was killed"
    return records.finding(LEFT, path, what, "nothing reads it; promote again, or delete it when nobody is at work")
