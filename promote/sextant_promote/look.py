"""
What serves, and how well: looked up again and again, and shown as it was last seen.

A server that hangs must not keep the page of metrics from being read, so nothing is asked while it is.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sextant.errors import ClientError, SextantError
from sextant_export.store import Store
from sextant_promote.canary.routing import trial_weight
from sextant_promote.fleet import Fleet, Server
from sextant_promote.known_figures import Figures, figures
from sextant_promote.results import read_results, results_path


class Look(Collector):
    """
    What serves of some pipelines, as it was last seen: asked of *store* and of the servers of *fleet*.

    *asked_every_s* has how often the known cases of each are asked; None: never.  Calling it looks; collecting gives
    what the last look saw.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked_every_s: dict[str, float | None] = {}
        self.fleet: Fleet | None = None
        self._seen: list[Metric] = []
        self._known: dict[str, tuple[object, Figures | None]] = {}

    def collect(self) -> list[Metric]:
        """What the last look saw."""
        return self._seen

    def __call__(self) -> None:
        """Look."""
        pipelines = sorted(self.asked_every_s)
        looked = _gauge("sextant_watch_looked_timestamp_seconds", "When the watch last looked at what serves")
        seen = [*self._promoted(pipelines), *self._serving(pipelines), *self._cases(pipelines)]
        looked.add_metric([], time.time())
        self._seen = [*seen, looked]

    def _promoted(self, pipelines: Iterable[str]) -> Iterator[Metric]:
        promoted = _gauge("sextant_promoted_release", "The release that the store says serves", "pipeline")
        weight = _gauge(
            "sextant_canary_weight",
            "The share of requests that the candidate of a trial answers",
            "pipeline",
            "release",
        )
        for name in pipelines:
            with suppress(SextantError):  # the store is away: the watch says so
                if release := self._store.served_release(name):
                    promoted.add_metric([name], release)
                if trial := trial_weight(self._store, name):
                    weight.add_metric([name, str(trial[0])], trial[1])
        yield from (promoted, weight)

    def _serving(self, pipelines: list[str]) -> Iterator[Metric]:
        up = _gauge("sextant_server_up", "Whether a server answers the watch: 1 or 0", "server")
        serving = _gauge(
            "sextant_serving_release", "The release that a server's front is wired to; 0: none", "pipeline", "server"
        )
        servers = self.fleet.servers if self.fleet else ()
        with ThreadPoolExecutor(max(1, len(servers)), "sextant-look") as pool:
            for server, releases in zip(
                servers, pool.map(lambda each: _releases(each, pipelines), servers), strict=True
            ):
                up.add_metric([server.url], releases is not None)
                for name, release in zip(pipelines, releases or (), strict=False):
                    serving.add_metric([name, server.url], release or 0)
        yield from (up, serving)

    def _cases(self, pipelines: Iterable[str]) -> Iterator[Metric]:
        made = {metric.name: metric for metric in _case_families()}
        for name in pipelines:
            if every_s := self.asked_every_s.get(name):
                made["sextant_known_cases_every_seconds"].add_metric([name], every_s)
            if found := self._figures(name):
                _add(made, name, found)
        yield from made.values()

    def _figures(self, pipeline: str) -> Figures | None:
        """Those of the newest round; the log is only read where it has grown."""
        try:
            stamp = results_path(self._store, pipeline).stat()
        except OSError:
            return None
        key = stamp.st_ino, stamp.st_size, stamp.st_mtime_ns
        if pipeline not in self._known or self._known[pipeline][0] != key:
            self._known[pipeline] = key, figures(read_results(self._store, pipeline))
        return self._known[pipeline][1]


def _releases(server: Server, pipelines: list[str]) -> list[int | None] | None:
    """What *server* serves of each; None where it does not answer."""
    try:
        return [server.control.release(name) for name in pipelines]
    except (ClientError, ValueError):  # the second is gRPC's, of a channel that was closed meanwhile
        return None


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _case_families() -> Iterator[GaugeMetricFamily]:
    of, by_level = ("pipeline", "release"), ("pipeline", "release", "confidence_level")
    yield _gauge(
        "sextant_known_cases_every_seconds", "How often the known cases are asked, as the spec says", "pipeline"
    )
    yield _gauge("sextant_known_cases_answered", "Known cases that were answered in the newest round", *of)
    yield _gauge("sextant_known_cases_unanswered", "Known cases that were not, before the round was left", *of)
    yield _gauge("sextant_known_cases_timestamp_seconds", "When the newest round ended", *of)
    yield _gauge("sextant_known_cases_accuracy", "The share of labels that were right", *of)
    yield _gauge("sextant_known_cases_median_error_m", "The median distance of fixes from the truth, in metres", *of)
    yield _gauge("sextant_known_cases_coverage", "The share of ellipses that hold the truth", *by_level)
    yield _gauge("sextant_known_cases_coverage_upper", "The largest coverage of which this may be chance", *by_level)
    yield _gauge("sextant_known_cases_coverage_promised", "The coverage that was promised", *by_level)


def _add(made: dict[str, GaugeMetricFamily], pipeline: str, found: Figures) -> None:
    of = [pipeline, str(found.release or "")]
    plain = {
        "answered": found.answered,
        "unanswered": found.unanswered,
        "timestamp_seconds": dt.datetime.fromisoformat(found.at).timestamp(),
        "accuracy": found.accuracy,
        "median_error_m": found.median_error_m,
    }
    for word, value in plain.items():
        if value is not None:
            made[f"sextant_known_cases_{word}"].add_metric(of, value)
    for level, coverage in found.coverage.items():
        said = {"": coverage.share, "_upper": coverage.upper, "_promised": coverage.promised}
        for word, share in said.items():
            made[f"sextant_known_cases_coverage{word}"].add_metric([*of, level], share)
