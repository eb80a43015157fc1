"""Who beside its owner may read or write a file, folders on the way to it included."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from os import stat_result
from pathlib import Path

EVERYBODY = "every user of this machine"


def readers(path: Path) -> str:
    """Who beside its owner may read the file or folder at *path*, in words; nothing where nobody may."""
    return granted(path, stat.S_IROTH, stat.S_IRGRP)


def writers(path: Path) -> str:
    """Who beside its owner may write at *path*, in words; nothing where nobody may."""
    return granted(path, stat.S_IWOTH, stat.S_IWGRP)


def granted(path: Path, others: int, group: int) -> str:
    """Who has the right of the bits *others* or *group*, and gets as far as *path*; of a link, as far as it leads."""
    if not path.exists():  # a link to nothing, or gone meanwhile
        return ""
    real = Path(os.path.realpath(path))
    status, folders = real.stat(), [folder.stat() for folder in real.parents]
    if status.st_mode & others and all(folder.st_mode & stat.S_IXOTH for folder in folders):
        return EVERYBODY
    if status.st_mode & group and not _private(status) and all(_lets_in(folder, status.st_gid) for folder in folders):
        return f"the group {_name(status.st_gid)}"
    return ""


def _lets_in(folder: stat_result, gid: int) -> bool:
    return bool(folder.st_mode & (stat.S_IXGRP if folder.st_gid == gid else stat.S_IXOTH))


def _private(status: stat_result) -> bool:
    """Whether the group is its owner's own: called as he is, with nobody else in it."""
    try:
        group = grp.getgrgid(status.st_gid)
        return not group.gr_mem and group.gr_name == pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return False


def _name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
