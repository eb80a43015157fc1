"""The answer of a label pipeline: a class and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from typing import Any

from numpy.typing import NDArray

from sextant.errors import ParametersError
from sextant.values import is_level, level_text, scalars, text


@dataclass(frozen=True, slots=True)
class Label:
    """
    A class and how sure it is.

    *probabilities* are one a class, *agreement* is the winner's share of the votes that were asked for, *confidence*
    the probability of being right, 0-100, and *tied* says that another label took as much.  *calibrated* says that the
    confidence was measured on known cases rather than counted from the votes; *members_used* members gave a class.
    *classes* are what the probabilities are of, where the server says it.

    >>> label = Label("cat", (0.75, 0.25), 1.0, 88.0, tied=False, classes=("cat", "dog"),
    ...               confidence_levels=(0.9,), sets=((True, False),))
    >>> label.prediction_set(0.9)
    ('cat',)
    """

    label: str | int
    probabilities: tuple[float, ...]
    agreement: float
    confidence: float
    tied: bool
    calibrated: bool = False
    members_used: int = 1
    release: int | None = None
    classes: tuple[str | int, ...] = ()
    confidence_levels: tuple[float, ...] = ()
    sets: tuple[tuple[bool, ...], ...] = ()

    def prediction_set(self, confidence_level: float) -> tuple[str | int, ...]:
        """
        The classes among which the truth is with probability *confidence_level*.

        ``ValueError`` with the levels that are served for any other, and where the server does not name its classes.
        """
        if not self.classes:
            raise ParametersError("the server does not say what its classes are called: read .sets, one flag a class")
        for level, held in zip(self.confidence_levels, self.sets, strict=True):
            if is_level(confidence_level, level):
                return tuple(name for name, within in zip(self.classes, held, strict=True) if within)
        served = ", ".join(map(level_text, self.confidence_levels))
        answers = f"answers {served}" if served else "has none: write confidence_levels under vote in its spec"
        raise ParametersError(f"no prediction set at {level_text(confidence_level)}: this pipeline {answers}")

    def to_dict(self) -> dict[str, Any]:
        """The same in plain JSON values, sets by the names of their classes where these are known."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        named = [list(self.prediction_set(level)) for level in self.confidence_levels] if self.classes else None
        return {**plain, "sets": named or [list(held) for held in self.sets]}


def labels(tensors: Mapping[str, NDArray[Any]], classes: Sequence[str | int] = ()) -> list[Label]:
    """One label for each row of a label pipeline's output *tensors*, their probabilities being of *classes*."""
    columns = zip(
        map(text, scalars(tensors, "label")),
        map(tuple, tensors["probabilities"].tolist()),
        scalars(tensors, "agreement"),
        scalars(tensors, "confidence"),
        scalars(tensors, "tied"),
        scalars(tensors, "calibrated", default=False),
        scalars(tensors, "members_used", 1),
        scalars(tensors, "release"),
        repeat(tuple(classes)),
        *_sets(tensors),
        strict=False,
    )
    return [Label(*row) for row in columns]


def _sets(tensors: Mapping[str, NDArray[Any]]) -> tuple[Iterable[Any], Iterable[Any]]:
    """The levels of each row, and the classes that are in the set of each."""
    if "prediction_set" not in tensors:
        return repeat(()), repeat(())
    held = (tuple(map(tuple, row)) for row in tensors["prediction_set"].tolist())
    return map(tuple, tensors["confidence_level"].tolist()), held
