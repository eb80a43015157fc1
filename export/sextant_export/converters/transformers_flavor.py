"""
A Transformers pipeline, text classification or feature extraction, translated by PyTorch's exporter.

MLflow's predict takes text; a graph takes what the tokenizer makes of it, ``input_ids``, ``attention_mask`` and,
where the model reads them, ``token_type_ids``, INT64 (B, T).  **Turning text into tokens stays with the caller**:
:func:`tokens` does it with the artifact's own tokenizer.  The weights must lie in the artifact; nothing is
downloaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sextant.errors import ConversionError, MissingExtra, RegistryError
from sextant.tensors import Tensor
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.original import Original, first_line
from sextant_export.registry import Artifact
from sextant_export.signature import ANSWER, Arrays, Feed, Signature

if TYPE_CHECKING:
    from sextant_export.converters.network import Network, Tensors

EXACTNESS = 60
TASKS = ("text-classification", "feature-extraction")
PROBABILITIES = "probabilities"
LENGTH = 32
"""Tokens of a row in :func:`known_rows`, where the model reads as many."""


def convert(artifact: Artifact, _signature: Signature | None) -> onnx.ModelProto:
    """
    The graph of the pipeline's model.

    A classifier answers ``prediction``, the label, and ``probabilities`` (B, C) after the pipeline's own softmax or
    sigmoid; a regression and a feature extraction answer ``prediction``, the numbers (B, C) or (B, T, H).
    """
    from sextant_export.converters.torch_graph import graph_of, with_labels

    reader = _reader(artifact)
    model = graph_of(reader.network, artifact.path)
    return with_labels(model, PROBABILITIES, reader.labels, ANSWER) if reader.labels else model


def original(artifact: Artifact) -> Original:
    """The pipeline's model itself, asked tokens; text that it is asked by MLflow becomes the same tokens."""
    from sextant_export.converters.network import native_answers

    reader = _reader(artifact)
    scores = native_answers(artifact, reader.network)

    def answer(feed: Feed) -> Arrays:
        given = scores(feed)
        if not reader.labels:
            return given
        words = np.array([reader.labels[place] for place in sorted(reader.labels)], dtype=object)
        return {ANSWER: words[given[PROBABILITIES].argmax(axis=1)], **given}

    return answer


def tokens(artifact: Artifact, texts: Sequence[str]) -> Feed:
    """
    What the copy of *artifact* is asked for *texts*, by the artifact's own tokenizer.

    All rows are padded to the longest; what is longer than the model reads is cut, where MLflow's predict fails.
    """
    with _transformers() as transformers:
        tokenizer, config = _tokenizer(transformers, artifact), _config(transformers, artifact)
        longest = _longest(tokenizer, config)
        encoded = tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="np")
        taken = _taken(_architecture(transformers, artifact), tokenizer)
    return {name: encoded[name].astype(np.int64) for name in taken}


def known_rows(artifact: Artifact, count: int = 1000, seed: int = 0) -> Feed:
    """*count* rows of tokens that the graph of *artifact* takes: texts of its vocabulary, of every length, padded."""
    with _transformers() as transformers:
        tokenizer, config = _tokenizer(transformers, artifact), _config(transformers, artifact)
        taken = _taken(_architecture(transformers, artifact), tokenizer)
    width = min(LENGTH, _longest(tokenizer, config))
    random = np.random.default_rng(seed)
    there = np.arange(width) < random.integers(3, width, (count, 1), endpoint=True)
    rows = {
        "input_ids": np.where(there, _texts(tokenizer, config, (count, width), random), tokenizer.pad_token_id or 0),
        "attention_mask": there,
        "token_type_ids": there & (np.arange(width) >= random.integers(1, 2 * width, (count, 1))),
    }
    if getattr(config, "type_vocab_size", 0) < 2:
        rows["token_type_ids"] = np.zeros_like(there)
    return {name: rows[name].astype(np.int64) for name in taken}


