"""Model configurations are complete, of Triton 24.10's fields only, and written in one step."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from sextant.blocks import BLOCKS
from sextant.errors import StoreError
from sextant.tensors import Tensor
from sextant_export.config import (
    Configs,
    backend_of,
    block_config,
    ensemble_config,
    onnx_config,
    read_config,
    set_serving,
    tensorrt_config,
    write_config,
)
from sextant_export.pipeline import Serving
from sextant_export.wiring import EnsembleStep

SERVING = Serving(max_batch_size=32, max_queue_delay_us=250, instances=3, intra_op_thread_count=2)
X, Y = Tensor("x", "FP32", (24,)), Tensor("y", "FP32", (2,))
LATER = ("model_metrics",)
WRITTEN = """\
name: "m"
version_policy {
  specific {
    versions: 1
  }
}
max_batch_size: 64
input {
  name: "x"
  data_type: TYPE_FP32
  dims: 24
}
output {
  name: "y"
  data_type: TYPE_FP32
  dims: 2
}
instance_group {
  count: 1
}
dynamic_batching {
  max_queue_delay_microseconds: 500
}
parameters {
  key: "intra_op_thread_count"
  value {
    string_value: "1"
  }
}
backend: "onnxruntime"
response_cache {
}
"""


def every_kind() -> list[ModelConfig]:
    step = EnsembleStep("locate.scale", 4, {"features": "features"}, {"scaled": "scaled"})
    return [
        onnx_config("member", [X], [Y], SERVING, [7, 3]),
        block_config("locate.scale", BLOCKS["scale"]({"width": 24}), SERVING, [4]),
        ensemble_config("locate.r4", 4, [step], [X], [Y], 32),
        tensorrt_config("planned", [X], [Y], SERVING, [3], {"8.9": "model.sm89.plan"}),
        onnx_config("accelerated", [X], [Y], SERVING, [3], "tensorrt"),
    ]


def test_an_onnx_member_is_described_whole():
    config = every_kind()[0]

    assert (config.name, config.backend, config.max_batch_size) == ("member", "onnxruntime", 32)
    assert (config.input[0].name, list(config.input[0].dims)) == ("x", [24])
    assert list(config.version_policy.specific.versions) == [3, 7]
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (
        3,
        ModelInstanceGroup.KIND_AUTO,
    )
    assert config.dynamic_batching.max_queue_delay_microseconds == 250
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert not config.response_cache.enable


def test_a_block_knows_the_width_of_its_pipeline():
    config = every_kind()[1]

    assert [list(tensor.dims) for tensor in (*config.input, *config.output)] == [[24], [24]]
    assert (config.backend, config.instance_group[0].kind) == ("python", ModelInstanceGroup.KIND_CPU)


def test_a_block_batches_what_waits_and_waits_for_nothing():
    config = every_kind()[1]

    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching.max_queue_delay_microseconds == 0


def test_optional_inputs_stay_optional():
    config = block_config("locate.fuse", BLOCKS["fuse"], SERVING, [1])

    assert all(tensor.optional for tensor in config.input)


def test_an_ensemble_is_pinned_and_names_its_release():
    config = every_kind()[2]

    assert config.platform == "ensemble"
    assert [step.model_version for step in config.ensemble_scheduling.step] == [4]
    assert config.parameters["release"].string_value == "4"
    assert not config.instance_group
    assert not config.HasField("dynamic_batching")


def test_plans_are_named_by_compute_capability_and_want_a_gpu():
    config = every_kind()[3]

    assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
    assert dict(config.cc_model_filenames) == {"8.9": "model.sm89.plan"}
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (3, ModelInstanceGroup.KIND_GPU)


def _accelerator(config):
    (found,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    return found.name, dict(found.parameters)


def test_an_accelerated_member_stays_onnx_and_keeps_its_engines():
    config = every_kind()[4]

    name, parameters = _accelerator(config)

    assert (config.backend, name) == ("onnxruntime", "tensorrt")
    assert parameters == {
        "precision_mode": "FP32",
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": "/tmp/sextant-engines/accelerated",
        "trt_profile_min_shapes": "x:1x24",
        "trt_profile_opt_shapes": "x:32x24",
        "trt_profile_max_shapes": "x:32x24",
    }


def test_open_axes_leave_the_shapes_of_an_accelerated_member_open():
    config = onnx_config("images", [Tensor("x", "FP32", (3, -1, -1))], [Y], SERVING, [1], "tensorrt")

    assert not any(name.startswith("trt_profile") for name in _accelerator(config)[1])


@pytest.mark.parametrize(
    ("facts", "backend"),
    [({"platform": "tensorrt_plan"}, "tensorrt"), ({"platform": "onnxruntime_onnx"}, "onnxruntime"), ({}, "")],
)
def test_a_platform_stands_for_its_backend(facts, backend):
    assert backend_of(ModelConfig(**facts)) == backend


def test_twins_serve_the_same_versions():
    configs = Configs(every_kind()[3], onnx_config("planned", [X], [Y], SERVING, [3])).with_versions({9, 4})

    assert [list(twin.version_policy.specific.versions) for twin in configs.twins] == [[4, 9], [4, 9]]
    assert (configs.versions, configs.plans) == ({4, 9}, {"8.9": "model.sm89.plan"})


@pytest.mark.parametrize("made", [every_kind()[0], every_kind()[3]], ids=["graph", "plans"])
def test_what_is_not_to_be_batched_answers_each_request_by_itself(made):
    set_serving(made, Serving(dynamic_batching=False, instances=4, intra_op_thread_count=3))

    assert not made.HasField("dynamic_batching")
    assert made.instance_group[0].count == 4
    assert made.parameters["intra_op_thread_count"].string_value == "3" or made.platform == "tensorrt_plan"


def test_settings_that_a_page_does_not_name_are_written_as_ever():
    """A store made before they were there is not changed by them."""
    written = text_format.MessageToString(onnx_config("m", [X], [Y], Serving(), [1]))

    assert written == WRITTEN


def test_no_step_of_a_pipeline_is_cached_by_itself():
    """Another pipeline may ask a member for fewer outputs, and Triton's cache would give those to both."""
    cached = Serving(response_cache=True)

    assert not onnx_config("m", [X], [Y], cached, [1]).response_cache.enable
    assert not block_config("b", BLOCKS["scale"], cached, [1]).response_cache.enable


