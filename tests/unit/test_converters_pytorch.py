"""PyTorch modules become graphs that answer row by row, or are refused with the line that stands in the way."""

from __future__ import annotations

import logging
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import nn

from saved_networks import ROWS, artifact, numbers, proven, saved
from sextant.errors import ConversionError, MissingExtra, RegistryError
from sextant.tensors import Tensor
from sextant_export.converters import pytorch_flavor, torch_graph
from sextant_export.onnx_graph import NEWEST_IR, NEWEST_OPSETS

pytestmark = pytest.mark.models


class Last(nn.Module):
    """The last step of a recurrent network."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.steps, self.head = kind(4, 8, 2, batch_first=True, dropout=0.3), nn.Linear(8, 2)

    def forward(self, rows):
        return self.head(self.steps(rows)[0][:, -1])


class Judged(nn.Module):
    """Two inputs, three answers."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds, self.head = nn.Embedding(7, 5), nn.Linear(9, 3)

    def forward(self, kind, level):
        scores = self.head(torch.cat([self.kinds(kind)[:, 0], level], 1))
        return {"class scores": scores, "best": (scores.max(1, keepdim=True).values, scores.argmax(1, keepdim=True))}


class Written(nn.Module):
    """Whatever *body* makes of the rows."""

    def __init__(self, body) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(4, 4)

    def forward(self, rows):
        return self.body(self, rows)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))


def convolution() -> nn.Module:
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(128, 5), nn.Softmax(1))


