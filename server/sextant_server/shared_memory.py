"""
The shared-memory regions between Triton and its Python models.

A server that is killed leaves its regions in ``/dev/shm``. Ours carry a prefix with the launcher's process
id, so each server sweeps exactly its own, and a later one can tell which were orphaned.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where POSIX shared memory lives)

# Triton >= 26.05 lets no client register regions under its own prefix: ours begins with it.
_PREFIX = "triton_python_backend_shm_region_sextant_"


def new_prefix() -> str:
    """A prefix no other server has."""
    return f"{_PREFIX}{os.getpid()}_{secrets.token_hex(4)}_"


def sweep(prefix: str) -> None:
    """Remove every region of the ended server that used *prefix*."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def sweep_orphans() -> None:
    """Remove the regions of our naming whose launcher is gone and which no living process maps."""
    orphans = [region for region in SHARED_MEMORY.glob(f"{_PREFIX}*") if _orphaned(region)]
    mapped = _mapped() if orphans else frozenset()
    for region in orphans:
        if str(region) not in mapped:
            with suppress(OSError):  # another user's, or swept by another of us meanwhile
                region.unlink()


def _orphaned(region: Path) -> bool:
    owner = re.match(rf"{_PREFIX}(\d+)_", region.name)
    return owner is not None and not Path(f"/proc/{owner[1]}").exists()


def _mapped() -> frozenset[str]:
    """The regions that living processes map, as far as this user may see."""
    found: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            text = maps.read_text(encoding="utf-8", errors="replace")
            found.update(re.findall(rf"{SHARED_MEMORY}/{_PREFIX}\S+", text))
    return frozenset(found)
