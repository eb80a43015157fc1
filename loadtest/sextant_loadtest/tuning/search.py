"""
The search: along one axis after the other, then the best against what the page says now, on measurements of their own.

That last comparison is what counts. Whoever is best of many was lucky too; measured anew, luck is gone, and what is
then not better is not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from typing import Any

from sextant.errors import LoadTestError
from sextant_export.pipeline import Serving
from sextant_loadtest.tuning.axes import AXES, along, changes, most
from sextant_loadtest.tuning.bench import ENOUGH, ROUNDS, Bench, Comparison
from sextant_loadtest.tuning.choice import Gain, gain

LEAST_S, USUAL_S = 2.0, 4.0
"""How long a setting is asked each time: at the least, and where nothing is said."""
CONFIRMING, _CONFIRMING = "now and best", 2


@dataclass(frozen=True, kw_only=True)
class Effort:
    """
    How often each setting is measured, *rounds*, how many measurements that makes at the most, *slices*, and how long
    each asks, *slice_s*.

    *around_s* is what starting and ending one takes beside that.
    """

    rounds: int
    slices: int
    slice_s: float
    around_s: float

    @property
    def seconds(self) -> float:
        """How long it all takes at the most, but for loading models."""
        return self.slices * (self.slice_s + self.around_s)

    @property
    def axes_s(self) -> float:
        """How long it may be until the best is to be confirmed."""
        return self.seconds * (1 - _CONFIRMING * (self.rounds + 1) / self.slices)


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """
    *before* is what the page says, *after* what suits better; both are the same where nothing certainly does.

    *gain* is by what share *after* was better when both were measured again, None where there was nothing to confirm.
    *refused* says of settings that could not be measured why.
    """

    objective: str
    before: Serving
    after: Serving
    comparisons: tuple[Comparison, ...]
    gain: Gain | None = None
    refused: Mapping[Serving, str] = field(default_factory=dict)

    @property
    def changes(self) -> dict[str, int | bool | None]:
        """The keys of ``serving`` that the page has to change; None for one that has to go."""
        return changes(self.before, self.after)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``--json``."""
        return {
            "objective": self.objective,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "changes": self.changes,
            "gain": None if self.gain is None else asdict(self.gain),
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "refused": [{**asdict(setting), "why": why} for setting, why in self.refused.items()],
        }


def effort(start: Serving, cores: int, around_s: float, duration_s: float | None = None) -> Effort:
    """
    What a search from *start* takes on a machine of so many *cores*, in *duration_s* seconds at the most.

    *around_s* is what a measurement was seen to take beside the asking. Where time is short there are fewer rounds;
    ``LoadTestError`` where there is so little that nothing would show.

    >>> effort(Serving(), cores=2, around_s=1.5, duration_s=330)
    Effort(rounds=5, slices=66, slice_s=3.5, around_s=1.5)
    """
    settings = sum(most(start, cores).values()) + _CONFIRMING
    for rounds in range(ROUNDS, ENOUGH - 1, -1):
        slices = settings * (rounds + 1)
        slice_s = USUAL_S if duration_s is None else duration_s / slices - around_s
        if slice_s >= LEAST_S:
            return Effort(rounds=rounds, slices=slices, slice_s=slice_s, around_s=around_s)
    said = f"{slices} measurements take {slices * (LEAST_S + around_s):.0f} s at the least on this machine"
    raise LoadTestError(f"{said}: allow so much, not {duration_s:g} s")


def search(bench: Bench, start: Serving, cores: int) -> Tuned:
    """The setting that answers best on *bench*, from *start* on; where time runs out, of fewer axes or rounds."""
    best, comparisons = start, list[Comparison]()
    for axis in takewhile(lambda _: not bench.late, AXES):
        comparisons.append(bench.compare(axis, along(axis, best, cores)))
        best = comparisons[-1].taken
    confirmed = None
    if best != start:
        comparisons.append(bench.compare(CONFIRMING, (start, best)))
        best = comparisons[-1].taken
        now, *others = (trial.merit(bench.objective) for trial in comparisons[-1].trials)
        confirmed = next((gain(then, now) for then in others), None)  # none where it could not be asked again
    return Tuned(
        objective=bench.objective,
        before=start,
        after=best,
        comparisons=tuple(comparisons),
        gain=confirmed,
        refused=bench.refused,
    )
