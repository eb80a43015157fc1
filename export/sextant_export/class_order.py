"""
Which class each column of a member's probabilities is.

Members that were trained apart may number the same classes differently, and their probabilities would be added up
crosswise without anybody noticing.  So each order is either said by the model, or seen in its answers, or refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.classes import Classes, read_classes
from sextant.errors import CalibrationError, ConversionError, MissingExtra, ParametersError
from sextant.vote import Indices
from sextant_export.converters.tabular import loaded
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.registry import Artifact

ESTIMATORS = ("sklearn", "xgboost", "lightgbm")
FEWEST = 3
SAME = 0.9
"""The share of rows on which the likeliest class of a member must be the one it answers."""

_SAY = 'log it with metadata={"classes": [...]}, in the order of its probabilities'


def listed_classes(artifact: Artifact) -> Classes | None:
    """
    The classes as the registered model lists them itself; None where it lists none.

    They stand in the ``metadata`` it was logged with, or are the ``classes_`` of an estimator.
    """
    said = _of_metadata(artifact)
    if said is None:
        said = _of_estimator(artifact)
    if said is None:
        return None
    try:
        return read_classes({"classes": [_plain(name) for name in said]})
    except ParametersError as error:
        raise CalibrationError(f"{artifact.version}: its own {error}") from error


def settled_classes(
    given: Sequence[Any] | None, members: Mapping[str, Classes | None], width: int | None, truth: NDArray[Any] | None
) -> Classes:
    """
    The classes of a vote: those *given* by the spec, else those the members list, else those that are true.

    *width* is that of the members' probabilities, None where none gives any.  ``CalibrationError`` where nobody names
    as many.
    """
    if given is not None:
        return read_classes({"classes": list(given)})
    for classes in members.values():
        if classes is not None:
            return classes
    if truth is None:
        raise CalibrationError("nobody names the classes: write them under `with` of vote, as `classes: [...]`")
    names = sorted({_plain(name) for name in np.asarray(truth).ravel().tolist()})
    if width not in (None, len(names)):
        said = f"the members give probabilities of {width} classes, and the known cases hold {len(names)}"
        raise CalibrationError(f"{said}: write them all under `with` of vote, as `classes: [...]`")
    return read_classes({"classes": names})


def column_order(name: str, classes: Classes, listed: Classes | None, width: int | None) -> list[int] | None:
    """
    Of each column of a member's probabilities, the place of its class among *classes*; None where it *listed* nothing.

    ``CalibrationError`` where it knows other classes, or gives another number of probabilities.
    """
    if width not in (None, len(classes)):
        raise CalibrationError(
            f"member {name} gives probabilities of {width} classes, and the vote has {len(classes)}: "
            f"{_some(classes.names)}"
        )
    if listed is None:
        return None
    if set(listed.names) != set(classes.names) or listed.dtype != classes.dtype:
        raise CalibrationError(
            f"member {name} knows the classes {_some(listed.names)}, and the vote has {_some(classes.names)}: "
            "train it on the same classes, written the same way"
        )
    order: list[int] = classes.indices(np.array(listed.names)).tolist()
    return order


def refuse_own_contradiction(name: str, classes: Classes, labels: Indices, choices: Indices) -> None:
    """``CalibrationError`` where the *labels* (N,) a member answers are not its likeliest *choices* (N,)."""
    both = (labels >= 0) & (choices >= 0)
    if both.any() and (same := float(np.mean(labels[both] == choices[both]))) < SAME:
        raise CalibrationError(
            f"the label of member {name} is its likeliest class in {same:.0%} of {both.sum()} rows, if its "
            f"probabilities stand in the order {_some(classes.names)}: {_SAY}"
        )


def refuse_crossed(name: str, classes: Classes, votes: Indices, truth: Indices) -> None:
    """
    ``CalibrationError`` where a member calls classes by one another's names.

    That is a ring of classes each of which is, in most of the rows for which the member *votes* (N,) so, truly the next
    one, by *truth* (N,), more often than a coin would make it.  Honest confusion runs one way.
    """
    known = (votes >= 0) & (truth >= 0)
    size = len(classes)
    table = np.bincount(votes[known] * size + truth[known], minlength=size * size).reshape(size, size)
    often, counts = table.argmax(axis=1), table.max(axis=1)
    moved = (counts >= FEWEST) & (2 * counts > table.sum(axis=1)) & (often != np.arange(size))
    for start in np.nonzero(moved)[0].tolist():
        ring = _ring(start, often, moved)
        if start in ring and _beyond_chance(counts[ring].sum(), table[ring].sum()):
            said, true = classes.names[start], classes.names[often[start]]
            raise CalibrationError(
                f"member {name} says {said!r} where {true!r} is true, in {counts[start]} of {table[start].sum()} rows, "
                f"and the other way round: its classes stand in another order than {_some(classes.names)}: {_SAY}"
            )


def refuse_mislabelled(name: str, classes: Classes, labels: Indices, choices: Indices) -> None:
    """
    ``CalibrationError`` where likeliest *choices* (N,) are the *labels* (N,) a member answers, by one another's names.

    A list of classes that came with the model may be in another order than its columns.
    """
    try:
        refuse_crossed(name, classes, choices, labels)
    except CalibrationError as error:
        raise CalibrationError(
            f"member {name} answers other labels than its likeliest classes, which are in the order it was logged "
            f"with: {_SAY}"
        ) from error


def refuse_unchecked(name: str, classes: Classes) -> None:
    """``CalibrationError`` for probabilities alone, of a model that lists no classes, without a known case."""
    raise CalibrationError(
        f"nothing says whether the probabilities of member {name} stand in the order {_some(classes.names)}: "
        f"{_SAY}, or name known cases under `calibration`"
    )


def _ring(start: int, often: NDArray[np.intp], moved: NDArray[np.bool_]) -> list[int]:
    """The classes that are met from *start* on, each where most of the rows of the one before truly are."""
    met, at = list[int](), start
    while moved[at] and (at := int(often[at])) not in met:
        met.append(at)
    return met


def _beyond_chance(count: int, rows: int) -> bool:
    """Whether *count* of *rows* is more than the half by two standard deviations of a coin."""
    return bool(2 * count - rows > 2 * np.sqrt(rows))


def _of_metadata(artifact: Artifact) -> list[Any] | None:
    with quiet_mlflow() as mlflow:
        said = (mlflow.models.Model.load(str(artifact.path)).metadata or {}).get("classes")
    if said is None or isinstance(said, list):
        return said
    raise CalibrationError(f"{artifact.version}: its metadata says classes: {said!r}; {_SAY}")


def _of_estimator(artifact: Artifact) -> Any:
    flavor = next((flavor for flavor in ESTIMATORS if flavor in artifact.flavors), None)
    if flavor is None:
        return None
    try:
        model = loaded(artifact, lambda mlflow, path: getattr(mlflow, flavor).load_model(path))
    except (ConversionError, MissingExtra):
        return None
    classes = getattr(model, "classes_", None)
    return classes if isinstance(classes, np.ndarray) and classes.ndim == 1 else None


def _plain(name: Any) -> Any:
    """A class as text or whole number: scikit-learn's may be NumPy's, or floats."""
    plain = name.item() if isinstance(name, np.generic) else name
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def _some(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names[:6])) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