NETWORKS = {
    "perceptron": (perceptron, (4,)),
    "convolution": (convolution, (1, 8, 8)),
    "recurrent": (lambda: Last(nn.GRU), (5, 4)),
    "long memory": (lambda: Last(nn.LSTM), (5, 4)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (6, 8)),
}
REFUSED = {
    "a branch on values": (
        lambda _, rows: rows + 1 if rows.sum() > 0 else rows,
        r"depends on the values it is asked \(test_converters_pytorch.py line \d+: .*torch\.where",
    ),
    "a fixed number of rows": (lambda _, rows: rows.reshape(3, 2, 2), "shape|fixed number of rows"),
    "a branch on the number of rows": (lambda _, rows: rows if rows.shape[0] < 9 else -rows, "any number of rows"),
    "dropout for ever": (lambda _, rows: nn.functional.dropout(rows), r"aten\.dropout\.default .*draws at random"),
    "random numbers": (lambda _, rows: rows + torch.rand_like(rows), r"aten\.rand_like\.default .*draws at random"),
    "no operator": (lambda _, rows: torch.special.bessel_j0(rows), "ONNX has no operator for .*bessel_j0"),
    "rows that are lost": (lambda _, rows: rows.T, r"3 rows has shape \(4, 3\)"),
    "rows chosen": (lambda _, rows: rows[rows[:, 0] > 0.5], "to 3 rows has shape|not one row for each"),
    "a lost axis": (lambda net, rows: net.head(rows).sum(1, keepdim=True).squeeze(), r"write squeeze\(-1\)"),
    "a mean over rows": (lambda _, rows: rows - rows.mean(0), "depends on the other rows"),
    "no tensor": (lambda net, rows: net.head(rows).numpy(), "it answers a ndarray"),
    "a mistake": (lambda net, rows: net.tail(rows), r"rows of its own signature \(features FP32 \[-1, 4\]\): .*'tail'"),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pickled(model: nn.Module, path, example, **options):
    return saved("pytorch", model, path, example, serialization_format="pickle", **options)


def program(model: nn.Module, path, example):
    return saved("pytorch", model, path, example, serialization_format="pt2", input_example=example)


def declared(*dims: int) -> ModelSignature:
    return ModelSignature(Schema([TensorSpec(np.dtype("float32"), dims)]))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_answers_as_its_graph(tmp_path, name):
    network, dims = NETWORKS[name]
    rows = numbers(*dims)

    graph, proof = proven(pytorch_flavor, pickled(network(), tmp_path / "net", rows), {"features": rows})

    assert proof.rows == ROWS
    assert proof.max_abs_delta < 1e-5
    assert graph.inputs == (Tensor("features", "FP32", dims),)
    assert [tensor.name for tensor in graph.outputs] == ["prediction"]


def test_tensors_and_answers_keep_their_names(tmp_path):
    feed = {"level": numbers(4), "kind": np.random.default_rng(0).integers(0, 7, (ROWS, 1))}

    graph, proof = proven(pytorch_flavor, pickled(Judged(), tmp_path / "net", feed), feed)

    assert proof.max_abs_delta < 1e-5
    assert graph.inputs == (Tensor("level", "FP32", (4,)), Tensor("kind", "INT64", (1,)))
    assert graph.outputs == (
        Tensor("class_scores", "FP32", (3,)),
        Tensor("best_0", "FP32", (1,)),
        Tensor("best_1", "INT64", (1,)),
    )


def test_a_tuple_is_counted(tmp_path):
    model = Written(lambda net, rows: (net.head(rows), rows))

    graph, proof = proven(pytorch_flavor, pickled(model, tmp_path / "net", numbers(4)), {"features": numbers(4)})

    assert [tensor.name for tensor in graph.outputs] == ["output_0", "output_1"]
    assert proof.max_abs_delta < 1e-5


def test_a_table_of_numbers_is_one_matrix(tmp_path):
    table = pd.DataFrame(numbers(4), columns=["a", "b", "c", "d"])

    graph, proof = proven(pytorch_flavor, pickled(perceptron(), tmp_path / "net", table), {"features": numbers(4)})

    assert graph.inputs == (Tensor("features", "FP32", (4,)),)
    assert proof.max_abs_delta < 1e-5


def test_double_precision_stays_double(tmp_path):
    rows = numbers(4).astype(np.float64)

    graph, proof = proven(pytorch_flavor, pickled(nn.Linear(4, 2).double(), tmp_path / "net", rows), {"features": rows})

    assert (graph.inputs[0].dtype, graph.outputs[0].dtype) == ("FP64", "FP64")
    assert proof.max_abs_delta < 1e-12


def test_an_exported_program_answers_as_its_graph(tmp_path):
    saved_program = program(convolution().eval(), tmp_path / "net", numbers(1, 8, 8)[:3])

    _, proof = proven(pytorch_flavor, saved_program, {"features": numbers(1, 8, 8)})

    assert proof.max_abs_delta < 1e-5


def test_a_program_for_one_row_is_refused(tmp_path):
    saved_program = program(perceptron().eval(), tmp_path / "net", numbers(4)[:1])

    with pytest.raises(ConversionError, match=r"a program for .*== 1 only: log it again with an input_example of more"):
        pytorch_flavor.convert(saved_program, saved_program.signature)


@pytest.mark.parametrize(("layer", "said"), [(nn.Dropout(), "dropout"), (nn.BatchNorm1d(4), "batch_norm")])
def test_a_program_that_still_trains_is_refused(tmp_path, layer, said):
    saved_program = program(nn.Sequential(nn.Linear(4, 4), layer), tmp_path / "net", numbers(4)[:3])

    with pytest.raises(ConversionError, match=rf"aten\.{said}\.default .*call model\.eval\(\) before it is logged"):
        pytorch_flavor.convert(saved_program, saved_program.signature)


def test_a_module_that_was_logged_while_it_trained_has_stopped(tmp_path):
    model = pickled(perceptron().train(), tmp_path / "net", numbers(4))

    graph = pytorch_flavor.convert(model, model.signature)

    assert not {"Dropout", "RandomUniformLike"} & {node.op_type for node in graph.graph.node}


def test_a_norm_over_the_rows_of_a_request_is_refused(tmp_path):
    model = pickled(nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)), tmp_path / "net", numbers(4))

    with pytest.raises(ConversionError, match=r"batch_norm.*keep track_running_stats"):
        pytorch_flavor.convert(model, model.signature)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_graph_is_named(tmp_path, name):
    body, said = REFUSED[name]
    model = pickled(Written(body), tmp_path / "net", numbers(4))

    with pytest.raises(ConversionError, match=f"^PyTorch cannot export Written: .*({said})"):
        pytorch_flavor.convert(model, model.signature)


def test_an_open_axis_stays_open(tmp_path):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = pickled(layer, tmp_path / "net", None, signature=declared(-1, -1, 8))

    graph, short = proven(pytorch_flavor, model, {"features": numbers(3, 8)})
    long = graph.answer({"features": numbers(11, 8)})

    assert graph.inputs == (Tensor("features", "FP32", (-1, 8)),)
    assert short.max_abs_delta < 1e-5
    assert long["prediction"].shape == (ROWS, 11, 8)


