"""The official backend's model parameters, as options of ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import onnxruntime as ort

_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_ERRORS_ONLY = 3
_ON_DEVICE = "session.use_device_allocator_for_initializers"


def session_options(config: Mapping[str, Any]) -> ort.SessionOptions:
    """
    What *config*, a model's configuration, asks of ONNX Runtime.

    Without ``intra_op_thread_count`` the cores are shared between the model's instances, at least one each:
    the official backend gives all of them to each instance, and they then wait for one another.
    """
    parameters = _Parameters(config)
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY  # a warning a request fills the disk
    options.intra_op_num_threads = parameters.integer("intra_op_thread_count") or _fair_share(config)
    # Threads that wait by spinning take the cores from Triton and its callers: 2.5 times slower, measured on two.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.inter_op_num_threads = parameters.integer("inter_op_thread_count")
    if parameters.integer("execution_mode"):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = bool(parameters.integer("enable_mem_arena", default=1))
    options.enable_mem_pattern = bool(parameters.integer("enable_mem_pattern", default=1))
    if entry := parameters.text(_ON_DEVICE):
        options.add_session_config_entry(_ON_DEVICE, entry)
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    return options


def run_options(config: Mapping[str, Any]) -> ort.RunOptions | None:
    """None where *config* asks for nothing in particular."""
    shrinkage = _Parameters(config).text("memory.enable_memory_arena_shrinkage")
    if not shrinkage:
        return None
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", shrinkage)
    return options


def text(config: Mapping[str, Any], parameter: str) -> str:
    """What *config* says under ``parameters``; nothing is the empty string."""
    return _Parameters(config).text(parameter)


class _Parameters:
    """The ``parameters`` of a configuration, all of them strings there."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._values = config.get("parameters", {})

    def text(self, name: str) -> str:
        return str(self._values.get(name, {}).get("string_value", ""))

    def integer(self, name: str, default: int = 0) -> int:
        text = self.text(name)
        try:
            return int(text) if text else default
        except ValueError:
            raise ValueError(f"parameters.{name}: expected a whole number, got '{text}'") from None


def _fair_share(config: Mapping[str, Any]) -> int:
    instances = sum(group.get("count", 1) for group in config.get("instance_group", ())) or 1
    return max(1, len(os.sched_getaffinity(0)) // instances)
