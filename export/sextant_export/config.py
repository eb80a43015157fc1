"""
Triton model configurations, as NVIDIA's own protobuf messages: one function for each kind of model.

Everything is written out, because the server is started without auto-completion, and only in fields that
Triton 24.10 knows, because one unknown field makes it refuse the whole file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as proto
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.backend import Block
from sextant.blocks.pyfunc import THREADS
from sextant.errors import StoreError
from sextant.tensors import Tensor
from sextant_export.pipeline import Serving
from sextant_export.wiring import EnsembleStep

EMBEDDED = "embedded"
ENGINES = "/tmp/sextant-engines"  # noqa: S108  a place in the server's container: mount a volume there
# What Sextant says in the parameters of a configuration: a pipeline's classes in their order, the columns of a table,
# which column callers send as ``group``, the release that a front is wired to, and the one that it tries beside it.
CLASSES, COLUMNS, GROUP_COLUMN, RELEASE, CANDIDATE = "classes", "columns", "per", "release", "candidate"
_BACKENDS = {"tensorrt_plan": "tensorrt", "onnxruntime_onnx": "onnxruntime"}


@dataclass(frozen=True)
class Configs:
    """
    A model's configurations: the *main* one, and a twin for servers started with ``--model-config-name=embedded``.

    The twin is there where such servers must load something else than the others, as with TensorRT plans. Its inputs,
    outputs and versions are those of the main one.
    """

    main: ModelConfig
    embedded: ModelConfig | None = None

    def __post_init__(self) -> None:
        if self.embedded is not None and self.embedded.name != self.main.name:
            raise ValueError(f"expected twins of one model, got {self.main.name} and {self.embedded.name}")

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.main.name)

    @property
    def twins(self) -> tuple[ModelConfig, ...]:
        """The configurations there are, the main one first."""
        return (self.main,) if self.embedded is None else (self.main, self.embedded)

    @property
    def versions(self) -> set[int]:
        """The versions that either policy serves: both say the same, but after a crash between two files."""
        return {version for config in self.twins for version in config.version_policy.specific.versions}

    @property
    def plans(self) -> dict[str, str]:
        """The TensorRT plans that the main one names: compute capability to file."""
        return dict(self.main.cc_model_filenames)

    def with_versions(self, versions: Iterable[int]) -> Configs:
        """The same, both policies serving exactly *versions*."""
        served = sorted(versions)
        return Configs(*(_with_versions(config, served) for config in self.twins))


def onnx_config(
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    serving: Serving,
    versions: Iterable[int],
    accelerator: str | None = None,
) -> ModelConfig:
    """
    The configuration of an ONNX member, in batches, on a GPU where the server has one.

    *accelerator* ``tensorrt`` lets ONNX Runtime build engines there when it loads the model. It has no response cache:
    that stands where all outputs are always asked for, in front of a whole release (:mod:`sextant_export.placing`).
    """
    config = ModelConfig(name=name, backend="onnxruntime", max_batch_size=serving.max_batch_size)
    _describe(config, inputs, outputs)
    _serve(config, versions, serving.instances, proto.ModelInstanceGroup.KIND_AUTO)
    config.parameters[THREADS].string_value = str(serving.intra_op_thread_count)
    set_serving(config, serving)
    config.response_cache.enable = False
    if accelerator == "tensorrt":
        _accelerate(config, inputs)
    return config


def tensorrt_config(
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    serving: Serving,
    versions: Iterable[int],
    plans: Mapping[str, str],
) -> ModelConfig:
    """The configuration of a member as TensorRT *plans*: compute capability to file of the version directory."""
    config = ModelConfig(name=name, platform="tensorrt_plan", max_batch_size=serving.max_batch_size)
    config.backend = "tensorrt"
    _describe(config, inputs, outputs)
    _serve(config, versions, serving.instances, proto.ModelInstanceGroup.KIND_GPU)
    set_serving(config, serving)
    config.response_cache.enable = False
    config.cc_model_filenames.update(plans)
    return config


def set_serving(config: ModelConfig, serving: Serving) -> None:
    """Give *config*, of a member, the copies and the batching of *serving*, and its threads where it counts them."""
    config.instance_group[0].count = serving.instances
    config.ClearField("dynamic_batching")
    if serving.dynamic_batching:
        config.dynamic_batching.max_queue_delay_microseconds = serving.max_queue_delay_us
    if THREADS in config.parameters:
        config.parameters[THREADS].string_value = str(serving.intra_op_thread_count)


def block_config(name: str, block: Block, serving: Serving, versions: Iterable[int]) -> ModelConfig:
    """The configuration of a *block*: NumPy on the CPU, one copy, batching whatever is waiting already."""
    config = ModelConfig(name=name, backend="python", max_batch_size=serving.max_batch_size)
    _describe(config, block.inputs, block.outputs)
    _serve(config, versions, 1, proto.ModelInstanceGroup.KIND_CPU)
    config.dynamic_batching.max_queue_delay_microseconds = 0
    return config


def ensemble_config(
    name: str,
    release: int,
    steps: Sequence[EnsembleStep],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    max_batch_size: int,
) -> ModelConfig:
    """The configuration of a release or a front: every step pinned to its version."""
    config = ModelConfig(name=name, platform="ensemble", max_batch_size=max_batch_size)
    _describe(config, inputs, outputs)
    for described in (*config.input, *config.output):
        described.ClearField("reshape")  # an ensemble has no graph behind it: it passes on what its members show
    config.version_policy.specific.versions.append(1)
    for step in steps:
        config.ensemble_scheduling.step.add(
            model_name=step.model_name,
            model_version=step.model_version,
            input_map=step.input_map,
            output_map=step.output_map,
        )
    config.parameters[RELEASE].string_value = str(release)
    return config


def describe_classes(config: Any, names: Sequence[Any]) -> None:
    """Say the *names* of the classes in the parameters of *config*, where a client finds what probabilities are of."""
    config.parameters[CLASSES].string_value = json.dumps(list(names))


def said(config: Any, name: str) -> str:
    """
    What the parameter *name* of *config* says; nothing where it has none, and gets none by being asked.

    >>> said(ensemble_config("locate", 7, [], [], [], 8), RELEASE), said(ModelConfig(), RELEASE)
    ('7', '')
    """
    return str(config.parameters[name].string_value) if name in config.parameters else ""


def release_of(config: Any) -> int | None:
    """The release that the front or ensemble *config* is wired to; None where it says none."""
    return int(said(config, RELEASE) or 0) or None


def candidate_of(config: Any) -> int | None:
    """The release that the front *config* tries beside the one that serves; None where it is no router."""
    return None if config.platform == "ensemble" else int(said(config, CANDIDATE) or 0) or None


def backend_of(config: ModelConfig) -> str:
    """The Triton backend that serves *config*, which may name a platform instead."""
    platform = str(config.platform)
    return str(config.backend) or _BACKENDS.get(platform, platform)


def type_word(tensor: Any) -> str:
    """Triton's word for the type of a tensor in a configuration: FP32, INT64, STRING."""
    enum = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type
    return str(enum.values_by_number[tensor.data_type].name).removeprefix("TYPE_")


