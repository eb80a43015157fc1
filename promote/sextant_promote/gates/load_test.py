"""
The load test of a spec's gates: Locust's callers, as many as are expected and in the shape they come in, on a release.

It runs in a process of its own, ``python -m sextant_loadtest``: Locust rewrites the sockets of the one it is in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import nan
from pathlib import Path
from typing import Any

from sextant.errors import MissingExtra, PromoteError
from sextant_export.evidence import pack_proof, read_proof
from sextant_export.gate import LoadGate
from sextant_export.signature import Feed
from sextant_export.store import Store
from sextant_promote.gates.arm import Arm
from sextant_promote.gates.labelled import Labelled
from sextant_promote.gates.result import GateResult, judged

COMMAND = (sys.executable, "-m", "sextant_loadtest")
_ROWS, _LEEWAY_S = "rows", 120.0
_WHOLE = "done"
"""How a load ends that lasted as long as it should, and under which no server went away."""


def require_load_test() -> None:
    """``MissingExtra`` where load tests are not installed."""
    if find_spec("sextant_loadtest") is None or find_spec("locust") is None:
        raise MissingExtra("loadtest", "gate.load")


def judged_load(
    gate: LoadGate, url: str, arms: Sequence[Arm], rows: Labelled | None, store: Store
) -> tuple[GateResult, ...]:
    """
    Every limit of *gate*, on the first of *arms*, the candidate, and where a limit is relative on the serving release.

    They are asked one after the other at *url*, with *rows*, else with those that a member alone was proven on.
    """
    needed = arms if any(limit.relative for limit in gate.limits.values()) else arms[:1]
    found, *others = (_outcome(gate, url, arm, _feed(arm, rows, store)) for arm in needed)
    put_on = f"{gate.users} users, {gate.shape}, for {gate.duration_s:g} s"
    on, note = f"{put_on}, with {rows.said}" if rows else put_on, _doubts(found)
    return tuple(
        judged(f"load {name}", limit, _figure(found, name), _figure(others[0], name) if others else None, note, on)
        for name, limit in gate.limits.items()
    )


def _figure(outcome: Mapping[str, Any], name: str) -> float:
    """Not a number where no request was answered, which keeps to no limit."""
    value = outcome["total"][name]
    return nan if value is None else float(value)


def _doubts(outcome: Mapping[str, Any]) -> str:
    said = [f"{count} x {name}: {outcome['sentences'][name]}" for name, count in outcome["total"]["errors"].items()]
    return "; ".join([*said, *outcome["warnings"]])


def _feed(arm: Arm, rows: Labelled | None, store: Store) -> Feed:
    """The rows that callers send, by the names of the pipeline's tensors."""
    if rows is not None:
        return arm.sent(rows)
    ((feed, _),) = read_proof(store, arm.receipt).values()
    return arm.named(feed)


def _outcome(gate: LoadGate, url: str, arm: Arm, feed: Feed) -> Mapping[str, Any]:
    """What ``python -m sextant_loadtest`` prints; ``PromoteError`` with its sentence where there is nothing."""
    with tempfile.TemporaryDirectory(prefix="sextant-gate-") as directory:
        path = Path(directory) / "rows.npz"
        pack_proof(path, {_ROWS: (feed, {})})
        put_on = {"users": gate.users, "shape": gate.shape, "duration_s": gate.duration_s}
        plan = {"pipeline": arm.receipt.name, "urls": [url], "rows_file": str(path), **put_on}
        try:
            done = subprocess.run(
                COMMAND,
                input=json.dumps(plan),
                capture_output=True,
                text=True,
                check=False,
                timeout=gate.duration_s + _LEEWAY_S,
            )
        except subprocess.TimeoutExpired as error:
            raise PromoteError(f"gate.load: the load did not end within {error.timeout:g} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise PromoteError(f"gate.load: {said[-1] if said else f'it ended with code {done.returncode}'}")
    outcome: Mapping[str, Any] = json.loads(done.stdout)
    if outcome["ended"] != _WHOLE:
        raise PromoteError(f"gate.load: {arm.receipt.name} has no verdict: {_doubts(outcome) or outcome['ended']}")
    return outcome
