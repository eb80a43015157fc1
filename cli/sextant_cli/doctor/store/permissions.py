"""Who beside its owner may write or read a store: what lies in it is loaded, which is running it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from sextant_cli.doctor.access import EVERYBODY, readers, writers
from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import CRITICAL, NOTE, WARNING, Finding
from sextant_cli.doctor.store.kept import Kept
from sextant_server.address import FILE

SHOWN = 3
_RUNS = "a Triton loads what stands in a store, so whoever writes there runs code in it"


def _writable(kept: Kept) -> Iterator[Finding]:
    found: dict[str, list[Path]] = {}
    for path in kept.paths:
        if who := writers(path):
            found.setdefault(who, []).append(path)
    for who, paths in found.items():
        yield Finding(
            severity=CRITICAL if who == EVERYBODY else WARNING,
            found=f"{who} may write {_few(paths, kept.store.root)}",
            why=_RUNS,
            change=f"chmod -R {'o' if who == EVERYBODY else 'g'}-w {kept.store.root}",
        )
    for folder in _open(Path(os.path.realpath(kept.store.root))):
        yield Finding(
            severity=CRITICAL,
            where=str(folder),
            found=f"{EVERYBODY} may put another folder in the place of the store",
            why=_RUNS,
            change=f"chmod o-w {folder}, or chmod +t as /tmp has it",
        )


def _readable(kept: Kept) -> Iterator[Finding]:
    root = kept.store.root
    token = root / FILE
    if token.is_file() and (who := readers(token)):
        yield Finding(
            severity=CRITICAL,
            where=str(token),
            found=f"{who} may read the control token of the server",
            why="whoever has it can make that Triton run any code",
            change=f"chmod 600 {token}, and restart `sextant serve`",
        )
    if seen := [path for path in kept.paths if path != token and path.is_file() and readers(path) == EVERYBODY]:
        yield Finding(
            severity=NOTE,
            found=f"{EVERYBODY} may read {_few(seen, root)}",
            why="models, calibrations and known cases are in there",
            change=f"chmod -R o-rwx {root}",
        )


def _open(path: Path) -> Iterator[Path]:
    """The folders on the way to *path* whose entries everybody may rename."""
    for folder in path.parents:
        if writers(folder) == EVERYBODY and not folder.stat().st_mode & stat.S_ISVTX:
            yield folder


def _few(paths: Sequence[Path], root: Path) -> str:
    """
    How many files and folders, and the first of them.

    >>> _few([Path("/s/models"), Path("/s/releases")], Path("/s"))
    '2 files and folders (models, releases)'
    """
    names = [path.relative_to(root).as_posix() for path in paths[:SHOWN]]
    more = ", ..." if len(paths) > SHOWN else ""
    return f"{len(paths):,} files and folders ({', '.join(names)}{more})"


WRITABLE = Check("store-writable", "May others than its owner write in the store?", _writable)
READABLE = Check("store-readable", "May others than its owner read it, or the token in it?", _readable)
