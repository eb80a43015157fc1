"""Where settings are compared: all of them loaded and warmed up, then asked in turns until the rounds are over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Protocol, TypeAlias

from sextant.errors import ClientError, LoadFailed, LoadTestError
from sextant_export.pipeline import Serving
from sextant_export.signature import Feed
from sextant_loadtest.load import LoadPlan, Outcome
from sextant_loadtest.tuning.axes import said
from sextant_loadtest.tuning.choice import Trial, chosen, hopeless

ROUNDS, ENOUGH, SOONEST = 5, 3, 2
"""How often each setting is measured, how often at the least, and when the first may be given up."""
WARM_S = 1.0
"""How long a setting is asked before it counts."""

Measure: TypeAlias = Callable[[LoadPlan, Feed], Outcome]
Tell: TypeAlias = Callable[[int, int, str], None]
"""Is told how many of how many measurements are behind us, and what is measured now."""


class Serves(Protocol):
    """What serves a release by many settings: :class:`~sextant_loadtest.tuning.candidates.Candidates`."""

    @property
    def url(self) -> str:
        """Where they are asked."""

    def load(self, setting: Serving) -> str:
        """The ensemble that serves by *setting*, loaded."""

    def unload(self, setting: Serving) -> None:
        """Stop serving what only *setting* needs."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The *trials* of settings along one *axis*, the present one's first, and the setting that was *taken*."""

    axis: str
    trials: tuple[Trial, ...]
    taken: Serving


@dataclass(kw_only=True)
class Bench:
    """
    Settings of *serves*, asked with *inputs* as *plan* says, by *measure*.

    *tell* is told of each measurement, of which there are *slices* at the most, *rounds* for each setting. From
    *deadline* on, on the machine's monotonic clock, no more is measured than has to be. *refused* says of settings that
    could not be loaded why.
    """

    serves: Serves
    inputs: Feed
    plan: LoadPlan
    objective: str
    measure: Measure
    tell: Tell
    slices: int
    rounds: int = ROUNDS
    deadline: float = inf
    refused: dict[Serving, str] = field(default_factory=dict)
    _done: int = 0

    @property
    def late(self) -> bool:
        """Whether time has run out."""
        return time.monotonic() > self.deadline

    def compare(self, axis: str, settings: Sequence[Serving]) -> Comparison:
        """
        Measure *settings*, the present one first, round by round, and choose.

        ``LoadTestError`` where one answers nothing; where the present one cannot be loaded, the server's own error.
        """
        going = [setting for setting in settings if self._warmed(axis, setting, needed=setting == settings[0])]
        trials = {setting: Trial(setting=setting) for setting in going}
        for round_ in range(self.rounds):
            for setting in (*going[round_ % len(going) :], *going[: round_ % len(going)]):
                trials[setting] = trials[setting].and_of(self._asked(axis, setting))
            if round_ + 1 >= SOONEST:
                far = hopeless([trials[setting] for setting in going], self.objective)
                going = self._without(going, far)
            if round_ + 1 >= ENOUGH and self.late:
                break
        taken = chosen([*trials.values()], self.objective).setting
        self._without(going, {*going} - {taken})
        return Comparison(axis=axis, trials=tuple(trials.values()), taken=taken)

    def _warmed(self, axis: str, setting: Serving, *, needed: bool) -> bool:
        try:
            self.serves.load(setting)
            self._loaded(axis, setting, replace(self.plan, duration_s=WARM_S))
        except (ClientError, LoadFailed) as error:
            if needed:
                raise
            self.refused[setting] = str(error)
            self.serves.unload(setting)
        return setting not in self.refused

    def _asked(self, axis: str, setting: Serving) -> Outcome:
        outcome = self._loaded(axis, setting, self.plan)
        if outcome.p95_ms is None:
            why = next(iter(outcome.sentences.values()), "none of its requests ended: ask with fewer users, or longer")
            raise LoadTestError(f"{axis} {said(setting, axis)} answered nothing in {self.plan.duration_s:.1f} s: {why}")
        return outcome

    def _loaded(self, axis: str, setting: Serving, plan: LoadPlan) -> Outcome:
        self.tell(self._done, self.slices, f"{axis} {said(setting, axis)}")
        self._done += 1
        return self.measure(replace(plan, pipeline=self.serves.load(setting), urls=(self.serves.url,)), self.inputs)

    def _without(self, going: Sequence[Serving], gone: set[Serving]) -> list[Serving]:
        for setting in gone:
            self.serves.unload(setting)
        return [setting for setting in going if setting not in gone]
