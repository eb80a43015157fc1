"""What is wrong with a file, where, and what was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z0-9_.-]+")


class Problem(NamedTuple):
    """One thing to mend: the address in the file, and the sentence."""

    address: str
    message: str

    def __str__(self) -> str:
        """As ``sextant check`` prints it."""
        return f"{self.address}: {self.message}"


def guess(word: object, known: Iterable[str]) -> str:
    """
    Words to append when *word* is none of *known*: the nearest one, or all of them.

    >>> guess("methd", ["method", "gate"])
    "; did you mean 'method'?"
    >>> guess("colour", ["method", "gate"])
    '; there are gate, method'
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(names)}" if names else ""


def is_name(text: object) -> bool:
    """Whether *text* may name a file and a Triton model: no shell sign, no way out of its folder."""
    return isinstance(text, str) and bool(NAME.fullmatch(text)) and not text.startswith(".")
