"""Estimators as MLflow saves them, and the proof that their graphs answer as they do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np

from sextant_export.graph_file import GraphFile, settle
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.parity import prove
from sextant_export.proof import Proof
from sextant_export.registry import Artifact, RegisteredVersion
from sextant_export.rows import proof_feed
from sextant_export.signature import Signature
from sextant_export.tree_thresholds import thresholds


@dataclass(frozen=True)
class Copied:
    """A graph, and the proof that it answers as its original."""

    graph: GraphFile
    proof: Proof
    answers: dict[str, np.ndarray]

    @property
    def exact(self) -> bool:
        """Proven, without one row that had to be excused."""
        return self.proof.proven and self.proof.edges == ()


def saved(path: Path, flavor: str, model: Any, example: Any, **options: Any) -> Artifact:
    """*model* as MLflow saves it in *flavor*, its signature that of the rows *example*."""
    options |= {"serialization_format": "cloudpickle"} if flavor == "sklearn" else {}
    with quiet_mlflow(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = getattr(mlflow, flavor)
        signature = mlflow.models.infer_signature(example)
        module.save_model(model, str(path), signature=signature, pip_requirements=["mlflow"], **options)
        described = mlflow.models.Model.load(str(path))
    version = RegisteredVersion(
        name="table",
        version=3,
        run_id="r",
        source=str(path),
        flavors=described.flavors,
        signature=Signature.of(described.signature),
    )
    return Artifact(version=version, path=path, digest="")


def converter(flavor: str) -> ModuleType:
    """The converter of *flavor*."""
    return import_module(f"sextant_export.converters.{flavor}_flavor")


def copied(path: Path, flavor: str, model: Any, example: Any, count: int = 1000, **options: Any) -> Copied:
    """*model* saved, converted, corrected and proven on *count* rows like *example*, and rows on every edge."""
    artifact = saved(path / "model", flavor, model, example, **options)
    graph = settle(converter(flavor).convert(artifact, artifact.signature), artifact.path, path / "graph")
    original = converter(flavor).original(artifact)
    known = artifact.signature.feed(example, graph.inputs)
    feed = proof_feed(
        graph.inputs,
        [known],
        count,
        0,
        artifact.signature.inputs,
        original=original,
        thresholds=thresholds(graph.model),
    )
    proof, answers = prove(graph.answer, original, feed)
    return Copied(graph, proof, dict(answers))