def write_config(config: ModelConfig, path: Path) -> None:
    """Put *config* at *path* in one step: a reader sees the old text or the new, never a part."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text_format.MessageToString(config))
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read_config(path: Path) -> ModelConfig:
    """The configuration at *path*; StoreError says why it cannot be read."""
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path} is no model configuration: {error}; restore the file, or take {path.parent} out of the repository "
            "and promote its pipeline again"
        ) from error


def _with_versions(config: ModelConfig, versions: Sequence[int]) -> ModelConfig:
    copy = ModelConfig()
    copy.CopyFrom(config)
    copy.version_policy.specific.versions[:] = versions
    return copy


def _describe(config: ModelConfig, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    for tensor in inputs:
        _reshape(config.input.add(**_facts(tensor), optional=tensor.optional), tensor)
    for tensor in outputs:
        _reshape(config.output.add(**_facts(tensor)), tensor)


def _facts(tensor: Tensor) -> dict[str, Any]:
    dtype = "STRING" if tensor.dtype == "BYTES" else tensor.dtype
    return {
        "name": tensor.name,
        "data_type": proto.DataType.Value(f"TYPE_{dtype}"),
        "dims": tensor.dims or (1,),
    }


def _accelerate(config: ModelConfig, inputs: Sequence[Tensor]) -> None:
    """
    Engines are kept between loads, and built for every batch at once where no axis but the batch is open.

    The precision is the graph's own: TensorRT 11 has no switch for another one any more.
    """
    tensorrt = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    tensorrt.parameters["precision_mode"] = "FP32"
    tensorrt.parameters["trt_engine_cache_enable"] = "true"
    tensorrt.parameters["trt_engine_cache_path"] = f"{ENGINES}/{config.name}"
    if all(size > 0 for tensor in inputs for size in tensor.dims):
        for word, batch in (("min", 1), ("opt", config.max_batch_size), ("max", config.max_batch_size)):
            shapes = (f"{t.name}:{'x'.join(map(str, (batch, *t.dims)))}" for t in inputs)
            tensorrt.parameters[f"trt_profile_{word}_shapes"] = ",".join(shapes)


def _reshape(described: Any, tensor: Tensor) -> None:
    """Triton has no dims of rank 0: a graph's ``(N,)`` is served as ``(N, 1)``."""
    if not tensor.dims:
        described.reshape.SetInParent()


def _serve(config: ModelConfig, versions: Iterable[int], instances: int, kind: int) -> None:
    config.version_policy.specific.versions.extend(sorted(versions))
    config.instance_group.add(count=instances, kind=kind)
