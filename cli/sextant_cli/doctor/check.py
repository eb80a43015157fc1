"""One check: a small function that looks at its subject, and yields what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sextant_cli.doctor.finding import Finding

T = TypeVar("T")


class NotMade(Exception):
    """A check that cannot be made here, and why: that is no pass. It ends in the report, and nobody else catches it."""


@dataclass(frozen=True)
class Check(Generic[T]):
    """
    *name* is what ``--skip`` calls it, *asks* the question it answers, *look* what answers it.

    *look* gives nothing where all is well, and raises ``NotMade``, a ``SextantError``, or ``OSError`` where it cannot
    say.
    """

    name: str
    asks: str
    look: Callable[[T], Iterable[Finding]]
