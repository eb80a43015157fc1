"""One figure, one line of JSON: what every benchmark prints."""

from __future__ import annotations

import json


def report(name: str, value: float, unit: str, *, target: str | None = None, ok: bool | None = None) -> None:
    """Print the figure *name*; *target* is what it should reach, in words, and *ok* whether it did."""
    print(json.dumps({"name": name, "value": value, "unit": unit, "target": target, "ok": ok}), flush=True)
