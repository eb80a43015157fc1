"""The ``onnxruntime`` backend without Triton: what it refuses to load, and how it batches."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import fake_pb_utils as pb_utils
from embedded_models import doubling, graph, once_and_twice, rows
from sextant_server.onnx.execution import Execution
from sextant_server.onnx.model import OnnxModel
from sextant_server.onnx.options import session_options
from sextant_server.onnx.providers import CPU, CUDA, TENSORRT, device


def tensor(name, dims, data_type="TYPE_FP32", **more):
    return {"name": name, "data_type": data_type, "dims": dims, **more}


def config(x=None, y=None, batch=8, **more):
    inputs, outputs = [x or tensor("x", [2])], [y or tensor("y", [2])]
    return {"input": inputs, "output": outputs, "max_batch_size": batch, "instance_group": [], **more}


@pytest.fixture
def load(tmp_path):
    def load_model(model, **changes):
        (tmp_path / "1").mkdir(exist_ok=True)
        onnx.save(model, tmp_path / "1" / "model.onnx")
        return load_saved(tmp_path, **changes)

    return load_model


def load_saved(folder, **changes):
    arguments = {"model_config": json.dumps(config(**changes))}
    return OnnxModel.load({**arguments, "model_repository": str(folder), "model_version": "1"})


class Requests:
    """Requests for *model* as the backend gets them, and how often its session ran for them."""

    def __init__(self, model):
        self.runs = 0
        self.model = model

    def respond(self, *arrays):
        return self.asked(*(("y", array) for array in arrays))

    def asked(self, *named):
        """As ``respond``, each array with the names of the outputs that are asked for."""
        return Execution(pb_utils, self).respond([pb_utils.InferenceRequest({"x": array}, y) for y, array in named])

    def run(self, feed):
        self.runs += 1
        return self.model.run(feed)

    def __getattr__(self, name):
        return getattr(self.model, name)


def test_a_model_that_fits_its_configuration_runs(load):
    (doubled,) = load(doubling()).run({"x": rows(3)})

    np.testing.assert_array_equal(doubled, 2 * rows(3))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x": tensor("z", [2])}, "input 'x' of the graph is not in the configuration"),
        ({"x": tensor("z", [2])}, "input 'z' is not in the graph, which has x"),
        ({"y": tensor("z", [2])}, "output 'z' is not in the graph, which has y"),
        (
            {"x": tensor("x", [2], "TYPE_FP64")},
            r"input 'x' is TYPE_FP64 in the configuration and tensor\(float\)",
        ),
        ({"x": tensor("x", [2], "TYPE_BF16")}, "input 'x': TYPE_BF16 is not served by this backend"),
        ({"x": tensor("x", [3])}, r"input 'x' has shape \[-1, 3\] \(batch first\) in the configuration"),
        ({"y": tensor("y", [2, 1])}, r"\[-1, 2, 1\] \(batch first\) in the configuration and \[-1, 2\]"),
        ({"x": tensor("x", [-1])}, r"input 'x' has shape \[-1, -1\]"),
        ({"batch": 0}, r"input 'x' has shape \[2\] in the configuration and \[-1, 2\] in the graph"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(load, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        load(doubling(), **changes)


def test_a_fixed_batch_is_refused_where_triton_is_to_batch(load):
    with pytest.raises(ValueError, match="export it with a dynamic batch, or set max_batch_size to 0"):
        load(doubling(shape=(1, 2)))


def test_every_disagreement_is_told_at_once(load):
    with pytest.raises(ValueError, match=r"input 'x' has shape.*; output 'y' has shape"):
        load(doubling(), x=tensor("x", [3]), y=tensor("y", [3]))


def test_a_fixed_batch_is_served_without_batching(load):
    model = load(doubling(shape=(1, 2)), x=tensor("x", [1, 2]), y=tensor("y", [1, 2]), batch=0)

    assert model.run({"x": rows(1)})[0].shape == (1, 2)


def test_a_reshape_is_what_the_graph_must_fit(load):
    reshape = tensor("x", [1, 2], reshape={"shape": [2]})

    assert load(doubling(), x=reshape).inputs == ("x",)


def test_an_empty_reshape_declares_labels_of_one_dimension(load):
    flat = tensor("x", [1], reshape={"shape": []}), tensor("y", [1], reshape={"shape": []})

    assert load(doubling(shape=("rows",)), x=flat[0], y=flat[1]).batched


def test_a_truncated_file_is_refused_with_its_size(load, tmp_path):
    load(doubling())
    whole = (tmp_path / "1" / "model.onnx").read_bytes()
    (tmp_path / "1" / "model.onnx").write_bytes(whole[:40])

    with pytest.raises(ValueError, match=r"model.onnx \(40 bytes\) cannot be opened; is it whole\?"):
        load_saved(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no model.onnx in "):
        load_saved(tmp_path)


def test_another_file_name_is_honoured(load, tmp_path):
    load(doubling())
    (tmp_path / "1" / "model.onnx").rename(tmp_path / "1" / "other.onnx")

    assert load_saved(tmp_path, default_model_filename="other.onnx").outputs == ["y"]


def _with_external_data(folder):
    weight = numpy_helper.from_array(np.full(2, 3, np.float32), "w")
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    shape = (TensorProto.FLOAT, ("rows", 2))
    folder.mkdir(parents=True)
    model = graph([node], {"x": shape}, {"y": shape}, [weight])
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)


@pytest.mark.parametrize("folder", ["1", "1/model.onnx"])
def test_external_data_is_read_from_beside_the_file(tmp_path, folder):
    _with_external_data(tmp_path / folder)

    (tripled,) = load_saved(tmp_path).run({"x": rows(1)})

    np.testing.assert_array_equal(tripled, 3 * rows(1))


def test_a_batch_of_requests_is_one_run(load):
    requests = Requests(load(doubling()))
    arrays = rows(1), rows(3, seed=8), rows(2, seed=9)

    responses = requests.respond(*arrays)

    assert requests.runs == 1
    for response, array in zip(responses, arrays, strict=True):
        np.testing.assert_array_equal(response.arrays()["y"], 2 * array)


@pytest.mark.parametrize("asked", ["y", "z", "yz"])
def test_only_the_outputs_that_were_asked_for_are_handed_over(load, asked):
    model = load(once_and_twice(), output=[tensor("y", [2]), tensor("z", [2])])
    requests = Requests(model)

    (alone,) = requests.asked((asked, rows(1)))
    first, second = requests.asked((asked, rows(1)), ("yz", rows(2, seed=8)))

    assert set(alone.arrays()) == set(first.arrays()) == set(asked)
    np.testing.assert_array_equal(second.arrays()["z"], 2 * rows(2, seed=8))


def test_requests_of_different_shapes_are_run_apart(load):
    x, y = tensor("x", [-1]), tensor("y", [-1])
    requests = Requests(load(doubling(shape=("rows", "width")), x=x, y=y))

    responses = requests.respond(rows(1, width=2), rows(1, width=3))

    assert requests.runs == 2
    assert [response.arrays()["y"].shape for response in responses] == [(1, 2), (1, 3)]


def test_a_request_that_fails_fails_alone(load):
    indices = numpy_helper.from_array(np.arange(5, dtype=np.float32), "table")
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    whole = (TensorProto.INT64, ("rows", 1)), (TensorProto.FLOAT, ("rows", 1))
    model = load(
        graph(nodes, {"x": whole[0]}, {"y": whole[1]}, [indices]),
        x=tensor("x", [1], "TYPE_INT64"),
        y=tensor("y", [1]),
    )

    good, bad = Requests(model).respond(np.array([[4]]), np.array([[9]]))

    assert good.arrays()["y"].tolist() == [[4.0]]
    assert "out of data bounds" in bad.error.message()
    assert bad.error.code() == pb_utils.TritonError.INVALID_ARG


def test_a_graph_that_mixes_rows_answers_each_request_alone(load):
    nodes = [helper.make_node("Unique", ["x"], ["y"])]
    infos = {"x": (TensorProto.FLOAT, ("rows", 2))}, {"y": (TensorProto.FLOAT, ("kinds",))}
    model = load(graph(nodes, *infos), y=tensor("y", [1], reshape={"shape": []}))

    responses = Requests(model).respond(np.full((1, 2), 1, np.float32), np.full((2, 2), 2, np.float32))

    assert [response.arrays()["y"].tolist() for response in responses] == [[1.0], [2.0]]


def test_text_goes_in_as_bytes_and_comes_out_as_text(load):
    node = helper.make_node("Identity", ["x"], ["y"])
    whole = (TensorProto.STRING, ("rows", 1))
    text = tensor("x", [1], "TYPE_STRING"), tensor("y", [1], "TYPE_STRING")
    model = load(graph([node], {"x": whole}, {"y": whole}), x=text[0], y=text[1])

    first, second = Requests(model).respond(_text("Čeština"), _text("plain"))

    assert first.arrays()["y"].tolist() == [["Čeština"]]
    assert second.arrays()["y"].tolist() == [["plain"]]


def _text(text):
    return np.array([[text.encode()]], dtype=object)


def test_text_that_is_not_utf8_fails_alone(load):
    node = helper.make_node("Identity", ["x"], ["y"])
    whole = (TensorProto.STRING, ("rows", 1))
    text = tensor("x", [1], "TYPE_STRING"), tensor("y", [1], "TYPE_STRING")
    model = load(graph([node], {"x": whole}, {"y": whole}), x=text[0], y=text[1])

    bad, good = Requests(model).respond(np.array([[b"\xff"]], dtype=object), _text("plain"))

    assert "utf-8" in bad.error.message()
    assert good.arrays()["y"].tolist() == [["plain"]]


def _parameters(**values):
    return {"parameters": {name: {"string_value": value} for name, value in values.items()}}


def test_the_official_parameters_are_honoured():
    asked = _parameters(
        intra_op_thread_count="3",
        inter_op_thread_count="2",
        execution_mode="1",
        enable_mem_arena="0",
        enable_mem_pattern="0",
    )

    options = session_options(config(**asked, optimization={"graph": {"level": 2}}))

    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
    assert options.execution_mode.name == "ORT_PARALLEL"
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern
    assert options.graph_optimization_level.name == "ORT_DISABLE_ALL"


def test_instances_share_the_cores_by_default():
    groups = [{"count": 10_000}]

    assert session_options({**config(), "instance_group": groups}).intra_op_num_threads == 1


def test_a_parameter_that_is_no_number_is_refused_by_name():
    with pytest.raises(ValueError, match=r"parameters.intra_op_thread_count: expected a whole number, got 'two'"):
        session_options(config(**_parameters(intra_op_thread_count="two")))


def test_memory_shrinkage_is_asked_of_every_run(load):
    model = load(doubling(), parameters={"memory.enable_memory_arena_shrinkage": {"string_value": "cpu:0"}})

    assert model.run({"x": rows(1)})[0].shape == (1, 2)


# What `onnxruntime.get_available_providers()` says of the wheels onnxruntime-gpu and onnxruntime.
GPU_WHEEL = [TENSORRT, CUDA, CPU]
CPU_WHEEL = ["AzureExecutionProvider", CPU]


def instance(folder, kind="GPU", device_id="0", says="KIND_AUTO"):
    """What Triton tells an instance, whose configuration on the disk *says* what kind it wants."""
    (folder / "config.pbtxt").write_text(f"instance_group {{ count: 1 kind: {says} }}")
    return {"model_instance_kind": kind, "model_instance_device_id": device_id, "model_repository": str(folder)}


def accelerated(**accelerators):
    """A configuration's ``optimization``: each accelerator's parameters by its name."""
    listed = [{"name": name, "parameters": parameters} for name, parameters in accelerators.items()]
    return {"optimization": {"execution_accelerators": {"gpu_execution_accelerator": listed}}}


def test_an_instance_on_a_gpu_runs_there_with_the_cpu_behind_it(tmp_path):
    place = device(instance(tmp_path, device_id="2"), config(), GPU_WHEEL)

    assert place.providers == [(CUDA, {"device_id": "2"}), (CPU, {})]
    assert (place.name, place.note) == ("GPU 2", "")


def test_an_instance_on_the_cpu_stays_there(tmp_path):
    place = device(instance(tmp_path, kind="CPU"), config(), GPU_WHEEL)

    assert place.providers == [(CPU, {})]
    assert place.name == "the CPU"


def test_the_wheel_for_the_cpu_serves_an_automatic_instance_and_says_so(tmp_path):
    """Triton sees the GPU; it is ONNX Runtime that has no use for it."""
    place = device(instance(tmp_path), config(), CPU_WHEEL)

    assert place.providers == [(CPU, {})]
    assert "there is a GPU" in place.note
    assert "pip install 'triton-sextant[gpu]'" in place.note


def test_the_wheel_for_the_cpu_is_refused_by_a_model_that_insists_on_a_gpu(tmp_path):
    with pytest.raises(
        ValueError, match=r"asks for KIND_GPU.*no CUDAExecutionProvider: pip install.*or write KIND_AUTO"
    ):
        device(instance(tmp_path, says="KIND_GPU"), config(), CPU_WHEEL)


def test_what_the_twin_says_counts_for_an_embedded_server(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/embedded.pbtxt").write_text("instance_group { kind: KIND_AUTO }")

    assert device(instance(tmp_path, says="KIND_GPU"), config(), CPU_WHEEL).name == "the CPU"


def test_memory_and_search_are_the_official_backends_words(tmp_path):
    asked = _parameters(
        gpu_mem_limit="1073741824",
        arena_extend_strategy="1",
        cudnn_conv_algo_search="1",
        do_copy_in_default_stream="0",
    )

    (_, options), _ = device(instance(tmp_path), config(**asked), GPU_WHEEL).providers

    assert options == {
        "device_id": "0",
        "gpu_mem_limit": "1073741824",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "do_copy_in_default_stream": "0",
    }


def test_a_word_that_onnx_runtime_does_not_know_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"cudnn_conv_algo_search: expected 0 \(EXHAUSTIVE\), .* got 'fast'"):
        device(instance(tmp_path), config(**_parameters(cudnn_conv_algo_search="fast")), GPU_WHEEL)


def test_the_cuda_accelerators_own_parameters_win(tmp_path):
    asked = {**_parameters(gpu_mem_limit="1"), **accelerated(cuda={"gpu_mem_limit": "2", "use_tf32": "0"})}

    (_, options), _ = device(instance(tmp_path), config(**asked), GPU_WHEEL).providers

    assert options == {"device_id": "0", "gpu_mem_limit": "2", "use_tf32": "0"}


def test_tensorrt_comes_before_cuda_where_it_is_asked_for(tmp_path):
    asked = accelerated(
        tensorrt={"precision_mode": "FP16", "max_workspace_size_bytes": "9", "trt_engine_cache_enable": "true"}
    )

    tensorrt, cuda, cpu = device(instance(tmp_path, device_id="1"), config(**asked), GPU_WHEEL).providers

    assert tensorrt == (
        TENSORRT,
        {
            "device_id": "1",
            "trt_fp16_enable": "1",
            "trt_max_workspace_size": "9",
            "trt_engine_cache_enable": "true",
        },
    )
    assert (cuda[0], cpu[0]) == (CUDA, CPU)


def test_without_tensorrt_cuda_serves_and_the_log_says_so(tmp_path):
    place = device(instance(tmp_path), config(**accelerated(tensorrt={})), [CUDA, CPU])

    assert [name for name, _ in place.providers] == [CUDA, CPU]
    assert "no TensorrtExecutionProvider" in place.note


def test_a_precision_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"precision_mode: expected one of FP32, FP16, BF16, INT8, got 'half'"):
        device(instance(tmp_path), config(**accelerated(tensorrt={"precision_mode": "half"})), GPU_WHEEL)


def test_a_loaded_model_says_on_what_it_runs(load):
    assert "model.onnx runs on the CPU, ONNX Runtime" in load(doubling()).runs_on
