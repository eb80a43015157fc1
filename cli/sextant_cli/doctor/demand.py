"""What the models of a server ask of the machine it runs on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from tritonclient.grpc import model_config_pb2 as proto

from sextant_export.store import Store

MIB = 1 << 20
REGION_BYTES = MIB
"""What Triton's Python backend takes of ``/dev/shm`` for each process, before a request came."""
PROCESS_BYTES = 73 * 10**6
"""What a Python process with ONNX Runtime holds before it has a model; measured on Triton 2.51."""
THREADS = "intra_op_thread_count"
_IN_PYTHON = {"python", "onnxruntime"}
_BYTES = {proto.TYPE_FP64: 8, proto.TYPE_INT64: 8, proto.TYPE_UINT64: 8, proto.TYPE_FP16: 2, proto.TYPE_STRING: 64}


@dataclass(frozen=True, kw_only=True)
class Demand:
    """*processes* of Python, *threads* that compute, bytes of ``/dev/shm`` while every process has one full batch."""

    processes: int = 0
    threads: int = 0
    shared_bytes: int = 0

    def __add__(self, other: Demand) -> Demand:
        return Demand(**{name: count + getattr(other, name) for name, count in vars(self).items()})


NOTHING = Demand()


def demand(served: Iterable[tuple[Any, int]], cores: int) -> Demand:
    """
    What *served*, configurations each with its number of versions, asks for, where it runs on CPUs.

    An ONNX model that says no number of threads takes all *cores* for each instance. Python models are counted with
    what ``intra_op_thread_count`` says, else one.
    """
    return sum((_of(config, versions, cores) for config, versions in served), NOTHING)


def stored(store: Store) -> list[tuple[Any, int]]:
    """What a server of *store* loads at its start: every release and front, and the versions that they pin."""
    configs = store.configs()
    return [(configs[model], len(versions)) for model, versions in store.pinned().items() if model in configs]


def _of(config: Any, versions: int, cores: int) -> Demand:
    count = versions * sum(group.count or 1 for group in config.instance_group if _on_cpu(group))
    if not config.backend:  # an ensemble
        return NOTHING
    return Demand(
        processes=count if config.backend in _IN_PYTHON else 0,
        threads=count * _threads(config, cores),
        shared_bytes=count * (REGION_BYTES + _batch_bytes(config)) if config.backend in _IN_PYTHON else 0,
    )


def _on_cpu(group: Any) -> bool:
    return bool(group.kind != proto.ModelInstanceGroup.KIND_GPU)


def _threads(config: Any, cores: int) -> int:
    said = config.parameters[THREADS].string_value if THREADS in config.parameters else ""
    return int(said) if said.isdecimal() and int(said) else cores if config.backend == "onnxruntime" else 1


def _batch_bytes(config: Any) -> int:
    """One full batch of all inputs and outputs; a dimension of no said size counts as one."""
    row = sum(_row_bytes(tensor) for tensor in (*config.input, *config.output))
    rows: int = max(1, config.max_batch_size)
    return row * rows


def _row_bytes(tensor: Any) -> int:
    dims: list[int] = [max(1, size) for size in tensor.dims]
    return _BYTES.get(tensor.data_type, 4) * prod(dims)
