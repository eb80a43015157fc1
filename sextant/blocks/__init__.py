"""The blocks: what stands between the members of a pipeline, one class a file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sextant.blocks.ellipse import Ellipse
from sextant.blocks.fuse import Fuse
from sextant.blocks.scale import Scale

BLOCKS: Mapping[str, type[Any]] = MappingProxyType({"ellipse": Ellipse, "fuse": Fuse, "scale": Scale})

__all__ = ["BLOCKS", "Ellipse", "Fuse", "Scale"]
