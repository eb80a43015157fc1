"""A panel of a dashboard: what it is called, what it asks, in which unit; and what PromQL it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OF = 'pipeline=~"$pipeline"'
EACH = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """*asks* are PromQL with the legend of each; *kind* is Grafana's word, *says* what the panel tells."""

    title: str
    asks: Sequence[tuple[str, str]]
    unit: str = "short"
    says: str = ""
    kind: str = "timeseries"
    width: int = 12


def mean(name: str, by: str) -> str:
    """The mean of a histogram."""
    return f"sum by ({by}) (rate({name}_sum{{{OF}}}{EACH})) / sum by ({by}) (rate({name}_count{{{OF}}}{EACH}))"


def quantile(share: float, name: str, by: str) -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({share:g}, sum by ({by}, le) (rate({name}_bucket{{{OF}}}{EACH})))"


def per_second(name: str, by: str, where: str = OF) -> str:
    """How fast a counter rises."""
    return f"sum by ({by}) (rate({name}{{{where}}}{EACH}))"


def by_model(above: str, below: str) -> str:
    """How fast one of Triton's counters rises, to how fast another does, or a sum of them."""
    divisor = " + ".join(f"rate({name}{EACH})" for name in below.split(" + "))
    return f"sum by (model) (rate({above}{EACH})) / sum by (model) ({divisor})"
