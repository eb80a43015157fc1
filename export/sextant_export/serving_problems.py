"""How a pipeline is served: the section ``serving`` of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sextant_export.problem import Problem
from sextant_export.values import Bounds, Check, flag, number, section


def serving_problems(value: Any, address: str) -> Iterator[Problem]:
    """Every problem of ``serving``."""
    yield from section(_CHECKS)(value, address)
    if isinstance(value, Mapping) and value.get("dynamic_batching") is False and "max_queue_delay_us" in value:
        yield Problem(
            f"{address}.max_queue_delay_us", "nothing waits for company where dynamic_batching is false; drop one"
        )


_CHECKS: Mapping[str, Check] = {
    "max_batch_size": number(Bounds(at_least=1, at_most=65536, whole=True)),
    "dynamic_batching": flag,
    "max_queue_delay_us": number(Bounds(at_least=0, at_most=10_000_000, whole=True)),
    "instances": number(Bounds(at_least=1, at_most=256, whole=True)),
    "intra_op_thread_count": number(Bounds(at_least=1, at_most=1024, whole=True)),
    "response_cache": flag,
    "fuse_graph": flag,
}
