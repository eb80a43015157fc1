"""What benchmarks that kill are asked: how many, of which seed, and for how long."""

from __future__ import annotations

import argparse

SEED = 20_263


def kills_asked(page: str | None, kills: str) -> argparse.Namespace:
    """The options ``quick``, ``seed`` and ``within`` of the script whose docstring is *page*; *kills* says how many."""
    parser = argparse.ArgumentParser(description=(page or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=kills)
    parser.add_argument("--seed", type=int, default=SEED, help="of victims and instants")
    parser.add_argument("--within", type=float, default=3600.0, help="seconds after which no kill follows")
    return parser.parse_args()
