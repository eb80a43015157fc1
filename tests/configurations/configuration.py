"""One registered model that the table of flavours is made of: a flavour, real data, an estimator."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

EXAMPLE_ROWS = 48


@dataclass(frozen=True)
class Fitted:
    """
    A model after training: *log* logs it with MLflow, given MLflow's own facts, *example* is rows of its input.

    *answer* is what it says to them, for the signature; None leaves the signature out. Where it is not *shown*, the
    example is used for the signature alone.
    """

    log: Callable[..., Any]
    example: Any
    answer: Any = None
    shown: bool = True


@dataclass(frozen=True)
class Configuration:
    """
    *model*, trained on *data* and logged in *flavor*.

    *quick* ones stand for their kind in a short run. *needs* names the folder of real data it cannot do without.
    """

    flavor: str
    data: str
    model: str
    fit: Callable[[], Fitted] = field(repr=False)
    quick: bool = False
    needs: str | None = None

    @property
    def name(self) -> str:
        """A name that MLflow and Triton take."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.flavor} {self.data} {self.model}".lower()).strip("-")


def few(rows: Any) -> Any:
    """The first rows, for an example."""
    return rows[:EXAMPLE_ROWS]
