"""
What a block is measured by, counted in its process and written as custom metrics of Triton.

Each write asks the server's process and takes 15 to 140 microseconds, so requests are only counted, and one thread
writes about every second what came together; it is the only one that does, for where two threads of a process write one
metric at the same time, Triton 24.10 ends.  Triton's own histogram would take every observation by a write of its own;
so a histogram is written as the counters that it is made of, ``_bucket`` by upper bound, ``_sum`` and ``_count``.

The processes of a block share their metrics, because their labels are the same, and a count goes on over reloads until
the server ends.  ``SEXTANT_METRICS=off`` in the server's environment leaves it all out.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import Event, Lock, Thread
from traceback import format_exc
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.lasting import lasting
from sextant.measures import FAILURES, LOADED, LOADS, REFUSED, SECONDS, Measure, Series, amounts
from sextant.refusals import REASONS

VARIABLE = "SEXTANT_METRICS"
EVERY_S = 1.0
MODEL, BUG = "model", "bug"

_Answer = Mapping[str, NDArray[Any]]


@dataclass
class _Kept:
    """What came since the last write: the *seconds* of calls, the *tensors* that are measured, and plain *counts*."""

    seconds: list[float] = field(default_factory=list)
    tensors: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def took(self) -> list[float]:
        """What the calls add to their histogram."""
        return amounts(SECONDS.bounds, np.array(self.seconds)) if self.seconds else []

    def count(self, measure: str, word: str) -> list[float]:
        """What was counted under *word*."""
        return [self.counts[measure, word]]

    def of(self, one: Series) -> list[float]:
        """What the answers add to a series; nothing where there were none."""
        came = self._joined.get(one.tensor)
        return amounts(one.measure.bounds, one.of(came)) if came is not None else []

    @cached_property
    def _joined(self) -> dict[str, NDArray[Any]]:
        """Each tensor once, however many series take from it."""
        return {name: np.concatenate(came) for name, came in self.tensors.items()}


class _Line(NamedTuple):
    """Some metrics of Triton's, and the amounts that what was kept adds to each."""

    amounts: Callable[[_Kept], Sequence[float]]
    writes: tuple[Callable[[float], None], ...]


class Meter:
    """
    The metrics of one block under *labels*, its own *series* among them; every method returns at once.

    All lines are there from the load on, at zero, so that the first refusal is a rise.
    """

    def __init__(self, pb_utils: Any, labels: Mapping[str, str], series: Sequence[Series] = ()) -> None:
        self._pb, self._labels = pb_utils, labels
        self._families: dict[str, Any] = {}
        self._tensors = {one.tensor for one in series}
        self._kept, self._lock, self._ended = _Kept(), Lock(), Event()
        self._lines = [*self._common(), *map(self._of, series)]
        self._say_loaded()
        self._thread = Thread(target=self._work, name="meter", daemon=True)
        self._thread.start()

    def took(self, seconds: float, answer: _Answer) -> None:
        """One call of the block took *seconds* and gave *answer*, of which copies are kept: it may be lent memory."""
        with self._lock:
            self._kept.seconds.append(seconds)
            for name in self._tensors:
                self._kept.tensors.setdefault(name, []).append(answer[name].copy())

    def refused(self, reason: str) -> None:
        """A request was refused, for one of :data:`~sextant.refusals.REASONS`."""
        self._count(REFUSED, reason)

    def failed(self, cause: str) -> None:
        """A request broke, by ``MODEL`` or ``BUG``."""
        self._count(FAILURES, cause)

    def close(self) -> None:
        """Write what was counted, and end."""
        self._ended.set()
        self._thread.join()

    def _count(self, measure: Measure, word: str) -> None:
        with self._lock:
            self._kept.counts[measure.name, word] += 1

    def _work(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(EVERY_S)
            with self._lock:
                kept, self._kept = self._kept, _Kept()
            try:
                self._write(kept)
            except Exception:  # noqa: BLE001 - answers matter more than what is counted of them
                self._pb.Logger.log_error(f"{self._labels} is not measured: {format_exc()}")

    def _write(self, kept: _Kept) -> None:
        for line in self._lines:
            for amount, write in zip(line.amounts(kept), line.writes, strict=False):
                if amount > 0:
                    write(amount)

    def _say_loaded(self) -> None:
        """Processes share both: the last says when, and each counts."""
        self._metric(LOADED.name, LOADED.text, {}, kind="GAUGE").set(time.time())
        self._metric(LOADS.name, LOADS.text, {}).increment(1)

    def _common(self) -> Iterator[_Line]:
        """What every block is measured by."""
        yield _Line(_Kept.took, tuple(self._writes(SECONDS, {})))
        for measure, label, words in ((REFUSED, "reason", REASONS), (FAILURES, "cause", (MODEL, BUG))):
            for word in words:
                counted = partial(_Kept.count, measure=measure.name, word=word)
                yield _Line(counted, tuple(self._writes(measure, {label: word})))

    def _of(self, one: Series) -> _Line:
        return _Line(partial(_Kept.of, one=one), tuple(self._writes(one.measure, one.labels)))

    def _writes(self, measure: Measure, labels: Mapping[str, str]) -> Iterator[Callable[[float], None]]:
        """What writes each of the amounts that :func:`~sextant.measures.amounts` gives, in their order."""
        if not measure.bounds:
            yield self._metric(measure.name, measure.text, labels).increment
            return
        for bound in (*(f"{bound:g}" for bound in measure.bounds), "+Inf"):
            yield self._metric(f"{measure.name}_bucket", measure.text, {**labels, "le": bound}).increment
        for part in ("sum", "count"):
            yield self._metric(f"{measure.name}_{part}", measure.text, labels).increment

    def _metric(self, name: str, text: str, labels: Mapping[str, str], kind: str = "COUNTER") -> Any:
        if name not in self._families:
            family = self._pb.MetricFamily
            self._families[name] = lasting(family(name=name, description=text, kind=getattr(family, kind)))
        return lasting(self._families[name].Metric(labels={**self._labels, **labels}))


class NoMeter:
    """Measures nothing."""

    def took(self, seconds: float, answer: _Answer) -> None:
        """Nothing."""

    def refused(self, reason: str) -> None:
        """Nothing."""

    def failed(self, cause: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def meter(pb_utils: Any, args: Mapping[str, str], block: Any) -> Meter | NoMeter:
    """The meter of *block* as the model that *args* of ``initialize`` name; one that does nothing where it is off."""
    if os.environ.get(VARIABLE, "").lower() in {"off", "0", "false"}:
        return NoMeter()
    try:
        return Meter(pb_utils, labels_of(args, block), getattr(block, "series", ()))
    except Exception as error:  # noqa: BLE001 - a Triton without metrics still serves
        pb_utils.Logger.log_warn(f"{args['model_name']} is not measured: {error!r}")
        return NoMeter()


def labels_of(args: Mapping[str, str], block: Any = None) -> dict[str, str]:
    """
    What tells a block's metrics from others': of a model ``<pipeline>.<step>`` both, and its version, the release.

    A member by its own Python is of no pipeline, whatever its name.

    >>> labels_of({"model_name": "locate.fuse", "model_version": "7"})
    {'pipeline': 'locate', 'step': 'fuse', 'release': '7'}
    """
    pipeline, _, step = args["model_name"].rpartition(".")
    if getattr(block, "member", False):
        pipeline, step = "", args["model_name"]
    return {"pipeline": pipeline, "step": step, "release": args["model_version"]}
