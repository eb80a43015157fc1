"""The second proof: each member, asked through Triton, answers as its MLflow flavour did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import ParityError
from sextant_export.evidence import read_proof
from sextant_export.parity import compare
from sextant_export.receipt import Receipt
from sextant_export.signature import Arrays, Feed
from sextant_export.store import Store
from sextant_promote.control import Control


def prove_served(store: Store, receipt: Receipt, control: Control) -> dict[str, dict[str, Any]]:
    """
    The largest difference, for each member, between what Triton answers and what its flavour answered at export.

    ``ParityError`` where it is above the tolerance the export was proven at.
    """
    evidence = read_proof(store, receipt)
    batch = text_format.Parse(receipt.ensemble, ModelConfig()).max_batch_size
    return {name: _prove(control, member, *evidence[name], batch) for name, member in receipt.members.items()}


def _prove(control: Control, member: Mapping[str, Any], feed: Feed, expected: Arrays, batch: int) -> dict[str, Any]:
    rows = len(next(iter(feed.values())))
    parts = [_answer(control, member, _slice(feed, i, i + batch)) for i in range(0, rows, batch)]
    given = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    try:
        served = compare(expected, given, _tolerance(control, member))
    except ParityError as error:
        raise ParityError(
            f"{member['model']} version {member['version']}, asked through Triton: {error}; {_advice(member)}",
            worst=error.worst,
            tolerance=error.tolerance,
        ) from error
    return {"rows": rows, "max_abs_delta": served.max_abs_delta, "tolerance": served.tolerance}


def _advice(member: Mapping[str, Any]) -> str:
    if member["converted"]:
        return "compare the server's ONNX Runtime with the one that the release was exported on"
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


def _slice(feed: Feed, start: int, stop: int) -> Feed:
    return {name: array[start:stop] for name, array in feed.items()}


def _answer(control: Control, member: Mapping[str, Any], feed: Feed) -> dict[str, NDArray[Any]]:
    return control.answer(member["model"], member["version"], feed)
