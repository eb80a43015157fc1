"""Checks of single values in a spec: a number in its range, a choice, a list of words, a mapping of names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from sextant_export.problem import Problem, guess, is_name

Check: TypeAlias = Callable[[Any, str], Iterator[Problem]]


class Bounds(NamedTuple):
    """The range of a number; None where it is open."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    whole: bool = False

    def hold(self, value: float) -> bool:
        """Whether *value* lies within."""
        return (
            abs(value) <= sys.float_info.max
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """The range in words."""
        said = {"at least": self.at_least, "at most": self.at_most, "above": self.above, "below": self.below}
        limits = " and ".join(f"{word} {limit}" for word, limit in said.items() if limit is not None)
        return f"a {'whole ' if self.whole else ''}number {limits}"


def number(bounds: Bounds) -> Check:
    """A check that a value is a number within *bounds*."""
    kinds = (int,) if bounds.whole else (int, float)

    def check(value: Any, address: str) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, kinds) or not bounds.hold(value):
            yield Problem(address, f"expected {bounds}, got {value!r}")

    return check


def flag(value: Any, address: str) -> Iterator[Problem]:
    """A check that *value* is true or false."""
    if not isinstance(value, bool):
        yield Problem(address, f"expected true or false, got {value!r}")


def name(value: Any, address: str) -> Iterator[Problem]:
    """A check that *value* can be the name of a Triton model."""
    if not is_name(value):
        yield Problem(address, f"{value!r} is no name; letters, digits and . _ - only, and no dot in front")


def one_of(noun: str, *known: str) -> Check:
    """A check that a value is one of *known*, each a *noun*."""
    return lambda value, address: choice(value, address, known, noun)


def text(meaning: str) -> Check:
    """A check that a value is a string that means *meaning*."""

    def check(value: Any, address: str) -> Iterator[Problem]:
        if not isinstance(value, str) or not value:
            yield Problem(address, f"expected {meaning}, got {value!r}")

    return check


def choice(value: Any, address: str, known: Collection[str], noun: str) -> Iterator[Problem]:
    """A check that *value* is one of *known*."""
    if not isinstance(value, str) or value not in known:
        yield Problem(address, f"{value!r} is no {noun}{guess(value, known)}")


def words(value: Any, address: str, count: int, meaning: str) -> Iterator[Problem]:
    """A check that *value* is a list of *count* strings."""
    listed = isinstance(value, list) and len(value) == count
    if not listed or not all(isinstance(word, str) for word in value):
        yield Problem(address, f"expected a list of {count} strings ({meaning}), got {value!r}")


def names(value: Any, address: str) -> Iterator[Problem]:
    """A check that *value* maps tensor names to tensor names."""
    if not isinstance(value, Mapping):
        yield Problem(address, f"expected a mapping of the model's tensor to the pipeline's, got {value!r}")
        return
    for key, name in value.items():
        if not isinstance(key, str) or not isinstance(name, str) or not name:
            yield Problem(f"{address}.{key}", f"expected the name of a tensor, got {name!r}")


def unknown_keys(value: Mapping[str, Any], address: str, known: Collection[str]) -> Iterator[Problem]:
    """Every key of *value* that is none of *known*, with a guess."""
    for key in value:
        if key not in known:
            yield Problem(f"{address}.{key}", f"unknown{guess(key, known)}")


def switch(checks: Mapping[str, Check]) -> Check:
    """A check of a section that is ``true``, ``false``, or a mapping as :func:`section` wants it."""

    def check(value: Any, address: str) -> Iterator[Problem]:
        if isinstance(value, Mapping):
            yield from section(checks)(value, address)
        elif not isinstance(value, bool):
            yield Problem(address, f"expected true, or a mapping of {', '.join(checks)}, got {value!r}")

    return check


def section(checks: Mapping[str, Check]) -> Check:
    """A check that a value maps some of the keys of *checks*, each to what its check takes."""

    def check(value: Any, address: str) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield Problem(address, f"expected a mapping of {', '.join(checks)}")
            return
        yield from unknown_keys(value, address, checks)
        for key in (key for key in value if key in checks):
            yield from checks[key](value[key], f"{address}.{key}")

    return check
