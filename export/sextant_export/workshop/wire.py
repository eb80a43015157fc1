"""
What a child says: JSON, because a pickle from a process that ran a stranger's code would be a way out of it.

Errors arrive as the classes they were raised as, with the same sentence and the same attributes.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from sextant import errors
from sextant.errors import ModelStopped, PipelineError, SextantError
from sextant_export.original import first_line
from sextant_export.problem import Problem
from sextant_export.workshop.limits import Limits, out_of_memory

# What C++ and PyTorch say, in errors of every class.
_NO_MEMORY = ("std::bad_alloc", "can't allocate memory")


class ChildTraceback(Exception):
    """The traceback of an error that was raised in a child, as text."""


def packed(message: Mapping[str, Any]) -> bytes:
    """One message."""
    return json.dumps(message, default=_plain).encode()


def unpacked(message: bytes) -> dict[str, Any]:
    """What one message says; ``ValueError`` where it is none."""
    said = json.loads(message)
    if not isinstance(said, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004  JSON's own word for what it cannot read
    return said


def described(error: BaseException) -> dict[str, Any]:
    """*error* as plain values."""
    told = {"traceback": "".join(traceback.format_exception(error)), "said": first_line(error)}
    if any(isinstance(each, MemoryError) or any(word in str(each) for word in _NO_MEMORY) for each in _chain(error)):
        return {**told, "kind": "memory"}
    if isinstance(error, SextantError):
        known = next(base.__name__ for base in type(error).__mro__ if getattr(errors, base.__name__, None) is base)
        return {**told, "kind": "sextant", "class": known, "args": error.args, "attributes": vars(error)}
    if isinstance(error, OSError) and error.errno is not None:
        return {**told, "kind": "system", "args": [error.errno, error.strerror]}
    return {**told, "kind": "other", "class": type(error).__name__}


def raised(told: Mapping[str, Any], about: str, limits: Limits) -> Exception:
    """The error that *told* describes, with the traceback it had as its cause."""
    error = _error(told, about, limits)
    error.__cause__ = ChildTraceback(f"\n{told['traceback']}")
    return error


def _error(told: Mapping[str, Any], about: str, limits: Limits) -> Exception:
    if told["kind"] == "memory":
        return out_of_memory(about, limits)
    if told["kind"] == "system":
        return OSError(*told["args"])
    if told["kind"] == "other":
        return ModelStopped(f"{about}: {told['class']}: {told['said']}", limit=None)
    return _ours(told)


def _ours(told: Mapping[str, Any]) -> SextantError:
    """An error of the tree, made without its constructor, whose arguments only its raiser knew."""
    kind = getattr(errors, told["class"])
    error: SextantError = kind.__new__(kind, *told["args"])
    error.args = tuple(told["args"])
    vars(error).update(told["attributes"])
    if isinstance(error, PipelineError):
        error.problems = tuple(Problem(*problem) for problem in told["attributes"]["problems"])
    return error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """*error* and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _plain(value: Any) -> Any:
    """Scalars of NumPy as Python's."""
    if hasattr(value, "item"):
        return value.item()
    return str(value)
