"""
What a store holds of a registered version: an ONNX graph, TensorRT plans beside one, or the model's own Python.

Each kind is a file of this package with a class that keeps the promise of :class:`Copy`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from sextant.tensors import Tensor
from sextant_export.config import Configs
from sextant_export.pipeline import Serving
from sextant_export.signature import Arrays, Feed


class Copy(Protocol):
    """A registered version, ready to be asked here, and to be written into a store and configured there."""

    @property
    def kind(self) -> str:
        """``onnx``, ``tensorrt`` or ``pyfunc``."""

    @property
    def converted(self) -> bool:
        """Whether it is another program than the original, and so needs a proof."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes, per row."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives, per row."""

    def answer(self, feed: Feed) -> Arrays:
        """What it answers to *feed*, asked in this process."""

    def proven(self, feed: Feed, expected: Arrays) -> Copy:
        """This, once *expected*, which the original answered to *feed*, was asked of whatever else it holds."""

    def write(self, directory: Path) -> None:
        """Put its files into the version directory *directory*."""

    def configs(self, name: str, serving: Serving, versions: Iterable[int]) -> Configs:
        """How Triton is to serve it under *name*."""

    def facts(self) -> dict[str, Any]:
        """What the receipt keeps of it."""
