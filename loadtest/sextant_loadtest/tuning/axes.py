"""The settings that are tried: along one axis at a time, everything else as it was found best so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from sextant_export.pipeline import Serving

DELAYS_US = (0, 100, 500, 2000)
AXES = ("instances", "threads", "batching")
_TUNED = ("instances", "intra_op_thread_count", "dynamic_batching", "max_queue_delay_us")


def along(axis: str, now: Serving, cores: int) -> tuple[Serving, ...]:
    """
    The settings to compare along *axis*: *now* first, then the others that a machine of so many *cores* may profit by.

    >>> [setting.instances for setting in along("instances", Serving(instances=3), cores=4)]
    [3, 1, 2, 4]
    """
    return tuple(dict.fromkeys((now, *_ALONG[axis](now, cores))))


def most(now: Serving, cores: int) -> Mapping[str, int]:
    """How many settings are compared along each axis at the most, whatever is found on the one before."""
    widest = {"threads": replace(now, instances=1)}
    return {axis: len(along(axis, widest.get(axis, now), cores)) for axis in AXES}


def said(setting: Serving, axis: str) -> str:
    """
    The value of *setting* on *axis*, in words.

    >>> said(Serving(instances=2), "instances"), said(Serving(dynamic_batching=False), "batching")
    ('2', 'off')
    """
    if axis == "batching":
        return f"after {setting.max_queue_delay_us:,} us" if setting.dynamic_batching else "off"
    return str(setting.instances if axis == "instances" else setting.intra_op_thread_count)


def effort(setting: Serving) -> tuple[int, int]:
    """What a setting takes of a machine, the less the simpler: threads in all, and how long requests are held."""
    return setting.instances * setting.intra_op_thread_count, setting.max_queue_delay_us * setting.dynamic_batching


def changes(before: Serving, after: Serving) -> dict[str, int | bool | None]:
    """
    The keys of ``serving`` that make *after* of *before*; None for one that has to go.

    >>> changes(Serving(), Serving(dynamic_batching=False, instances=2))
    {'instances': 2, 'dynamic_batching': False, 'max_queue_delay_us': None}
    """
    given: dict[str, int | bool | None] = {
        name: getattr(after, name) for name in _TUNED if getattr(after, name) != getattr(before, name)
    }
    if after.dynamic_batching != before.dynamic_batching:
        given["max_queue_delay_us"] = after.max_queue_delay_us if after.dynamic_batching else None
    return given


def _instances(now: Serving, cores: int) -> Iterator[Serving]:
    return (replace(now, instances=count) for count in _doubling(cores))


def _threads(now: Serving, cores: int) -> Iterator[Serving]:
    """As many as leave the instances two threads a core at the most."""
    counts = (count for count in _doubling(cores) if count == 1 or count * now.instances <= 2 * cores)
    return (replace(now, intra_op_thread_count=count) for count in counts)


def _batching(now: Serving, _: int) -> Iterator[Serving]:
    yield replace(now, dynamic_batching=False)
    yield from (replace(now, dynamic_batching=True, max_queue_delay_us=delay) for delay in DELAYS_US)


def _doubling(cores: int) -> Iterator[int]:
    """1, 2, 4 and so on, and the number of *cores* itself."""
    count = 1
    while count < cores:
        yield count
        count *= 2
    yield cores


_ALONG: Mapping[str, Callable[[Serving, int], Iterator[Serving]]] = {
    "instances": _instances,
    "threads": _threads,
    "batching": _batching,
}
