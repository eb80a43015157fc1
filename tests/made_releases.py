"""Releases in a store, made of a member and a block that nobody trained: whole for the store, quick for a test."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format

from sextant.tensors import Tensor
from sextant_export.config import Configs, ensemble_config, onnx_config
from sextant_export.evidence import proof_path
from sextant_export.pipeline import Serving
from sextant_export.receipt import Receipt, read_receipt, write_receipt
from sextant_export.release import front_config
from sextant_export.store import Candidate, Store
from sextant_export.wiring import EnsembleStep

X, Y = Tensor("x", "FP32", (4,)), Tensor("y", "FP32", (2,))


def make(store: Store, number: int, *, forest: int, pipeline: str = "locate", **facts: Any) -> Receipt:
    """Release *number* of *pipeline*, of version *forest* of its member, with the receipt's other *facts*."""
    models = (("forest", forest), (f"{pipeline}.scale", number))
    for model, version in models:
        _publish(store, model, version)
    ensemble = _ensemble(pipeline, number, models)
    receipt = Receipt(
        **{
            "pipeline": pipeline,
            "release": number,
            "identity": f"made of forest {forest}",
            "created": f"2026-01-{number:02}T08:00:00+00:00",
            "spec": {"name": pipeline, "answer": "tensors", "steps": [{"block": "scale", "with": {"offset": 100.0}}]},
            "members": {
                "oak": {"model": "forest", "version": forest, "kind": "onnx", "artifact_sha256": f"{forest:064}"}
            },
            "blocks": {"scale": {"offset": 100.0}},
            "calibration": None,
            "models": models,
            "introduced": (),
            "ensemble": text_format.MessageToString(ensemble),
            "tools": {"numpy": "1.26.4"},
            "configs": {model: [text_format.MessageToString(store.config(model))] for model, _ in models},
        }
        | facts
    )
    write_receipt(store, receipt)
    proof_path(store, pipeline, number).write_bytes(bytes(1000))
    store.write_ensemble(ensemble)
    return receipt


def serve(store: Store, receipt: Receipt) -> None:
    """Wire the front to the release of *receipt*, as a promotion does; what it and the one before need stays."""
    before = store.served_release(receipt.pipeline)
    day = receipt.created.replace("T08", "T09")
    write_receipt(store, receipt.ended("served", served_at=day, replaced=before))
    store.write_ensemble(front_config(receipt))
    for name in {*store.ensembles()} - {receipt.pipeline, receipt.name, f"{receipt.pipeline}.r{before}"}:
        if name.startswith(f"{receipt.pipeline}.r"):
            store.remove(name)
    store.narrow()


def served(store: Store, count: int, pipeline: str = "locate") -> None:
    """Releases 1 to *count*, each of a version of its own, each flipped to after the one before."""
    for number in range(1, count + 1):
        serve(store, make(store, number, forest=number, pipeline=pipeline))


def refuse(store: Store, number: int, *, forest: int) -> None:
    """A release that a gate refused: its ensemble is gone, its version directories are still there."""
    make(store, number, forest=forest, outcome="refused", reason="median_error_m 12 (NOT at most 9)")
    store.remove(f"locate.r{number}")
    store.narrow()


def outcome(store: Store, number: int) -> str:
    """What the receipt of release *number* of ``locate`` says."""
    return read_receipt(store, "locate", number).outcome


def _publish(store: Store, model: str, version: int) -> None:
    config = Configs(onnx_config(model, [X], [Y], Serving(), [version]))
    store.publish(
        Candidate(
            model=model,
            version=version,
            configs=config,
            write=lambda folder: (folder / "model.onnx").write_text(f"{model} {version}"),
        )
    )


def _ensemble(pipeline: str, number: int, models: tuple[tuple[str, int], ...]) -> Any:
    steps = [
        EnsembleStep(model, version, {"x": "x"}, {"y": f"y{place}"}) for place, (model, version) in enumerate(models)
    ]
    return ensemble_config(f"{pipeline}.r{number}", number, steps, [X], [Y], 8)