@pytest.mark.parametrize(
    ("model", "signature", "said"),
    [
        (Last(nn.LSTM), declared(-1, -1, 4), "axis 1 of 'features' is open in its signature and comes out fixed at 8"),
        (
            nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten()),
            declared(-1, 3, -1, -1),
            "its graph answers differently where an open axis is 13 and not 8",
        ),
    ],
    ids=["fixed", "wrong"],
)
def test_an_axis_that_only_pretends_to_be_open_is_refused(tmp_path, model, signature, said):
    """The exporter fixes the sizes of an adaptive pool to those it saw, without a word."""
    model = pickled(model, tmp_path / "net", None, signature=signature)

    with pytest.raises(ConversionError, match=said):
        pytorch_flavor.convert(model, model.signature)


def test_torchscript_is_refused_with_advice(tmp_path):
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(perceptron())
    model = pickled(scripted, tmp_path / "net", numbers(4))

    with pytest.raises(ConversionError, match=r"models:/net/3 is TorchScript.*log the torch\.nn\.Module"):
        pytorch_flavor.convert(model, model.signature)


def test_a_model_without_a_signature_is_refused(tmp_path):
    model = pickled(perceptron(), tmp_path / "net", None)

    with pytest.raises(ConversionError, match=r"models:/net/3: it was logged without a signature: log it with"):
        pytorch_flavor.convert(model, None)


def test_text_is_refused(tmp_path):
    model = pickled(perceptron(), tmp_path / "net", pd.DataFrame({"a": ["x"], "b": [1.0]}))

    with pytest.raises(ConversionError, match=r"its input 'a' is no number"):
        pytorch_flavor.convert(model, model.signature)


def test_a_module_that_is_not_there_is_named(tmp_path):
    model = pickled(perceptron(), tmp_path / "net", numbers(4))
    (model.path / "data" / "model.pth").write_bytes(b"")

    with pytest.raises(ConversionError, match=r"models:/net/3: the module cannot be loaded: "):
        pytorch_flavor.convert(model, model.signature)


def test_an_original_says_on_what_it_fails(tmp_path):
    model = pickled(perceptron(), tmp_path / "net", numbers(4))

    with pytest.raises(RegistryError, match=r"models:/net/3: the model fails on 1000 rows: "):
        pytorch_flavor.original(model)({"features": numbers(5)})


def test_a_graph_loads_on_the_oldest_target_and_quotes_no_source(tmp_path):
    """The exporter writes the model's source and this machine's paths beside every node."""
    model = pickled(Judged(), tmp_path / "net", {"kind": np.ones((3, 1), np.int64), "level": numbers(4)[:3]})

    graph = pytorch_flavor.convert(model, model.signature)

    assert graph.ir_version <= NEWEST_IR
    assert all(opset.version <= NEWEST_OPSETS[opset.domain] for opset in graph.opset_import)
    assert b".py" not in graph.SerializeToString()


def test_the_same_module_gives_the_same_bytes(tmp_path):
    model = pickled(Judged(), tmp_path / "net", {"kind": np.ones((3, 1), np.int64), "level": numbers(4)[:3]})

    once, again = (pytorch_flavor.convert(model, model.signature) for _ in range(2))

    assert once.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


def test_the_exporter_says_nothing(tmp_path, capfd, caplog):
    body, said = REFUSED["a branch on values"]
    broken = pickled(Written(body), tmp_path / "broken", numbers(4))
    model = pickled(perceptron(), tmp_path / "net", numbers(4))
    capfd.readouterr()

    pytorch_flavor.convert(model, model.signature)
    with pytest.raises(ConversionError, match=said):
        pytorch_flavor.convert(broken, broken.signature)

    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def test_large_weights_stay_outside_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_graph, "LARGEST_WHOLE", 1000)
    model = pickled(nn.Sequential(nn.Linear(4, 500), nn.Linear(500, 3)), tmp_path / "net", numbers(4))

    proto = pytorch_flavor.convert(model, model.signature)
    _, proof = proven(pytorch_flavor, model, {"features": numbers(4)})

    assert any(weight.data_location == onnx.TensorProto.EXTERNAL for weight in proto.graph.initializer)
    assert proof.max_abs_delta < 1e-5


def test_without_pytorch_the_line_to_type_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("network", "torch_graph"):
        monkeypatch.delitem(sys.modules, f"sextant_export.converters.{name}", raising=False)

    with pytest.raises(MissingExtra, match=r"a PyTorch model needs an extra: .*triton-sextant\[torch\]"):
        pytorch_flavor.convert(artifact(tmp_path, {"pytorch": {}}), None)
