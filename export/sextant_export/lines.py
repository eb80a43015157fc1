"""Files of lines that grow: each line is one write, and one that a crash cut off spoils no other."""

from __future__ import annotations

import errno
import os


def append_line(file: int, line: bytes) -> None:
    """
    Append *line*, which has its end, to the open *file*; ``OSError`` where it does not go in whole.

    Where the line before has no end, because a crash or a full disk cut it off, the new one begins below it.
    """
    size = os.fstat(file).st_size
    torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
    whole = b"\n" * torn + line
    if os.write(file, whole) != len(whole):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
