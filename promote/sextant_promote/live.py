"""
Live results: some known cases, always the same ones, through what is served under the public name.

They are asked one by one, as callers ask, of one server after the other. Where answers are cached, the release is asked
under its own name: from the cache, every round would be the first one again, whatever became of the models.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import cycle
from typing import Any

import numpy as np

from sextant.answers import Fix
from sextant.errors import (
    DeadlineExceeded,
    ModelNotReady,
    ReceiptError,
    ServerBusy,
    ServerUnreachable,
    SextantError,
)
from sextant.scores import inside, offsets_m
from sextant.values import level_text
from sextant_client import Client
from sextant_client import Pipeline as Served
from sextant_export.known_cases import KnownCases, read_known_cases
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt, read_receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_export.training_step import training_step
from sextant_promote.canary.routing import routed
from sextant_promote.results import Result, append_results

AWAY = (ServerUnreachable, DeadlineExceeded, ServerBusy, ModelNotReady)
"""After one of these there is no use in asking the next case."""
SEED = 0


def log_known_cases(
    pipeline: Pipeline, store: Store, registry: Registry, receipt: Receipt, *urls: str
) -> tuple[str, ...]:
    """
    Ask the Tritons at *urls* the spec's live cases of *pipeline* and append each answer to its result log.

    *receipt* is that of the release that serves. Gives a sentence where it came to nothing, or not to its end; raises
    nothing of Sextant's: what is served is no worse for want of a line in a log.
    """
    if pipeline.live is None or pipeline.calibration is None:
        return ()
    try:
        cases = read_known_cases(pipeline.calibration)
        chosen = chosen_cases(len(cases), pipeline.live.rows)
        results = tuple(_results(pipeline, store, registry, receipt, urls, cases, chosen))
        append_results(store, pipeline.name, results)
    except SextantError as error:
        return (f"the known cases of {pipeline.name} are not logged: {error}",)
    if results and results[-1].error and len(results) < len(chosen):
        return (f"of {len(chosen)} known cases {len(results) - 1} were asked: {results[-1].error}",)
    return ()


def chosen_cases(count: int, rows: int) -> list[int]:
    """
    Which *rows* of *count* known cases are asked: always the same, so that releases can be compared by them.

    >>> chosen_cases(300, 3)
    [36, 128, 291]
    """
    chosen = np.random.default_rng(SEED).permutation(count)[:rows]
    return sorted(int(case) for case in chosen)


def asked_model(store: Store, receipt: Receipt) -> str:
    """The Triton model that computes what the serving release of *receipt* answers callers with."""
    cached = receipt.cached and not routed(store, receipt.pipeline)
    return receipt.name if cached else receipt.pipeline


def _results(
    pipeline: Pipeline,
    store: Store,
    registry: Registry,
    receipt: Receipt,
    urls: tuple[str, ...],
    cases: KnownCases,
    chosen: list[int],
) -> Iterator[Result]:
    """One a case; where a server is away, its sentence is the last."""
    assert pipeline.live is not None  # noqa: S101  the caller looked
    made_of = _Makings(store, registry, receipt)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(url, timeout_s=pipeline.live.timeout_s)) for url in urls]
        served = [client.pipeline(asked_model(store, receipt)) for client in clients]
        for each in served:
            _learn(each, cases)
        for case, (url, ask) in zip(chosen, cycle(zip(urls, served, strict=True)), strict=False):
            result, goes_on = _asked(ask, cases, case, url, made_of)
            yield result
            if not goes_on:
                return


class _Makings:
    """What the release that answered is made of: versions and training steps, by member."""

    def __init__(self, store: Store, registry: Registry, serving: Receipt) -> None:
        self._store, self._registry, self._serving = store, registry, serving

    def __call__(self, release: int | None) -> dict[str, Any]:
        """The fields of a result that say so; of a release whose receipt is gone, nothing."""
        if release is None:
            release = self._serving.release
        try:
            receipt = read_receipt(self._store, self._serving.pipeline, release)
        except ReceiptError:
            return {"release": release}
        uris = {name: str(member["uri"]) for name, member in receipt.members.items()}
        steps = {name: training_step(self._registry, uri) for name, uri in uris.items()}
        return {"release": release, "versions": uris, "steps": steps}


def _learn(ask: Served, cases: KnownCases) -> None:
    """No rows, and so no answers, but the client then knows what the pipeline takes: no case waits for that."""
    with suppress(SextantError):
        ask(cases.features[:0], **_beside(cases, slice(0)))


def _asked(
    ask: Served, cases: KnownCases, case: int, url: str, made_of: Callable[[int | None], dict[str, Any]]
) -> tuple[Result, bool]:
    """The result of one case, and whether there is use in asking the next."""
    truth = cases.truth[case]
    expected = truth.tolist() if isinstance(truth, np.ndarray | np.generic) else truth
    facts = {"at": _now(), "case": case, "expected": expected, "server": url}
    begun = time.perf_counter()
    try:
        answer = ask(cases.features[case], **_beside(cases, case))
    except SextantError as error:
        return Result(**facts, **made_of(None), error=str(error)), not isinstance(error, AWAY)
    latency_ms = (time.perf_counter() - begun) * 1000
    return Result(**facts, **made_of(answer.release), latency_ms=latency_ms, **_judged(answer, truth)), True


def _judged(answer: Any, truth: Any) -> dict[str, Any]:
    """What is predicted, and how right that is."""
    if not isinstance(answer, Fix):
        return {"prediction": answer.label, "correct": bool(answer.label == truth)}
    offset = offsets_m([answer], truth[None])
    held = {level: bool(inside([answer], offset, level)[0]) for level in answer.confidence_levels}
    return {
        "prediction": [answer.latitude, answer.longitude],
        "correct": held[max(held)] if held else None,
        "error_m": float(np.linalg.norm(offset)),
        "inside": {level_text(level): within for level, within in held.items()},
    }


def _beside(cases: KnownCases, rows: int | slice) -> Mapping[str, Any]:
    """What a caller sends beside the features: the group of each row, where they are calibrated apart."""
    return {} if cases.apart is None else {"group": cases.apart[:, None][rows]}


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")
