"""The options of a deployment, as the page of a pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from sextant.errors import PipelineError
from sextant_cli.deployments.help_page import target_help
from sextant_cli.deployments.options import (
    OPTIONS,
    changed_page,
    expected_version,
    is_deployment,
    new_page,
    refuse_options,
)
from sextant_cli.deployments.refusals import CODES
from sextant_export.pipeline import Pipeline

URI = "models:/x@champion"


def test_a_deployment_is_a_pipeline_of_one_member():
    """The page is sound as it is written."""
    pipeline = Pipeline.from_mapping(new_page("x", URI, None, {}))

    assert (pipeline.name, pipeline.answer, list(pipeline.members)) == ("x", "tensors", ["model"])
    assert is_deployment(pipeline.spec)


def test_options_come_as_text_or_as_values():
    """``-C instances=2`` and ``config={"instances": 2}`` are the same."""
    text = {"instances": "2", "response_cache": "false", "tolerance": "1e-3", "target": "onnx"}
    values = {"instances": 2, "response_cache": False, "tolerance": 0.001, "target": "onnx"}

    assert new_page("x", URI, "sklearn", text) == new_page("x", URI, "sklearn", values)


def test_every_option_reaches_the_typed_page():
    """None of them is only written down."""
    config = {
        "max_batch_size": "8",
        "max_queue_delay_us": "0",
        "instances": "2",
        "intra_op_thread_count": "3",
        "response_cache": "true",
        "flavor": "onnx",
        "fallback": "false",
        "tolerance": "0.5",
        "target": "tensorrt",
        "tensorrt.float16": "true",
        "tensorrt.compute_capabilities": '["8.9"]',
    }

    pipeline = Pipeline.from_mapping(new_page("x", URI, None, config))
    member, serving = pipeline.members["model"], pipeline.serving

    assert (serving.max_batch_size, serving.max_queue_delay_us, serving.instances) == (8, 0, 2)
    assert (serving.intra_op_thread_count, serving.response_cache) == (3, True)
    assert (member.flavor, member.fallback, member.tolerance, member.target) == ("onnx", False, 0.5, "tensorrt")
    assert (member.tensorrt.float16, list(member.tensorrt.compute_capabilities)) == (True, ["8.9"])


def test_an_unknown_option_is_refused_with_a_guess():
    """By MLflow's code for it."""
    with pytest.raises(MlflowException, match="instnaces: unknown option; did you mean 'instances'") as refused:
        new_page("x", URI, None, {"instnaces": "2"})

    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_wrong_value_is_refused_with_its_address():
    """By the same checks that a page on disk goes through."""
    page = new_page("x", URI, None, {"instances": "many", "tensorrt.float16": "yes please", "target": "tensorrt"})

    with pytest.raises(PipelineError, match=r"(?s)members.model.tensorrt.float16.*serving.instances"):
        Pipeline.from_mapping(page)


def test_an_update_keeps_what_it_does_not_name():
    """Another model: the options stay, the flavour is chosen anew."""
    page = new_page("x", "models:/x/1", "onnx", {"instances": "2", "tolerance": "0.5"})

    changed = changed_page(page, "models:/x/2", None, {"instances": "3"})

    assert changed["serving"] == {"instances": 3}
    assert changed["members"]["model"] == {"model_uri": "models:/x/2", "tolerance": 0.5}


def test_an_update_of_options_alone_keeps_model_and_flavour():
    """And does not touch the page it was made from."""
    page = new_page("x", "models:/x/1", "onnx", {})

    changed = changed_page(page, None, None, {"tensorrt.float16": "true"})

    assert changed["members"]["model"] == {**page["members"]["model"], "tensorrt": {"float16": True}}
    assert "tensorrt" not in page["members"]["model"]


@pytest.mark.parametrize(
    "page",
    [
        {"answer": "position", "members": {"model": URI}, "steps": ["members"]},
        {"answer": "tensors", "members": {"a": URI, "b": URI}, "steps": ["members"]},
        {"answer": "tensors", "members": {"model": URI}, "steps": [{"block": "scale"}, "members"]},
    ],
    ids=["position", "two members", "a block"],
)
def test_another_pipeline_is_no_deployment(page):
    """It has a page of its own."""
    assert not is_deployment(page)


@pytest.mark.parametrize(("given", "expected"), [({}, None), ({"version": "3"}, 3), ({"version": 4}, 4)])
def test_the_option_version_is_an_expectation(given, expected):
    """It never reaches the page."""
    assert expected_version(given) == expected
    assert new_page("x", URI, None, given) == new_page("x", URI, None, {})


def test_a_version_that_is_no_number_is_refused():
    """As every wrong value is."""
    with pytest.raises(MlflowException, match="version: expected a whole number, got 'newest'"):
        expected_version({"version": "newest"})


def test_text_that_is_no_value_is_refused():
    """With the option it was given for."""
    with pytest.raises(MlflowException, match="target: .* cannot be read"):
        new_page("x", URI, None, {"target": "[unclosed"})


def test_delete_takes_no_options():
    """Whoever gives one meant something that does not happen."""
    refuse_options({}, "delete")
    with pytest.raises(MlflowException, match="force: delete takes no options"):
        refuse_options({"force": "true"}, "delete")


def test_the_documentation_names_every_option_and_code():
    """Nobody has to read the source for one."""
    page = (Path(__file__).parents[2] / "docs" / "mlflow-deployments.md").read_text(encoding="utf-8")

    assert [option for option in OPTIONS if f"`{option}`" not in page] == []
    assert [code for _, code in CODES if f"`{code}`" not in page] == []


def test_the_help_names_every_option():
    """And every setting."""
    page = target_help()

    assert all(option in page for option in OPTIONS)
    assert all(word in page for word in ("SEXTANT_STORE", "TRITON_MODEL_REPO", "TRITON_URL", "models:/<name>@<alias>"))
