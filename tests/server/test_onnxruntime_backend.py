"""The ``onnxruntime`` backend in a running Triton: batches, text, and files that it cannot serve."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto, helper
from tritonclient.grpc import InferRequestedOutput
from tritonclient.utils import InferenceServerException

from embedded_calls import ask, connect, tensor
from embedded_models import TENSORS, doubling, graph, once_and_twice, rows, write_config, write_onnx
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.server

BATCHING = "dynamic_batching { max_queue_delay_microseconds: 50000 }"
VARIABLE = """
input { name: "x" data_type: TYPE_FP32 dims: [-1] }
output { name: "y" data_type: TYPE_FP32 dims: [-1] }
"""
TEXT = """
input { name: "x" data_type: TYPE_STRING dims: [1] }
output { name: "y" data_type: TYPE_STRING dims: [1] }
"""
WIDE = TENSORS.replace("[2]", "[3]")
TWO_OUTPUTS = f"""{TENSORS}
output {{ name: "z" data_type: TYPE_FP32 dims: [2] }}
"""
RESHAPED = """
input { name: "x" data_type: TYPE_FP32 dims: [1] reshape: { shape: [] } }
output { name: "y" data_type: TYPE_FP32 dims: [1] reshape: { shape: [] } }
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    store = tmp_path_factory.mktemp("onnx")
    write_onnx(store, "batching", doubling(), more=BATCHING)
    write_onnx(store, "variable", doubling(shape=("rows", "width")), config=VARIABLE, more="dynamic_batching {}")
    write_onnx(store, "text", _identity_of_text(), config=TEXT)
    write_onnx(store, "reshaped", doubling(shape=("rows",)), config=RESHAPED)
    write_onnx(store, "two-outputs", once_and_twice(), config=TWO_OUTPUTS, more=BATCHING)
    write_onnx(store, "too-wide", doubling(), config=WIDE)
    truncated = write_onnx(store, "truncated", doubling()) / "model.onnx"
    truncated.write_bytes(truncated.read_bytes()[:50])
    platform = write_config(store, "by-platform", f'platform: "onnxruntime_onnx" max_batch_size: 8 {TENSORS}')
    (platform / "model.onnx").write_bytes((store / "models" / "batching" / "1" / "model.onnx").read_bytes())
    with EmbeddedTriton(store, models=[path.name for path in (store / "models").iterdir()]) as running:
        yield running


def _identity_of_text():
    whole = (TensorProto.STRING, ("rows", 1))
    return graph([helper.make_node("Identity", ["x"], ["y"])], {"x": whole}, {"y": whole})


def test_models_that_fit_are_served(triton):
    assert set(triton.failures) == {"too-wide", "truncated"}


def test_a_shape_that_the_official_backend_refuses_is_refused_in_words(triton):
    assert "input 'x' has shape [-1, 3] (batch first) in the configuration" in triton.failures["too-wide"]


def test_a_truncated_file_is_refused_in_words(triton):
    assert "model.onnx (50 bytes) cannot be opened; is it whole?" in triton.failures["truncated"]


def test_concurrent_requests_are_batched_and_each_gets_its_own_rows(triton):
    arrays = [rows(1, seed=seed) for seed in range(32)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda array: ask(triton, "batching", array), arrays))
    with connect(triton) as client:
        (statistics,) = client.get_inference_statistics("batching").model_stats

    for answer, array in zip(answers, arrays, strict=True):
        np.testing.assert_array_equal(answer, 2 * array)
    assert statistics.inference_count == 32
    assert statistics.execution_count < 32


def test_callers_in_one_batch_each_get_the_outputs_that_they_asked_for(triton):
    asked = [["y"], ["z"], ["y", "z"], None] * 4

    def answer(names):
        outputs = names and [InferRequestedOutput(name) for name in names]
        with connect(triton) as client:
            result = client.infer("two-outputs", [tensor("x", rows(1))], outputs=outputs)
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(answer, asked))

    for names, given in zip(asked, answers, strict=True):
        assert set(given) == set(names or ["y", "z"])
        for name, array in given.items():
            np.testing.assert_array_equal(array, rows(1) * {"y": 1, "z": 2}[name])


def test_concurrent_requests_of_different_widths_are_all_answered(triton):
    arrays = [rows(1, width=1 + seed % 3, seed=seed) for seed in range(12)]

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda array: ask(triton, "variable", array), arrays))

    for answer, array in zip(answers, arrays, strict=True):
        np.testing.assert_array_equal(answer, 2 * array)


def test_text_survives_the_way_there_and_back(triton):
    answer = ask(triton, "text", np.array([["Čeština".encode()], [b""]], dtype=object))

    assert [text.decode() for text in answer.ravel()] == ["Čeština", ""]


def test_a_reshape_lets_a_graph_of_one_dimension_be_served(triton):
    np.testing.assert_array_equal(ask(triton, "reshaped", rows(3, width=1)), 2 * rows(3, width=1))


def test_the_platform_alone_names_the_backend_too(triton):
    np.testing.assert_array_equal(ask(triton, "by-platform", rows(2)), 2 * rows(2))


def test_a_request_of_the_wrong_width_is_refused_by_name(triton):
    with pytest.raises(InferenceServerException, match="unexpected shape for input 'x'"):
        ask(triton, "batching", rows(1, width=3))
