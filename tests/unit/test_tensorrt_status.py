"""Who falls back to ONNX, and why: what ``sextant status`` tells of a fleet."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sextant_cli.verbs.status import status
from sextant_promote.fallback import TWIN, Gpu, fallback_of, fallback_on


def plan(compute_capability="8.9", library="tensorrt", version="10.13.3.9"):
    """A plan's fingerprint, as far as it decides."""
    file = f"model.sm{compute_capability.replace('.', '')}.plan"
    return {"compute_capability": compute_capability, "library": library, "version": version, "file": file}


@pytest.mark.parametrize(
    ("text", "gpu"),
    [("8.9", Gpu("8.9")), ("12.0:10.13.3", Gpu("12.0", "10.13.3")), ("9.0:11", Gpu("9.0", "11"))],
)
def test_a_gpu_is_its_capability_and_perhaps_its_tensorrt(text, gpu):
    assert Gpu.parse(text) == gpu


@pytest.mark.parametrize("text", ["", "8", "8.9.1", "L4", "8.9:", "8.9:ten", ":10.13"])
def test_what_is_no_gpu_is_refused(text):
    with pytest.raises(ValueError, match="expected a compute capability like 8.9"):
        Gpu.parse(text)


@pytest.mark.parametrize(
    ("gpu", "why"),
    [
        ("8.9", None),
        ("8.9:10.13.3", None),
        ("8.9:10.13.3.9", None),
        ("8.6", "no plan for its compute capability 8.6: there are 8.9, 12.0"),
        ("8.9:10.14.1", "its plan is of TensorRT 10.13.3.9, and the server has 10.14.1"),
        ("8.9:10.1", "its plan is of TensorRT 10.13.3.9, and the server has 10.1"),
        (
            "12.0",
            "model.sm120.plan is of tensorrt_rtx 1.7.1, which Triton's tensorrt backend does not load",
        ),
    ],
)
def test_a_gpu_serves_the_plan_of_its_kind_and_version_alone(gpu, why):
    plans = [plan(), plan("12.0", "tensorrt_rtx", "1.7.1")]

    assert fallback_on(Gpu.parse(gpu), plans) == why


def test_a_server_that_serves_plans_or_has_none_to_serve_does_not_fall_back():
    assert fallback_of("tensorrt", [plan()]) is None
    assert fallback_of("onnxruntime", []) is None
    assert fallback_of(None, [plan()]) is None


def test_a_server_that_serves_the_graph_beside_plans_falls_back():
    assert fallback_of("onnxruntime", [plan()]) == TWIN
    assert "tensorrt_rtx 1.7.1" in fallback_of("onnxruntime", [plan(library="tensorrt_rtx", version="1.7.1")])


def test_what_is_no_gpu_is_an_error_of_usage():
    said = CliRunner().invoke(status, ["--gpu", "L40S"])

    assert said.exit_code == 2
    assert "expected a compute capability like 8.9" in said.output


def test_the_members_of_a_pipeline_that_was_never_promoted_are_none(tmp_path):
    """Nothing is wired yet, so nothing can fall back."""
    said = CliRunner().invoke(status, ["--store", str(tmp_path), "--gpu", "8.9", "--json"])

    assert json.loads(said.output)["pipelines"] == []