def _texts(tokenizer: Any, config: Any, shape: tuple[int, int], random: np.random.Generator) -> NDArray[Any]:
    """Rows of ordinary tokens behind the one that begins a text, if there is one."""
    special = set(tokenizer.all_special_ids)
    ordinary = [token for token in range(min(len(tokenizer), config.vocab_size)) if token not in special]
    rows = random.choice(ordinary, shape)
    begin = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    if begin is not None:
        rows[:, 0] = begin
    return rows


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """The *network* of a pipeline; *labels* of a classifier by their place."""

    network: Network
    labels: Mapping[int, str]


def _reader(artifact: Artifact) -> _Reader:
    import torch

    from sextant_export.converters.network import Network

    pipeline = _load(artifact)
    model, apply = pipeline.model.eval(), _function_to_apply(artifact, pipeline.model.config)
    output = ANSWER if apply in {None, "none"} else PROBABILITIES
    applied: dict[str | None, Any] = {"softmax": partial(torch.softmax, dim=-1), "sigmoid": torch.sigmoid}

    def ask(rows: Tensors) -> Any:
        first = model(**rows)[0] if apply is None else model(**rows)["logits"].float()
        return {output: applied[apply](first) if output == PROBABILITIES else first}

    inputs = tuple(Tensor(name, "INT64", (-1,)) for name in _taken(type(model), pipeline.tokenizer))
    labels = model.config.id2label if output == PROBABILITIES else {}
    return _Reader(network=Network(module=model, inputs=inputs, ask=ask), labels=labels)


def _taken(model: type, tokenizer: Any) -> list[str]:
    """What the tokenizer makes and the model reads."""
    known = inspect.signature(model.forward).parameters  # type: ignore[attr-defined]
    return [name for name in tokenizer.model_input_names if name in known]


def _function_to_apply(artifact: Artifact, config: Any) -> str | None:
    """What the pipeline makes of logits, in its own words: MLflow's model_config may choose; None of features."""
    if artifact.flavors["transformers"]["task"] != TASKS[0]:
        return None
    options = artifact.flavors.get("python_function", {}).get("model_config") or {}
    if options.get("function_to_apply"):
        return str(options["function_to_apply"])
    if config.problem_type == "regression":
        return "none"
    return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"


def _load(artifact: Artifact) -> Any:
    said = artifact.flavors["transformers"]
    if (task := said.get("task")) not in TASKS:
        raise ConversionError(f"{artifact.version}: its task is {task}; converted are {' and '.join(TASKS)}")
    if not said.get("model_binary") or said.get("peft_adaptor"):
        advice = "log the pipeline with save_pretrained=True, adapters merged"
        raise ConversionError(f"{artifact.version}: its weights are not in the artifact: {advice}")
    with _transformers(), quiet_mlflow() as mlflow:
        try:
            return mlflow.transformers.load_model(str(artifact.path), device=-1)
        except Exception as error:
            raise ConversionError(f"{artifact.version}: the pipeline cannot be loaded: {first_line(error)}") from error


@contextmanager
def _transformers() -> Iterator[Any]:
    """The package, saying nothing; MissingExtra where it is not installed."""
    from sextant_export.converters.network import quiet_torch

    with quiet_torch():
        try:
            import transformers
        except ImportError as error:
            raise MissingExtra("transformers", "a Transformers pipeline") from error
        yield transformers


def _tokenizer(transformers: Any, artifact: Artifact) -> Any:
    path = artifact.path / "components" / "tokenizer"
    if not path.is_dir():
        raise RegistryError(
            f"{artifact.version}: no tokenizer was saved with it: log the pipeline, not its model alone"
        )
    return transformers.AutoTokenizer.from_pretrained(str(path), local_files_only=True)


def _architecture(transformers: Any, artifact: Artifact) -> type:
    """The class of the model, without its weights."""
    found: type = getattr(transformers, artifact.flavors["transformers"]["pipeline_model_type"])
    return found


def _config(transformers: Any, artifact: Artifact) -> Any:
    path = artifact.path / artifact.flavors["transformers"]["model_binary"]
    return transformers.AutoConfig.from_pretrained(str(path), local_files_only=True)


def _longest(tokenizer: Any, config: Any) -> int:
    """How many tokens the model reads; RoBERTa and its kin keep two of their places for themselves."""
    places = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    reserved = 2 if "roberta" in config.model_type or config.model_type == "camembert" else 0
    return min(int(places) - reserved, int(tokenizer.model_max_length))
