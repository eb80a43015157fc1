"""A network as plans, one for each kind of GPU."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sextant.errors import ConversionError
from sextant_export.known_cases import file_sha256
from sextant_export.pipeline import TensorRT
from sextant_export.tensorrt.network import Network
from sextant_export.tensorrt.plan import Plan, plan_name
from sextant_export.tensorrt.profile import Range
from sextant_export.tensorrt.timing import load_timing_cache, save_timing_cache

_MEBIBYTE = 1 << 20


def build(
    network: Network,
    compute_capability: str,
    profile: Mapping[str, Range],
    asked: TensorRT,
    directory: Path,
    onnx_sha256: str,
) -> Plan:
    """
    The plan of *network* for GPUs of *compute_capability*, in *directory*; ConversionError in TensorRT's own words.

    It is built to give float32 where the graph says so: TensorFloat-32, which TensorRT takes unasked, is off.
    """
    library = network.library
    library.log.errors.clear()
    config = _config(network, compute_capability, profile, asked)
    began = time.monotonic()
    plan = network.builder.build_serialized_network(network.definition, config)
    if plan is None:
        raise ConversionError(
            f"{library.name} {library.version} builds no plan for compute capability {compute_capability}: "
            f"{'; '.join(library.log.errors) or 'it does not say why'}: leave it out of "
            "tensorrt.compute_capabilities, and such GPUs are served by ONNX Runtime (docs/tensorrt.md)"
        )
    save_timing_cache(library, config, asked)
    path = directory / plan_name(compute_capability)
    path.write_bytes(memoryview(plan))
    return Plan(
        path=path,
        library=library.name,
        version=library.version,
        compute_capability=compute_capability,
        platform=f"{platform.system().lower()}-{platform.machine()}",
        sha256=file_sha256(path),
        onnx_sha256=onnx_sha256,
        float16=asked.float16,
        layers=network.layers,
        seconds=round(time.monotonic() - began, 3),
        profile=profile,
    )


def _config(network: Network, compute_capability: str, profile: Mapping[str, Range], asked: TensorRT) -> Any:
    library, api = network.library, network.library.api
    config = network.builder.create_builder_config()
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, asked.workspace_mb * _MEBIBYTE)
    config.clear_flag(api.BuilderFlag.TF32)
    if library.compiles:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_named(api, compute_capability), 0)
    load_timing_cache(library, config, asked)
    shapes = network.builder.create_optimization_profile()
    for name, range_ in profile.items():
        shapes.set_shape(name, *range_)
    if config.add_optimization_profile(shapes) < 0:
        raise ConversionError(f"TensorRT refuses the shapes {dict(profile)}: {'; '.join(library.log.errors)}")
    return config


def _named(api: Any, compute_capability: str) -> Any:
    return getattr(api.ComputeCapability, f"SM{compute_capability.replace('.', '')}")
