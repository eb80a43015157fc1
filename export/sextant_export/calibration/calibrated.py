"""What calibration gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Parameters = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The complete *parameters* of each block, by its name, and the *facts* for the receipt."""

    parameters: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any] | None = None
