"""Whether an answer can be one: a server under load may answer quickly, and nonsense."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any

from sextant.answers import Fix, Label, Record
from sextant.errors import ModelFailed


def require_sound(answers: Any, kind: str, rows: int) -> None:
    """
    ``ModelFailed`` where *answers* are none that a pipeline of this *kind* gives to so many *rows*.

    One answer a row: a fix that lies on the Earth, with axes to its ellipses; a label with its agreement; a record with
    something in it. Of tensors, which may hold anything, the client has seen to it that they are all there.
    """
    sound = _tensors(answers) if kind == "tensors" else _typed(answers, _SOUND[kind], rows)
    if not sound:
        raise ModelFailed(f"expected a {kind} for each of {rows} rows, got {str(answers)[:200]}")


def _tensors(answers: Any) -> bool:
    return isinstance(answers, Mapping) and bool(answers)


def _typed(answers: Any, sound: Callable[[Any], bool], rows: int) -> bool:
    return isinstance(answers, list) and len(answers) == rows and all(map(sound, answers))


def _fix(answer: Any) -> bool:
    if not isinstance(answer, Fix) or not (isfinite(answer.longitude) and abs(answer.latitude) <= 90):
        return False
    return all(ellipse.semi_minor_m >= 0 for ellipse in answer.ellipses)


def _label(answer: Any) -> bool:
    return isinstance(answer, Label) and isfinite(answer.confidence) and 0 <= answer.agreement <= 1


def _record(answer: Any) -> bool:
    return isinstance(answer, Record) and answer.record is not None and isfinite(answer.confidence)


_SOUND: Mapping[str, Callable[[Any], bool]] = MappingProxyType({"position": _fix, "label": _label, "record": _record})
