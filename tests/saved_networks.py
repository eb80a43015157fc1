"""Neural networks as MLflow saves them, and their copies as an export makes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import infer_signature

from sextant_export.graph_file import GraphFile, settle
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.parity import prove
from sextant_export.proof import Proof
from sextant_export.registry import Artifact, RegisteredVersion
from sextant_export.signature import Feed, Signature

ROWS = 1000


def numbers(*dims: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, *dims)).astype(np.float32)


def saved(flavor: str, model: Any, path: Path, example: Any = None, **options: Any) -> Artifact:
    """*model* in the folder *path*, with the signature of *example* where none is among the *options*."""
    if example is not None:
        options.setdefault("signature", infer_signature(example))
    with quiet_mlflow() as mlflow:
        getattr(mlflow, flavor).save_model(model, str(path), pip_requirements=[flavor], **options)
        described = mlflow.models.Model.load(str(path))
    return artifact(path, described.flavors, described.signature)


def artifact(path: Path, flavors: Mapping[str, Any], signature: Any = None) -> Artifact:
    version = RegisteredVersion(
        name="net",
        version=3,
        run_id="r",
        source=str(path),
        flavors=flavors,
        signature=Signature.of(signature) if signature else None,
    )
    return Artifact(version=version, path=path, digest="")


def proven(converter: Any, artifact: Artifact, feed: Feed) -> tuple[GraphFile, Proof]:
    """The copy of *artifact*, and the proof that it answers *feed* as its original does."""
    model = converter.convert(artifact, artifact.signature)
    graph = settle(model, artifact.path, artifact.path / "copy")
    proof, _ = prove(graph.answer, converter.original(artifact), feed)
    return graph, proof
