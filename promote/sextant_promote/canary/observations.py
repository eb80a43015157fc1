"""What the routers of a pipeline have counted, read from the metrics of every Triton and added up."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from sextant.errors import AddressRefused, ServerUnreachable
from sextant.route_tally import COMPARED, DIFFERING, ERRORS, LATENCY, PREFIX, REQUESTS
from sextant.routing import CANDIDATE, SERVING, SHADOW

TIMEOUT_S = 5.0
FAILED = "nv_inference_request_failure"
"""Triton's own count of the requests that a model's processes failed, errors that a router passes on left out."""
_SAMPLE = re.compile(rf"^({PREFIX}\w+|{FAILED}){{(.*)}} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class ArmCounts:
    """
    One arm: how many *requests* it was asked, how many of them it answered with *errors*.

    What both releases refuse is in neither.  *within* are the answers that came within so many ms, by upper bound, each
    bound's among those of the next; errors are in none.
    """

    requests: int
    errors: int
    within: Mapping[float, int]

    def __add__(self, other: ArmCounts) -> ArmCounts:
        return self._with(other, 1)

    def __sub__(self, other: ArmCounts) -> ArmCounts:
        return self._with(other, -1)

    @property
    def counts(self) -> tuple[int, ...]:
        """Every count there is."""
        return (self.requests, self.errors, *self.within.values())

    def _with(self, other: ArmCounts, sign: int) -> ArmCounts:
        bounds = sorted(self.within.keys() | other.within.keys())
        return ArmCounts(
            requests=self.requests + sign * other.requests,
            errors=self.errors + sign * other.errors,
            within={bound: self.within.get(bound, 0) + sign * other.within.get(bound, 0) for bound in bounds},
        )


NOBODY = ArmCounts(requests=0, errors=0, within={})


@dataclass(frozen=True)
class Observed:
    """
    Both arms, and how many mirrored answers were *compared* and found *differing*.

    *shadow* are the mirrored requests, which the serving release answered before the candidate was asked.  *broken*
    requests were failed by the router itself: a process of it died.
    """

    serving: ArmCounts
    candidate: ArmCounts
    compared: int
    differing: int
    shadow: ArmCounts = NOBODY
    broken: int = 0

    def __add__(self, other: Observed) -> Observed:
        return Observed(**{name: count + getattr(other, name) for name, count in vars(self).items()})

    def __sub__(self, other: Observed) -> Observed:
        return Observed(**{name: count - getattr(other, name) for name, count in vars(self).items()})

    @property
    def counts(self) -> tuple[int, ...]:
        """Every count there is."""
        arms = (*self.serving.counts, *self.candidate.counts, *self.shadow.counts)
        return (*arms, self.compared, self.differing, self.broken)


NOTHING = Observed(serving=NOBODY, candidate=NOBODY, compared=0, differing=0)


class _Sample(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float


def observe(metrics_urls: Sequence[str], pipeline: str) -> tuple[Observed, ...]:
    """
    The counts of the routers of *pipeline* behind each of *metrics_urls* (``http://host:port/metrics``).

    They begin with the first router of the trial and go on over a change of its weight; a Triton that is started again
    begins anew.  ``ServerUnreachable`` where one does not answer within ``TIMEOUT_S``.
    """
    pages = [tuple(_samples(url)) for url in metrics_urls]
    every = (sample for page in pages for sample in page if sample.labels.get("pipeline") == pipeline)
    trial = max((int(sample.labels["trial"]) for sample in every), default=0)
    return tuple(_counted(page, pipeline, trial) for page in pages)


class Totals:
    """What the routers of *pipeline* behind *metrics_urls* have counted in all, also before a Triton started again."""

    def __init__(self, metrics_urls: Sequence[str], pipeline: str) -> None:
        self._urls, self._pipeline = metrics_urls, pipeline
        self._before: tuple[Observed, ...] = tuple(NOTHING for _ in metrics_urls)
        self._total = NOTHING

    def observe(self) -> Observed:
        """All servers together; no count is ever below what it was.  Raises as :func:`observe`."""
        now = observe(self._urls, self._pipeline)
        for before, after in zip(self._before, now, strict=True):
            self._total += _since(before, after)
        self._before = now
        return self._total


def _since(before: Observed, now: Observed) -> Observed:
    """What came since *before*: all of it, where a count is below what it was, for then the server began anew."""
    new = now - before
    return now if min(new.counts) < 0 else new


def _counted(page: Sequence[_Sample], pipeline: str, trial: int) -> Observed:
    counts: Counter[tuple[str, str, float]] = Counter()
    for name, labels, value in page:
        if labels.get("pipeline") == pipeline and int(labels["trial"]) == trial:
            counts[name, labels["arm"], float(labels.get("le", 0))] += int(value)
    return _observed(_Counts(counts), broken=sum(_broken(sample, pipeline, trial) for sample in page))


def _broken(sample: _Sample, pipeline: str, trial: int) -> int:
    """A trial is called by the version of its first router, and no later one has a lower."""
    labels = sample.labels
    ours = sample.name == FAILED and labels.get("model") == pipeline and labels.get("reason") == "BACKEND"
    return int(sample.value) if ours and trial and int(labels["version"]) >= trial else 0


class _Counts:
    def __init__(self, counts: Mapping[tuple[str, str, float], int]) -> None:
        self._plain = {(name, arm): count for (name, arm, _), count in counts.items()}
        self._within = {key: count for key, count in counts.items() if key[0] == f"{LATENCY}_bucket"}

    def of(self, name: str, arm: str) -> int:
        return self._plain.get((name, arm), 0)

    def arm(self, arm: str) -> ArmCounts:
        within = {bound: count for (_, of, bound), count in sorted(self._within.items()) if of == arm}
        return ArmCounts(requests=self.of(REQUESTS, arm), errors=self.of(ERRORS, arm), within=within)


def _observed(counts: _Counts, broken: int) -> Observed:
    return Observed(
        serving=counts.arm(SERVING),
        candidate=counts.arm(CANDIDATE),
        compared=counts.of(COMPARED, SHADOW),
        differing=counts.of(DIFFERING, SHADOW),
        shadow=counts.arm(SHADOW),
        broken=broken,
    )


def _samples(url: str) -> Iterator[_Sample]:
    for name, labels, value in _SAMPLE.findall(_page(url)):
        yield _Sample(name, dict(_LABEL.findall(labels)), float(value))


def _page(url: str) -> str:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise AddressRefused(f"{url!r}: metrics are read over HTTP: write http://host:port/metrics")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as page:  # noqa: S310 - its scheme was checked
            return str(page.read().decode())
    except (OSError, HTTPException, ValueError) as error:
        raise ServerUnreachable(f"the metrics at {url} cannot be read: {getattr(error, 'reason', error)}") from error
