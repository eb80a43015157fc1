"""A PyTorch module that is asked rows of NumPy arrays and answers arrays by name."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any, TypeAlias

from sextant.columns import tensor_names
from sextant.errors import ConversionError, MissingExtra, RegistryError
from sextant.tensors import Tensor
from sextant_export.mlflow_calls import quiet
from sextant_export.original import Original, first_line
from sextant_export.registry import Artifact
from sextant_export.signature import ANSWER, Arrays, Feed

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "a PyTorch model") from error

Tensors: TypeAlias = Mapping[str, torch.Tensor]

_LOGGERS = ("torch", "torch.onnx", "torch.export", "torch._dynamo", "onnxscript", "onnx_ir", "transformers", "keras")


@dataclass(frozen=True, kw_only=True)
class Network:
    """A *module* in evaluation mode that takes the tensors *inputs*; *ask* calls it with them, by name."""

    module: torch.nn.Module
    inputs: tuple[Tensor, ...]
    ask: Callable[[Tensors], Any]

    def answer(self, feed: Feed) -> Arrays:
        """What the module itself answers to *feed*, by the name of the output."""
        rows = {tensor.name: torch.from_numpy(feed[tensor.name].astype(tensor.numpy_type)) for tensor in self.inputs}
        return {name: array.cpu().numpy() for name, array in named_tensors(self.ask(rows)).items()}


@contextmanager
def quiet_torch() -> Iterator[None]:
    """PyTorch without gradients, saying nothing: its exporter prints, logs and warns on its way."""
    with quiet(*_LOGGERS), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), torch.no_grad():
        yield


def native_answers(artifact: Artifact, network: Network) -> Original:
    """The *network* itself as the original of *artifact*; RegistryError where it fails on what it is asked."""

    def answer(feed: Feed) -> Arrays:
        try:
            with quiet_torch():
                return network.answer(feed)
        except Exception as error:
            rows = len(next(iter(feed.values())))
            raise RegistryError(f"{artifact.version}: the model fails on {rows} rows: {first_line(error)}") from error

    return answer


def named_tensors(answer: Any) -> dict[str, torch.Tensor]:
    """
    The tensors of whatever a network answers, by the name of the output; what has no name is ``prediction``.

    >>> list(named_tensors({"a b": torch.ones(1), "c": (torch.ones(1), torch.ones(1))}))
    ['a_b', 'c_0', 'c_1']
    >>> list(named_tensors((torch.ones(1), torch.ones(1))))
    ['output_0', 'output_1']
    """
    pairs = dict(_leaves(answer, ""))
    return dict(zip(tensor_names(pairs), pairs.values(), strict=True))


def _leaves(answer: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(answer, torch.Tensor):
        yield name or ANSWER, answer
    elif isinstance(answer, Mapping):
        for key, part in answer.items():
            yield from _leaves(part, f"{name}_{key}" if name else str(key))
    elif isinstance(answer, list | tuple) and len(answer) == 1:
        yield from _leaves(answer[0], name)
    elif isinstance(answer, list | tuple):
        for place, part in enumerate(answer):
            yield from _leaves(part, f"{name or 'output'}_{place}")
    elif answer is not None:
        raise ConversionError(f"it answers a {type(answer).__name__}: answer tensors, or a dict or tuple of them")
