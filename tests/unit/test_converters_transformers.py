"""Transformers pipelines become graphs of tokens; nothing is downloaded, so they are small and random."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import transformers

from saved_networks import ROWS, artifact, proven, saved
from sextant.errors import ConversionError, MissingExtra
from sextant.tensors import Tensor
from sextant_export.converters import transformers_flavor

pytestmark = pytest.mark.models

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(95))]
LABELS = {0: "bad", 1: "fair", 2: "good"}
BERT = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
DISTILLED = {
    "vocab_size": len(WORDS),
    "dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 64,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
TEXTS = ["w1 w2 w3", "w4", "nobody knows w5"]


def tokenizer():
    return transformers.BertTokenizerFast(vocab={word: place for place, word in enumerate(WORDS)})


def pipeline(path, task="text-classification", kind="BertForSequenceClassification", **changes):
    torch.manual_seed(0)
    config = transformers.DistilBertConfig if kind.startswith("Distil") else transformers.BertConfig
    sizes = DISTILLED if kind.startswith("Distil") else BERT
    labels = {"id2label": LABELS, "label2id": {label: place for place, label in LABELS.items()}}
    model = getattr(transformers, kind)(config(**{**sizes, **labels, **changes}))
    made = transformers.pipeline(task, model=model.eval(), tokenizer=tokenizer())
    return made, saved("transformers", made, path)


@pytest.fixture(scope="module", params=["BertForSequenceClassification", "DistilBertForSequenceClassification"])
def judge(request, tmp_path_factory):
    """A classifier, what was saved of it, and its proven copy."""
    made, model = pipeline(tmp_path_factory.mktemp("judge") / "net", kind=request.param)
    return made, model, *proven(transformers_flavor, model, transformers_flavor.known_rows(model))


def test_a_classifier_answers_as_its_graph(judge):
    _, model, graph, proof = judge

    labels = graph.answer(transformers_flavor.known_rows(model))["prediction"]

    assert proof.rows == ROWS
    assert proof.max_abs_delta < 1e-5
    assert proof.outputs["prediction"].flips == 0
    assert set(labels.reshape(-1)) == set(LABELS.values())
    assert graph.outputs == (Tensor("prediction", "BYTES", (1,)), Tensor("probabilities", "FP32", (3,)))


def test_a_graph_takes_the_tokens_that_its_model_reads(judge):
    """DistilBERT does not read which of two texts a token is of, though its tokenizer says so."""
    made, model, graph, _ = judge
    taken = {"input_ids", "attention_mask"} | ({"token_type_ids"} if made.model.config.model_type == "bert" else set())

    assert {tensor.name for tensor in graph.inputs} == taken
    assert {(tensor.dtype, tensor.dims) for tensor in graph.inputs} == {("INT64", (-1,))}
    assert transformers_flavor.known_rows(model).keys() == transformers_flavor.tokens(model, TEXTS).keys() == taken


def test_the_graph_answers_text_as_the_pipeline_does(judge):
    made, model, graph, _ = judge

    answers = graph.answer(transformers_flavor.tokens(model, TEXTS))

    expected = made(TEXTS)
    assert answers["prediction"].reshape(-1).tolist() == [answer["label"] for answer in expected]
    np.testing.assert_allclose(
        answers["probabilities"].max(axis=1), [answer["score"] for answer in expected], atol=1e-5
    )


def test_a_text_longer_than_the_model_reads_is_cut(judge):
    _, model, graph, _ = judge
    feed = transformers_flavor.tokens(model, [" ".join(["w7"] * 99), "w7"])

    expected = transformers_flavor.original(model)(feed)

    assert feed["input_ids"].shape == (2, 40)
    np.testing.assert_allclose(graph.answer(feed)["probabilities"], expected["probabilities"], atol=1e-5)


@pytest.mark.parametrize(
    ("problem", "outputs"),
    [
        ("regression", (Tensor("prediction", "FP32", (3,)),)),
        (
            "multi_label_classification",
            (Tensor("prediction", "BYTES", (1,)), Tensor("probabilities", "FP32", (3,))),
        ),
    ],
)
def test_the_pipelines_own_function_is_applied(tmp_path, problem, outputs):
    made, model = pipeline(tmp_path / "net", problem_type=problem)

    graph, proof = proven(transformers_flavor, model, transformers_flavor.known_rows(model, 50))
    scores = graph.answer(transformers_flavor.tokens(model, TEXTS))[outputs[-1].name]

    expected = [{answer["label"]: answer["score"] for answer in row} for row in made(TEXTS, top_k=None)]
    assert graph.outputs == outputs
    assert proof.max_abs_delta < 1e-5
    np.testing.assert_allclose(scores, [[row[label] for label in LABELS.values()] for row in expected], atol=1e-5)


def test_features_are_the_last_hidden_state_and_nothing_is_said_on_the_way(tmp_path, capfd):
    made, model = pipeline(tmp_path / "net", task="feature-extraction", kind="BertModel")
    capfd.readouterr()

    graph, proof = proven(transformers_flavor, model, transformers_flavor.known_rows(model))
    features = graph.answer(transformers_flavor.tokens(model, ["w1 w2"]))["prediction"]

    assert capfd.readouterr() == ("", "")
    assert graph.outputs == (Tensor("prediction", "FP32", (-1, 32)),)
    assert proof.max_abs_delta < 1e-4
    np.testing.assert_allclose(features, made("w1 w2"), atol=1e-5)


def test_known_rows_are_of_every_length_and_the_same_each_time(judge):
    _, model, _, _ = judge

    rows, again = (transformers_flavor.known_rows(model) for _ in range(2))

    assert set(rows["attention_mask"].sum(axis=1)) == set(range(3, 33))
    assert all(np.array_equal(rows[name], again[name]) for name in rows)
    assert (rows["input_ids"][rows["attention_mask"] == 0] == 0).all()


def test_another_task_is_refused_by_name(tmp_path):
    model = artifact(tmp_path, {"transformers": {"task": "text-generation", "model_binary": "model"}})

    with pytest.raises(ConversionError, match=r"models:/net/3: its task is text-generation; converted are text-class"):
        transformers_flavor.convert(model, None)


@pytest.mark.parametrize(
    "said",
    [{"source_model_revision": "f00"}, {"model_binary": "model", "peft_adaptor": "peft"}],
    ids=["hub", "adapter"],
)
def test_weights_that_lie_elsewhere_are_refused_with_advice(tmp_path, said):
    model = artifact(tmp_path, {"transformers": {"task": "text-classification", **said}})

    with pytest.raises(ConversionError, match=r"its weights are not in the artifact: .*save_pretrained=True"):
        transformers_flavor.convert(model, None)


def test_weights_that_are_missing_are_named(tmp_path):
    _, model = pipeline(tmp_path / "net")
    (model.path / "model" / "model.safetensors").unlink()

    with pytest.raises(ConversionError, match=r"models:/net/3: the pipeline cannot be loaded: "):
        transformers_flavor.convert(model, None)


def test_without_the_package_the_line_to_type_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    model = artifact(tmp_path, {"transformers": {"task": "text-classification", "model_binary": "model"}})

    with pytest.raises(MissingExtra, match=r"a Transformers pipeline needs an extra: .*triton-sextant\[transformers\]"):
        transformers_flavor.convert(model, None)
