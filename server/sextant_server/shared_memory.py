"""
The shared-memory regions between Triton and its Python models.

A server that is killed leaves its regions in ``/dev/shm``. Ours carry a prefix with the launcher's process
id, so each server sweeps exactly its own, and a later one can tell which were orphaned.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where POSIX shared memory lives)

# Triton >= 26.05 lets no client register regions under its own prefix: ours begins with it.
_TRITONS = "triton_python_backend_shm_region_"
_PREFIX = f"{_TRITONS}sextant_"


def new_prefix() -> str:
    """A prefix no other server has."""
    return f"{_PREFIX}{os.getpid()}_{secrets.token_hex(4)}_"


def sweep(prefix: str) -> None:
    """Remove every region of the ended server that used *prefix*."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def sweep_orphans() -> None:
    """Remove the regions of our naming whose launcher is gone and which no living process maps."""
    for region in unmapped([region for region in SHARED_MEMORY.glob(f"{_PREFIX}*") if _orphaned(region)]):
        with suppress(OSError):  # another user's, or swept by another of us meanwhile
            region.unlink()


def regions() -> list[Path]:
    """The regions between any Triton of this machine and its Python models, sorted."""
    return sorted(SHARED_MEMORY.glob(f"{_TRITONS}*"))


def unmapped(regions: Sequence[Path]) -> list[Path]:
    """Those *regions* that no living process maps, as far as this user may see."""
    mapped = _mapped() if regions else frozenset()
    return [region for region in regions if str(region) not in mapped]


def _orphaned(region: Path) -> bool:
    owner = re.match(rf"{_PREFIX}(\d+)_", region.name)
    return owner is not None and not Path(f"/proc/{owner[1]}").exists()


def _mapped() -> frozenset[str]:
    """The regions that living processes map, as far as this user may see."""
    found: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            text = maps.read_text(encoding="utf-8", errors="replace")
            found.update(re.findall(rf"{SHARED_MEMORY}/{_TRITONS}\S+", text))
    return frozenset(found)
