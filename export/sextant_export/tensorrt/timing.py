"""What was measured while plans were built, kept for the next build on the same kind of GPU."""

from __future__ import annotations

from typing import Any

from sextant_export.pipeline import TensorRT
from sextant_export.tensorrt.library import Library


def load_timing_cache(library: Library, config: Any, asked: TensorRT) -> None:
    """Give *config* what an earlier build measured; RTX measures nothing, and would want a GPU for it."""
    if asked.timing_cache is None or library.compiles:
        return
    known = asked.timing_cache.read_bytes() if asked.timing_cache.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), False)  # noqa: FBT003  its name differs by version


def save_timing_cache(library: Library, config: Any, asked: TensorRT) -> None:
    """Keep what this build measured."""
    if asked.timing_cache is None or library.compiles:
        return
    cache = config.get_timing_cache()
    if cache is not None:
        asked.timing_cache.parent.mkdir(parents=True, exist_ok=True)
        asked.timing_cache.write_bytes(memoryview(cache.serialize()))
