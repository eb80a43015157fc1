"""What was asked of pipelines and how it went: counted as it happens, in objects and in Prometheus' words."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from threading import Lock
from time import perf_counter
from types import TracebackType

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram of latencies, in seconds."""
CANCELLED = "Cancelled"
_TEXTS = {
    "requests_total": ("counter", "Calls of the pipeline, answered or not"),
    "errors_total": ("counter", "Calls that ended with an error, by its class"),
    "retries_total": ("counter", "Requests that were sent again"),
    "seconds": ("histogram", "How long answered calls took, in seconds"),
}


@dataclass(frozen=True, kw_only=True)
class PipelineMetrics:
    """
    The calls of one pipeline so far.

    *errors* counts by class, *within* answered calls by upper bound in seconds, the last without one, each bound's
    among those of the next; *seconds* is their sum.
    """

    requests: int
    errors: Mapping[str, int]
    retries: int
    within: Mapping[float, int]
    seconds: float

    @property
    def answered(self) -> int:
        """Calls without an error."""
        return self.requests - sum(self.errors.values())

    def quantile_s(self, share: float) -> float:
        """
        Within how many seconds this *share* of answered calls came, about: straight between bounds; NaN without any.

        >>> metrics = PipelineMetrics(
        ...     requests=10, errors={}, retries=0, within={0.1: 5, 0.2: 10, float("inf"): 10}, seconds=1.2)
        >>> round(metrics.quantile_s(0.9), 3)
        0.18
        """
        wanted, lower, before = share * self.answered, 0.0, 0
        for bound, count in self.within.items():
            if count >= wanted and count:
                return (
                    lower if bound == float("inf") else lower + (bound - lower) * (wanted - before) / (count - before)
                )
            lower, before = bound, count
        return float("nan")


class ClientMetrics:
    """
    What one client, or any number that share it, was asked, by pipeline.

    Any thread may count, and a call's counting takes a few microseconds.  ``str`` gives it as a page for Prometheus.

    >>> from sextant_client import Client
    >>> from sextant_client.testing import InMemoryTransport
    >>> def double(x):
    ...     return {"doubled": 2 * x}
    >>> client = Client(transport=InMemoryTransport(double, inputs={"x": "FP32 [3]"}))
    >>> for _ in range(3):
    ...     _ = client.pipeline("double")([1, 2, 3])
    >>> client.metrics["double"].answered, str(client.metrics).splitlines()[2]
    (3, 'sextant_client_requests_total{pipeline="double"} 3')
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._tallies: dict[str, _Tally] = {}

    def __contains__(self, pipeline: str) -> bool:
        return pipeline in self._tallies

    def __iter__(self) -> Iterator[str]:
        """The pipelines that a client was told to ask, whether it has asked them yet or not."""
        return iter(sorted(self._tallies))

    def __getitem__(self, pipeline: str) -> PipelineMetrics:
        """What was counted of *pipeline*; all zero where it was not asked yet."""
        return self._tallies.get(pipeline, _Tally()).said()

    def __str__(self) -> str:
        said = {pipeline: self[pipeline] for pipeline in self}
        return "".join(f"{line}\n" for line in _page(said))

    def calls(self, pipeline: str) -> Callable[[], Timed]:
        """What makes a ``with`` block one call of *pipeline*, which is counted when it ends, however it does."""
        return partial(Timed, self._tally(pipeline))

    def retried(self, pipeline: str) -> None:
        """A request of *pipeline* is sent again."""
        self._tally(pipeline).retried()

    def _tally(self, pipeline: str) -> _Tally:
        tally = self._tallies.get(pipeline)
        if tally is None:
            with self._lock:
                tally = self._tallies.setdefault(pipeline, _Tally())
        return tally


class Timed:
    """One call, from here on."""

    __slots__ = ("_begun", "_tally")

    def __init__(self, tally: _Tally) -> None:
        self._tally, self._begun = tally, perf_counter()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._tally.answered(perf_counter() - self._begun)
        else:
            self._tally.failed(CANCELLED if kind is GeneratorExit else kind.__name__)


class _Tally:
    def __init__(self) -> None:
        self._lock = Lock()
        self._counts, self._seconds = [0] * (len(BOUNDS_S) + 1), 0.0
        self._errors: dict[str, int] = {}
        self._retries = 0

    def answered(self, seconds: float) -> None:
        place = bisect_left(BOUNDS_S, seconds)
        with self._lock:
            self._counts[place] += 1
            self._seconds += seconds

    def failed(self, error: str) -> None:
        with self._lock:
            self._errors[error] = self._errors.get(error, 0) + 1

    def retried(self) -> None:
        with self._lock:
            self._retries += 1

    def said(self) -> PipelineMetrics:
        with self._lock:
            within = dict(zip((*BOUNDS_S, float("inf")), accumulate(self._counts), strict=True))
            errors = dict(sorted(self._errors.items()))
            return PipelineMetrics(
                requests=sum(self._counts) + sum(errors.values()),
                errors=errors,
                retries=self._retries,
                within=within,
                seconds=self._seconds,
            )


def _page(said: Mapping[str, PipelineMetrics]) -> Iterator[str]:
    for name, (kind, text) in _TEXTS.items():
        full = f"sextant_client_{name}"
        yield f"# HELP {full} {text}"
        yield f"# TYPE {full} {kind}"
        for pipeline, metrics in said.items():
            for suffix, labels, value in _lines(name, metrics):
                labelled = ",".join(
                    f'{key}="{_escaped(word)}"' for key, word in {"pipeline": pipeline, **labels}.items()
                )
                yield f"{full}{suffix}{{{labelled}}} {value}"


def _lines(name: str, metrics: PipelineMetrics) -> Iterator[tuple[str, dict[str, str], float]]:
    if name == "errors_total":
        yield from (("", {"error": error}, count) for error, count in metrics.errors.items())
    elif name == "seconds":
        for bound, count in metrics.within.items():
            yield "_bucket", {"le": "+Inf" if bound == float("inf") else f"{bound:g}"}, count
        yield "_sum", {}, metrics.seconds
        yield "_count", {}, metrics.answered
    else:
        yield "", {}, metrics.requests if name == "requests_total" else metrics.retries


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
