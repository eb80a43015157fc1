"""
A model of the ``triton`` flavour: a folder as a Triton model repository has it, logged whole.

The flavour is that of NVIDIA's MLflow plugin. A folder that ONNX Runtime serves holds what the flavour ``onnx`` holds,
in another place, and is taken as such. :func:`save_model` and :func:`log_model` make the flavour, so that whoever
published with that plugin's scripts can go on.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from sextant.errors import ConversionError, StoreError
from sextant_export.config import read_config
from sextant_export.converters import onnx_flavor
from sextant_export.original import Original
from sextant_export.registry import Artifact
from sextant_export.signature import Signature

FLAVOR_NAME = "triton"
EXACTNESS = 90
CONFIG = "config.pbtxt"
GRAPH = "model.onnx"
BACKENDS = ("onnxruntime", "onnxruntime_onnx")


def convert(artifact: Artifact, signature: Signature | None) -> onnx.ModelProto:
    """The graph in the folder's newest version; ConversionError where another backend serves it, or it is not whole."""
    return onnx_flavor.convert(_as_onnx(artifact), signature)


def original(artifact: Artifact) -> Original:
    """The very file that was published, asked in ONNX Runtime."""
    return onnx_flavor.original(_as_onnx(artifact))


def save_model(
    triton_model_path: str | Path,
    path: str | Path,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
) -> None:
    """Save the model folder *triton_model_path* as an MLflow model in the new folder *path*."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model
    from mlflow.models.utils import _save_example
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS

    source, target = Path(triton_model_path).resolve(), Path(path)
    if target.exists() and any(target.iterdir()):
        raise MlflowException(f"{target} is there already: name a new folder", RESOURCE_ALREADY_EXISTS)
    described = mlflow_model or Model()
    shutil.copytree(source, target / source.name)
    if signature is not None:
        described.signature = signature
    if input_example is not None:
        _save_example(described, input_example, str(target))
    described.add_flavor(FLAVOR_NAME, data=source.name)
    described.save(str(target / "MLmodel"))


def log_model(triton_model_path: str | Path, artifact_path: str | None = None, **facts: Any) -> Any:
    """
    Log the model folder *triton_model_path* in the active run; gives MLflow's ``ModelInfo``.

    *facts* are those of ``mlflow.models.Model.log``: ``name``, ``registered_model_name``, ``await_registration_for``;
    and ``signature`` and ``input_example``.
    """
    from mlflow.models import Model

    name = facts.pop("name", artifact_path or FLAVOR_NAME)
    flavor = sys.modules[__name__]
    return Model.log(None, name=name, flavor=flavor, triton_model_path=str(triton_model_path), **facts)


def _as_onnx(artifact: Artifact) -> Artifact:
    """The same files, as the flavour ``onnx`` describes them."""
    flavors = {"onnx": {"data": _graph(artifact).relative_to(artifact.path).as_posix()}}
    return replace(artifact, version=replace(artifact.version, flavors=flavors))


def _graph(artifact: Artifact) -> Path:
    """The ONNX file that Triton would load."""
    folder = _folder(artifact)
    config = _config(artifact, folder)
    backend = (config.backend or config.platform) if config else BACKENDS[0]
    if backend not in BACKENDS:
        raise ConversionError(
            f"{artifact.version}: its {CONFIG} is for the backend {backend!r}, and of the flavour {FLAVOR_NAME} only "
            "ONNX models are taken, for their answers can be proven: log the model in its own flavour, "
            "or export it to ONNX"
        )
    versions = sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdigit())
    if not versions:
        raise ConversionError(f"{artifact.version}: expected a version folder like {folder.name}/1/, found none")
    return _file(artifact, folder / str(versions[-1]) / ((config and config.default_model_filename) or GRAPH))


def _folder(artifact: Artifact) -> Path:
    name = str(artifact.flavors[FLAVOR_NAME].get("data", ""))
    folder = artifact.path / name
    if not name or not folder.resolve().is_relative_to(artifact.path.resolve()) or not folder.is_dir():
        raise ConversionError(f"{artifact.version}: its Triton model folder {name!r} is not among its files")
    return folder


def _config(artifact: Artifact, folder: Path) -> Any | None:
    """The folder's configuration; None where it relies on Triton to complete one."""
    path = folder / CONFIG
    try:
        return read_config(path) if path.is_file() else None
    except StoreError as error:
        raise ConversionError(f"{artifact.version}: {error}") from error


def _file(artifact: Artifact, path: Path) -> Path:
    """Triton also takes a folder of the file's name, with the graph and its weights in it."""
    inside = path / GRAPH if path.is_dir() else path
    if not inside.resolve().is_relative_to(artifact.path.resolve()) or not inside.is_file():
        raise ConversionError(f"{artifact.version}: expected {path.relative_to(artifact.path)}, and it is not there")
    return inside
