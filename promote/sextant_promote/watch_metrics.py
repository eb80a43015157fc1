"""
What only a watch knows, as metrics of Prometheus: passes and what came of them, what serves where, known cases.

What passes do is counted as it happens; what serves is looked up by a thread of its own (:mod:`.look`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from sextant.errors import ParametersError
from sextant_export.store import Store
from sextant_promote.fleet import Fleet
from sextant_promote.look import Look
from sextant_promote.watch import IN_ORDER, Notice, Pass

LOOK_S = 5.0
_DURATIONS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class WatchMetrics:
    """
    The metrics of one watch over *store*; *look_s* is how often servers are asked what they serve.

    A watch is given its listener by way of :meth:`telling`, its fleet by way of :meth:`seen`, and :meth:`passed`;
    :meth:`served_at` opens the page.
    """

    def __init__(self, store: Store, *, look_s: float = LOOK_S) -> None:
        self.registry = CollectorRegistry()
        self._look, self._look_s = Look(store), look_s
        self._names: dict[Path, str] = {}
        self.registry.register(self._look)
        self._events = Counter(
            "sextant_watch_events",
            "What a watch did or met, as its log says it: promoted, rolled_back, refused, repaired, away, ...",
            ["pipeline", "event"],
            registry=self.registry,
        )
        self._passes = Counter(
            "sextant_watch_passes",
            "Passes over a pipeline, by how they ended",
            ["pipeline", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sextant_watch_pass_seconds",
            "How long a pass took, promotions and their canaries included, in seconds",
            ["pipeline"],
            buckets=_DURATIONS,
            registry=self.registry,
        )
        self._ended = _gauge(
            "sextant_watch_last_pass_timestamp_seconds", "When the last pass over the pipeline ended", self.registry
        )
        self._trouble = _gauge(
            "sextant_watch_in_trouble", "Whether the last pass left it in trouble: 1 or 0", self.registry
        )

    def telling(self, told: Callable[[Notice], None]) -> Callable[[Notice], None]:
        """*told*, each line of whose log is counted."""

        def tell(notice: Notice) -> None:
            self._events.labels(notice.pipeline, _word(notice.event)).inc()
            told(notice)

        return tell

    def passed(self, ended: Pass) -> None:
        """Count a pass."""
        name = ended.pipeline
        if (before := self._names.get(ended.page, name)) != name:
            self._forget(before)
        self._names[ended.page] = name
        for event in _EVENTS:  # at zero, so that the first is a rise
            self._events.labels(name, event)
        self._passes.labels(name, _word(ended.outcome)).inc()
        self._seconds.labels(name).observe(ended.seconds)
        self._ended.labels(name).set_to_current_time()
        self._trouble.labels(name).set(ended.outcome != IN_ORDER)
        self._look.asked_every_s[name] = ended.asked_every_s

    def _forget(self, pipeline: str) -> None:
        """Its page is another's now: what was true of it last would be taken for what is."""
        self._ended.remove(pipeline)
        self._trouble.remove(pipeline)
        self._look.asked_every_s.pop(pipeline, None)

    def seen(self, fleet: Callable[[], Fleet]) -> Callable[[], Fleet]:
        """*fleet*, whose servers are looked at from the first time on that the watch asks for it."""

        def asked() -> Fleet:
            self._look.fleet = fleet()
            return self._look.fleet

        return asked

    @contextmanager
    def served_at(self, host: str, port: int) -> Iterator[str]:
        """
        The page at ``http://host:port/metrics`` until the ``with`` block ends; gives its URL, port 0 being a free one.

        ``ParametersError`` where the address cannot be had.
        """
        try:
            server, serving = start_http_server(port, host, self.registry)
        except (OSError, OverflowError) as error:
            said = getattr(error, "strerror", None) or error
            raise ParametersError(f"metrics cannot be served on {host}:{port}: {said}; name a free port") from error
        ended = Event()
        looking = Thread(target=self._keep_looking, args=(ended,), name="sextant-look", daemon=True)
        looking.start()
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics"
        finally:
            ended.set()
            server.shutdown()
            serving.join()
            server.server_close()

    def _keep_looking(self, ended: Event) -> None:
        while not ended.wait(self._look_s):
            with suppress(Exception):  # the next look may succeed, and the page shows how old this one is
                self._look()


_EVENTS = ("promoted", "rolled_back", "refused", "repaired")


def _word(said: str) -> str:
    return said.replace(" ", "_")


def _gauge(name: str, text: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(name, text, ["pipeline"], registry=registry)
