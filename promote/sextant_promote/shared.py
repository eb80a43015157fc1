"""
What a release changes of models that others share: their settings, which all versions of a model have in common.

Taking a release back undoes what it changed, and nothing that somebody else has written since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sextant.errors import SextantError
from sextant_export.config import Configs
from sextant_export.store import Store


@dataclass(frozen=True)
class Change:
    """The configurations of one model *before* a release came, and *after*."""

    before: Configs
    after: Configs


Changes = Mapping[str, Change]
"""By the name of the model; models that came with the release are in none."""


@contextmanager
def changing(store: Store) -> Iterator[dict[str, Change]]:
    """
    Be the only writer of *store* until the ``with`` block ends; then what it gives holds what the block has changed.

    A block that fails has changed nothing.
    """
    with store.alone():
        before, changed = store.settings(), dict[str, Change]()
        try:
            yield changed
        except BaseException:
            with suppress(SextantError):
                undo(store, _changes(store, before))
            raise
        changed.update(_changes(store, before))


def undo(store: Store, changed: Changes) -> list[str]:
    """Put back the settings that were *changed* and are still so; gives the names of these models."""
    return [model for model, change in changed.items() if _undo(store, model, change)]


def _changes(store: Store, before: Mapping[str, Configs]) -> Changes:
    now = ((model, store.twins(model)) for model in before)
    return {model: Change(before[model], twins) for model, twins in now if twins and twins != before[model]}


def _undo(store: Store, model: str, change: Change) -> bool:
    present = store.twins(model)
    if present is None or _settings(present) != _settings(change.after):
        return False
    return store.write_configs(change.before.with_versions(present.versions))


def _settings(configs: Configs) -> Configs:
    """All but the policy, which the ensembles in the store decide."""
    return configs.with_versions(())
