"""An ONNX file and its configuration, read, checked against each other, and ready to run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from sextant_server.onnx.agreement import GraphTensor, disagreements
from sextant_server.onnx.options import run_options, session_options
from sextant_server.onnx.providers import CUDA, Device, device, refuse_cpu

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """
    A session, and the names of what goes in and comes out in the configuration's order.

    *runs_on* is a sentence for the log: the device, and why it is no better one.
    """

    session: ort.InferenceSession
    run_options: ort.RunOptions | None
    inputs: tuple[str, ...]
    texts: frozenset[str]
    outputs: list[str]
    batched: bool
    runs_on: str = ""

    @classmethod
    def load(cls, args: Mapping[str, str]) -> OnnxModel:
        """
        The model that Triton's *args* describe.

        Raises ValueError, in words for the person who made the model, if its file cannot be read or differs
        from its configuration.
        """
        config = json.loads(args["model_config"])
        file = model_file(Path(args["model_repository"]) / args["model_version"], config)
        session, runs_on = _placed(file, config, args)
        found = list(disagreements(config, _tensors(session.get_inputs()), _tensors(session.get_outputs())))
        if found:
            raise ValueError(f"the configuration does not fit {file.name}: {'; '.join(found)}")
        return cls(
            session=session,
            run_options=run_options(config),
            inputs=tuple(tensor["name"] for tensor in config["input"]),
            texts=frozenset(tensor["name"] for tensor in config["input"] if tensor["data_type"] == "TYPE_STRING"),
            outputs=[tensor["name"] for tensor in config["output"]],
            batched=config["max_batch_size"] > 0,
            runs_on=runs_on,
        )

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs for *feed*, in the order of their names."""
        outputs: list[Array] = self.session.run(self.outputs, feed, self.run_options)
        return outputs

    def array(self, name: str, tensor: Any) -> Array:
        """What ONNX Runtime takes for *tensor*: Triton hands over text as bytes."""
        array: Array = tensor.as_numpy()
        if name not in self.texts:
            return array
        decoded = [text.decode() for text in array.ravel()]
        return np.array(decoded, dtype=object).reshape(array.shape)


def model_file(version: Path, config: Mapping[str, Any]) -> Path:
    """The ONNX file in the *version* folder; a folder of its name may hold it with its external data."""
    named = version / (config.get("default_model_filename") or "model.onnx")
    file = named / named.name if named.is_dir() else named
    if not file.is_file():
        raise ValueError(f"there is no {file.relative_to(version)} in {version}")
    return file


def _placed(file: Path, config: Mapping[str, Any], args: Mapping[str, str]) -> tuple[ort.InferenceSession, str]:
    """A session on the best device there is; ONNX Runtime drops a GPU that does not start without an error."""
    place = device(args, config, ort.get_available_providers())
    session = _open(file, session_options(config), place)
    note = place.note
    if CUDA in dict(place.providers) and CUDA not in session.get_providers():
        note = f"{CUDA} does not start: do its CUDA and cuDNN fit the driver?"
        refuse_cpu(args, note)
        place = Device([])
    said = f"{file} runs on {place.name}, ONNX Runtime {ort.__version__}"
    return session, f"{said}: {note}" if note else said


def _open(file: Path, options: ort.SessionOptions, place: Device) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(file, options, providers=place.providers)
    except Exception as error:
        size = file.stat().st_size
        raise ValueError(f"{file} ({size} bytes) cannot be opened; is it whole? ONNX Runtime says: {error}") from error


def _tensors(arguments: list[Any]) -> list[GraphTensor]:
    return [GraphTensor(argument.name, argument.type, argument.shape) for argument in arguments]
