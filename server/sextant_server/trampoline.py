"""
Becomes the program it is given, and is sent SIGTERM when its parent ends, however that ends.

Run as a script, never imported: between fork and exec a threaded parent may run no Python of its own,
so this little process does it, and then turns into the server under the same process id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Called as ``trampoline.py PARENT_PID PROGRAM ARGUMENT...``."""
    parent, program, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before we asked to be told
        sys.exit(1)
    os.execv(program, [program, *arguments])  # noqa: S606  (no shell is what is wanted)


if __name__ == "__main__":
    main()
