"""The two arms of a trial as a fleet serves them: given their requests, observed, asked, and taken apart again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from sextant.errors import AddressRefused, ServerUnreachable
from sextant.tensors import Floats
from sextant_client import Client
from sextant_export.pipeline import Canary, Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.canary.observations import Observed, Totals
from sextant_promote.canary.questions import CRITERIA, NOTHING, questions
from sextant_promote.canary.routing import route, unroute
from sextant_promote.fleet import Fleet

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE_S = 60.0
"""So long the counts of a server may be out of sight before the trial ends: it may be starting again."""


class Arms(Protocol):
    """What a trial does with a candidate beside the release that serves."""

    @property
    def known(self) -> Mapping[str, int]:
        """How many known cases there are, by the criterion that judges them; empty where there are none."""

    def route(self, weight: float) -> None:
        """Give the candidate this share of the requests."""

    def unroute(self) -> None:
        """Give the serving release all of them."""

    def observe(self) -> Observed | None:
        """What both arms have counted; None where it cannot be seen now."""

    def ask(self) -> Floats:
        """The differences of a few known cases more; empty where none is left."""


class ServedArms:
    """
    The arms *serving* and *candidate* of *pipeline*, loaded on every server of *fleet* from *store*.

    ``AddressRefused`` where nobody says where the metrics of a server are.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        fleet: Fleet,
        serving: Receipt,
        candidate: Receipt,
        registry: Registry,
    ) -> None:
        self._shadow = (pipeline.canary or Canary()).shadow
        self._store, self._fleet, self._receipts = store, fleet, (serving, candidate)
        self._totals = Totals(_metrics(fleet), pipeline.name)
        self._seen = time.monotonic()
        self._client = Client(fleet.servers[0].control.url)
        self._questions = questions(pipeline, self._client, serving, candidate, registry)
        self._criterion = CRITERIA.get(pipeline.answer, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    @property
    def known(self) -> Mapping[str, int]:
        """The number of known cases by what it is to answer one badly."""
        return {self._criterion: len(self._questions)} if self._questions else {}

    def route(self, weight: float) -> None:
        """Make the front a router between the arms, or change its weight."""
        route(self._store, self._fleet, *self._receipts, weight=weight, shadow=self._shadow)

    def unroute(self) -> None:
        """Make the front the ensemble of the serving release again."""
        unroute(self._store, self._fleet, self._receipts[0])

    def observe(self) -> Observed | None:
        """The counts of all servers together; ``ServerUnreachable`` where they cannot be had for ``PATIENCE_S``."""
        try:
            observed = self._totals.observe()
        except ServerUnreachable:
            if time.monotonic() - self._seen > PATIENCE_S:
                raise
            return None
        self._seen = time.monotonic()
        return observed

    def ask(self) -> Floats:
        """The differences of the next batch of known cases."""
        return NOTHING if self._questions is None else self._questions.next()


def _metrics(fleet: Fleet) -> list[str]:
    """Where each server's metrics are: what one of them does unseen could not be judged."""
    unknown = [server.url for server in fleet.servers if not server.metrics]
    if unknown:
        raise AddressRefused(
            f"nobody says where the metrics of {' and '.join(unknown)} are, so that a trial would not see what happens "
            'there: write metrics = "http://host:8002/metrics" under its [[server]], or leave canary out of the spec'
        )
    return [server.metrics for server in fleet.servers if server.metrics]
