"""The blocks: what stands between the members of a pipeline, one class a file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sextant.blocks.ellipse import Ellipse
from sextant.blocks.fuse import Fuse
from sextant.blocks.log_mel import LogMel
from sextant.blocks.scale import Scale
from sextant.blocks.spectrum import Spectrum
from sextant.blocks.vote import Vote

BLOCKS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "ellipse": Ellipse,
        "fuse": Fuse,
        "log_mel": LogMel,
        "scale": Scale,
        "spectrum": Spectrum,
        "vote": Vote,
    }
)

__all__ = ["BLOCKS", "Ellipse", "Fuse", "LogMel", "Scale", "Spectrum", "Vote"]
