"""
The second proof, through Triton: each member answers as its MLflow flavour did, and a fused graph as its ensemble.

What is in a graph is not served by itself, so that the graph is asked in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import ParityError
from sextant_export.evidence import OF_GRAPH, read_proof
from sextant_export.fusing.proof import in_metres, tolerances
from sextant_export.parity import asked, compare
from sextant_export.proof import Proof
from sextant_export.receipt import Receipt
from sextant_export.signature import Arrays, Feed
from sextant_export.store import Store
from sextant_promote.control import Control


def prove_served(store: Store, receipt: Receipt, control: Control) -> dict[str, dict[str, Any]]:
    """
    The largest difference, for each member and for a fused graph, between what Triton answers and the export's answers.

    ``ParityError`` where it is above the tolerance the export was proven at.
    """
    evidence = read_proof(store, receipt)
    batch = text_format.Parse(receipt.ensemble, ModelConfig()).max_batch_size
    fused = receipt.fused or {}
    alone = {name: member for name, member in receipt.members.items() if name not in fused.get("members", ())}
    proofs = {name: _prove(control, member, *evidence[name], batch) for name, member in alone.items()}
    if "model" in fused:
        proofs[fused["model"]] = _prove_graph(control, fused, *evidence[OF_GRAPH], batch)
    return proofs


def _prove(control: Control, member: Mapping[str, Any], feed: Feed, expected: Arrays, batch: int) -> dict[str, Any]:
    given = _answered(control, member, feed, batch)
    stated = _tolerance(control, member)
    return _facts(member, lambda: compare(expected, given, stated), _advice(member))


def _prove_graph(
    control: Control, fused: Mapping[str, Any], feed: Feed, expected: Arrays, batch: int
) -> dict[str, Any]:
    wanted, given = in_metres(expected), in_metres(_answered(control, fused, feed, batch))
    allowed = tolerances(wanted, exact=fused["exact"], reach_m=fused["reach_m"])
    return _facts(fused, lambda: compare(wanted, given, allowed), _OTHER_RUNTIME)


_OTHER_RUNTIME = "compare the server's ONNX Runtime with the one that the release was exported on"


def _facts(model: Mapping[str, Any], compared: Callable[[], Proof], advice: str) -> dict[str, Any]:
    try:
        proof = compared()
    except ParityError as error:
        raise ParityError(
            f"{model['model']} version {model['version']}, asked through Triton: {error}; {advice}",
            worst=error.worst,
            tolerance=error.tolerance,
        ) from error
    return {"rows": proof.rows, "max_abs_delta": proof.max_abs_delta, "tolerance": proof.tolerance}


def _advice(member: Mapping[str, Any]) -> str:
    if member["converted"]:
        return _OTHER_RUNTIME
    return (
        "it is its own Python in both places, and answers otherwise in another process: which of two equally near "
        "neighbours comes first, for one, hangs on the number of threads; train it without such ties"
    )


def _tolerance(control: Control, member: Mapping[str, Any]) -> float | None:
    """What the export stated; of float16 plans, where this server serves them, what their own proof stated."""
    half = member.get("plans_proof")
    if half and control.backend(member["model"], member["version"]) == "tensorrt":
        return float(half["stated_tolerance"])
    stated: float | None = member["proof"]["stated_tolerance"]
    return stated


def _answered(control: Control, model: Mapping[str, Any], feed: Feed, batch: int) -> Arrays:
    return asked(lambda rows: control.answer(model["model"], model["version"], rows), feed, batch)