@pytest.mark.parametrize("config", every_kind(), ids=lambda config: config.name)
def test_no_field_is_newer_than_the_oldest_triton(config):
    """Triton 24.10 refuses a whole file for one field it does not know."""
    assert not {field.name for field, _ in config.ListFields()} & set(LATER)
    assert "max_inflight_requests" not in str(config)


@pytest.mark.parametrize("config", every_kind(), ids=lambda config: config.name)
def test_no_queue_is_bounded(config):
    """A bounded queue on a parallel member hangs callers on the embedded Triton."""
    assert "max_queue_size" not in str(config)


def test_an_output_without_an_axis_is_served_as_one_number():
    config = onnx_config("labels", [X], [Tensor("label", "INT64", ())], SERVING, [1])

    assert list(config.output[0].dims) == [1]
    assert config.output[0].HasField("reshape")


def test_text_is_tritons_string():
    config = onnx_config("labels", [X], [Tensor("label", "BYTES", (1,))], SERVING, [1])

    assert "TYPE_STRING" in str(config)


@pytest.mark.parametrize("config", every_kind(), ids=lambda config: config.name)
def test_what_is_written_reads_the_same(config, tmp_path):
    write_config(config, tmp_path / "config.pbtxt")

    assert read_config(tmp_path / "config.pbtxt") == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.pbtxt"]


def test_a_write_that_fails_leaves_the_old_text(tmp_path):
    path = tmp_path / "config.pbtxt"
    path.mkdir()

    with pytest.raises(OSError, match=r"directory"):
        write_config(every_kind()[0], path)

    assert [found.name for found in tmp_path.iterdir()] == ["config.pbtxt"]


@pytest.mark.parametrize("text", [b'name: "a" max_batchsize: 3', b"\xff\xfe"])
def test_a_text_that_is_no_configuration_is_named(tmp_path, text):
    (tmp_path / "config.pbtxt").write_bytes(text)

    with pytest.raises(StoreError, match=r"config.pbtxt is no model configuration"):
        read_config(tmp_path / "config.pbtxt")


def test_an_absent_configuration_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"cannot be read: No such file"):
        read_config(tmp_path / "config.pbtxt")


def test_a_label_of_no_axis_has_one_in_an_ensemble_and_its_member_alone_reshapes():
    """Triton infers the ensemble's shape from the member's dims, and refuses one that is reshaped again."""
    label = Tensor("prediction", "INT64", ())
    member = onnx_config("m", [X], [label], Serving(), [1])
    ensemble = ensemble_config(
        "p.r1", 1, [EnsembleStep("m", 1, {"x": "x"}, {"prediction": "prediction"})], [X], [label], 8
    )

    assert [list(config.output[0].dims) for config in (member, ensemble)] == [[1], [1]]
    assert [config.output[0].HasField("reshape") for config in (member, ensemble)] == [True, False]
