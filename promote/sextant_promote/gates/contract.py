"""Whether a candidate takes and gives what the serving release does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant_export.config import type_word
from sextant_export.receipt import Receipt
from sextant_promote.gates.result import NOTHING_SERVES, GateResult


def judged_contract(candidate: Receipt, serving: Receipt | None) -> GateResult:
    """The gate ``io_contract``: no input differs from those of *serving*, and no output that it has."""
    changes = list(_changes(candidate, serving)) if serving else []
    return GateResult(
        gate="io_contract",
        wanted="0 changes",
        measured=float(len(changes)),
        passed=not changes,
        note="; ".join(changes) if serving else NOTHING_SERVES,
    )


def _changes(candidate: Receipt, serving: Receipt) -> Iterator[str]:
    becomes, was = (text_format.Parse(receipt.ensemble, ModelConfig()) for receipt in (candidate, serving))
    for side in ("input", "output"):
        here, there = _tensors(getattr(becomes, side)), _tensors(getattr(was, side))
        yield from (f"{side} {name}: {there[name]} is gone" for name in there.keys() - here.keys())
        for name in here.keys() & there.keys():
            if here[name] != there[name]:
                yield f"{side} {name}: {there[name]} became {here[name]}"
        if side == "input":
            yield from (f"input {name}: {here[name]} is added" for name in here.keys() - there.keys())


def _tensors(tensors: Any) -> dict[str, str]:
    said = {True: ", optional", False: ""}
    optional = {tensor.name: said[getattr(tensor, "optional", False)] for tensor in tensors}
    return {tensor.name: f"{type_word(tensor)} {list(tensor.dims)}{optional[tensor.name]}" for tensor in tensors}
