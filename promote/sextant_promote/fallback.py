"""Which servers serve a member from its ONNX graph although it has TensorRT plans, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ASKED = re.compile(r"\d+\.\d(:\d+(\.\d+)*)?")
TWIN = "started with --model-config-name=embedded, so it serves the ONNX graph beside the plans"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A kind of GPU somewhere in the fleet; *tensorrt* is the version that its server has, where it is known."""

    compute_capability: str
    tensorrt: str | None = None

    @classmethod
    def parse(cls, text: str) -> Gpu:
        """
        The GPU that somebody asks about.

        >>> Gpu.parse("8.9:10.13.3")
        Gpu(compute_capability='8.9', tensorrt='10.13.3')
        """
        if not _ASKED.fullmatch(text):
            raise ValueError(f"expected a compute capability like 8.9, or 8.9:10.13.3 with a TensorRT, got {text!r}")
        capability, _, tensorrt = text.partition(":")
        return cls(capability, tensorrt or None)

    def __str__(self) -> str:
        return self.compute_capability + (f" with TensorRT {self.tensorrt}" if self.tensorrt else "")


def fallback_on(gpu: Gpu, plans: Sequence[Mapping[str, Any]]) -> str | None:
    """Why a server with *gpu* cannot serve a member from its *plans*; None where it can, for all that is known."""
    found = next((plan for plan in plans if plan["compute_capability"] == gpu.compute_capability), None)
    if found is None:
        there = ", ".join(plan["compute_capability"] for plan in plans)
        return f"no plan for its compute capability {gpu.compute_capability}: there are {there}"
    if found["library"] != "tensorrt":
        return _foreign([found])
    if gpu.tensorrt and not _same(found["version"], gpu.tensorrt):
        return f"its plan is of TensorRT {found['version']}, and the server has {gpu.tensorrt}"
    return None


def fallback_of(backend: str | None, plans: Sequence[Mapping[str, Any]]) -> str | None:
    """Why a server that serves a member by *backend* does not serve its *plans*; None where it does, or has none."""
    if not plans or backend in (None, "tensorrt"):
        return None
    foreign = [plan for plan in plans if plan["library"] != "tensorrt"]
    return f"{TWIN}; {_foreign(foreign)}" if foreign else TWIN


def _foreign(plans: Sequence[Mapping[str, Any]]) -> str:
    files = ", ".join(plan["file"] for plan in plans)
    return f"{files} is of {plans[0]['library']} {plans[0]['version']}, which Triton's tensorrt backend does not load"


def _same(built: str, served: str) -> bool:
    """Plans are for one version; whoever asks may leave out its last numbers."""
    return built.split(".")[: served.count(".") + 1] == served.split(".")
