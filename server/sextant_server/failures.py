"""Why a model is not served, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sextant_server.control import ModelState
from sextant_server.log import plain
from sextant_server.preflight import unsafe

UNSAFE_NAME = "Triton cannot load a model whose name holds a space or a shell character: rename it"


def loadable(models: Iterable[str]) -> tuple[str, ...]:
    """Those *models* whose names do not hang the server."""
    return tuple(model for model in models if not unsafe(model))


def failures(
    models: Iterable[str], index: Sequence[ModelState], *, repository: Path, log: Sequence[str]
) -> dict[str, str]:
    """The *models* of which no version is ready, with the reasons: Triton's own, or what its *log* says."""
    ready = {state.name for state in index if state.ready}
    reasons = {state.name: plain(state.reason) for state in index if state.reason}
    return {
        model: _obstacle(model, repository) or reasons.get(model) or _mention(model, log)
        for model in models
        if model not in ready
    }


def _obstacle(model: str, repository: Path) -> str | None:
    if unsafe(model):
        return UNSAFE_NAME
    if not (repository / model).is_dir():
        return "there is no such model in the store"
    return None


def _mention(model: str, log: Sequence[str]) -> str:
    lines = (line for line in log if f"'{model}'" in line or f"/{model}/" in line)
    return next(lines, "Triton did not load it and gave no reason")
