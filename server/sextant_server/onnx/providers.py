"""
On what a model runs: ONNX Runtime's execution providers, with the official backend's parameters for them.

What ONNX Runtime has is handed in, so that the choice is one of data. Only the choice was tested: no GPU was at hand
when this was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sextant_server.onnx.options import text

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

_SEARCHES = ("EXHAUSTIVE", "HEURISTIC", "DEFAULT")
_STRATEGIES = ("kNextPowerOfTwo", "kSameAsRequested")
_PRECISIONS: Mapping[str, Mapping[str, str]] = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "1"},
    "BF16": {"trt_bf16_enable": "1"},
    "INT8": {"trt_int8_enable": "1"},
}
# The official backend has shorter names for these of ONNX Runtime's options; it hands the others on as they are.
_LONGER = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}

Provider = tuple[str, dict[str, str]]


class Device(NamedTuple):
    """The *providers* to ask for, best first, and a *note* for the log where something asked for is not there."""

    providers: list[Provider]
    note: str = ""

    @property
    def name(self) -> str:
        """Like ``GPU 0`` or ``the CPU``."""
        options = dict(self.providers).get(CUDA)
        return "the CPU" if options is None else f"GPU {options['device_id']}"


def device(args: Mapping[str, str], config: Mapping[str, Any], available: Sequence[str]) -> Device:
    """
    Where the instance that Triton's *args* describe runs, of what is *available*.

    Triton has settled ``KIND_AUTO`` before it asks, by the GPUs that it sees itself. ValueError where a model that
    insists on a GPU cannot have one.
    """
    if args.get("model_instance_kind") != "GPU":
        return Device([(CPU, {})])
    if CUDA not in available:
        missing = f"this ONNX Runtime has {', '.join(available)} and no {CUDA}: pip install 'triton-sextant[gpu]'"
        refuse_cpu(args, missing)
        return Device([(CPU, {})], f"there is a GPU, and {missing}")
    return _gpu(config, args["model_instance_device_id"], available)


def refuse_cpu(args: Mapping[str, str], why: str) -> None:
    """Raise ValueError where the model's own configuration says ``KIND_GPU``."""
    if _insists(Path(args["model_repository"])):
        raise ValueError(
            f"instance_group asks for KIND_GPU, and {why}, or write KIND_AUTO, which falls back to the CPU"
        )


def _gpu(config: Mapping[str, Any], device_id: str, available: Sequence[str]) -> Device:
    asked = dict(_accelerators(config))
    cuda = (CUDA, {"device_id": device_id, **_cuda_options(config), **asked.get("cuda", {})})
    if "tensorrt" not in asked:
        return Device([cuda, (CPU, {})])
    if TENSORRT not in available:
        return Device(
            [cuda, (CPU, {})], f"the accelerator tensorrt is asked for, and this ONNX Runtime has no {TENSORRT}"
        )
    tensorrt = (TENSORRT, {"device_id": device_id, **_tensorrt_options(asked["tensorrt"])})
    return Device([tensorrt, cuda, (CPU, {})])


def _accelerators(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    asked = config.get("optimization", {}).get("execution_accelerators", {})
    for accelerator in asked.get("gpu_execution_accelerator", ()):
        yield accelerator["name"], dict(accelerator.get("parameters", {}))


def _cuda_options(config: Mapping[str, Any]) -> dict[str, str]:
    """What older configurations say of CUDA outside the accelerator: numbers stand for some of ONNX Runtime's words."""
    options = {
        "gpu_mem_limit": text(config, "gpu_mem_limit"),
        "arena_extend_strategy": _word(config, "arena_extend_strategy", _STRATEGIES),
        "cudnn_conv_algo_search": _word(config, "cudnn_conv_algo_search", _SEARCHES),
        "do_copy_in_default_stream": text(config, "do_copy_in_default_stream"),
    }
    return {name: value for name, value in options.items() if value}


def _word(config: Mapping[str, Any], name: str, words: Sequence[str]) -> str:
    said = text(config, name)
    if said.isdigit() and int(said) < len(words):
        return words[int(said)]
    if said and said not in words:
        numbers = ", ".join(f"{number} ({word})" for number, word in enumerate(words))
        raise ValueError(f"parameters.{name}: expected {numbers}, got '{said}'")
    return said


def _tensorrt_options(asked: Mapping[str, str]) -> dict[str, str]:
    precision = asked.get("precision_mode", "FP32")
    if precision not in _PRECISIONS:
        raise ValueError(f"precision_mode: expected one of {', '.join(_PRECISIONS)}, got '{precision}'")
    others = {_LONGER.get(name, name): value for name, value in asked.items() if name != "precision_mode"}
    return {**_PRECISIONS[precision], **others}


def _insists(model: Path) -> bool:
    """Whether the file says ``KIND_GPU``: in what Triton hands over, ``KIND_AUTO`` has become that too."""
    twin, main = model / "configs" / "embedded.pbtxt", model / "config.pbtxt"
    file = twin if twin.is_file() else main
    return file.is_file() and "KIND_GPU" in file.read_text(encoding="utf-8")
