"""Which tensor goes where: the ensemble of a pipeline, and the sentences for members that do not fit."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sextant.blocks import BLOCKS
from sextant.errors import PipelineError
from sextant.tensors import Tensor
from sextant_export import wiring
from sextant_export.calibration import settled
from sextant_export.pipeline import Pipeline


class Model(NamedTuple):
    name: str
    model_name: str
    version: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


X = Tensor("x", "FP32", (24,))
Y = Tensor("y", "FP32", (2,))
FOREST = Model("forest", "locator-forest", 7, (Tensor("features", "FP32", (24,)),), (Tensor("variable", "FP32", (2,)),))
MLP = Model("mlp", "locator-mlp", 3, (X,), (Y, Tensor("spread", "FP32", (2, 2))))


def pipeline(mlp: object = "models:/locator-mlp/3", scale: dict | None = None) -> Pipeline:
    return Pipeline.from_mapping(
        {
            "name": "locate",
            "answer": "position",
            "members": {"forest": "models:/locator-forest/7", "mlp": mlp},
            "steps": [
                {"block": "scale", **(scale or {})},
                "members",
                {"block": "fuse"},
                {"block": "ellipse", "with": {"confidence_levels": [0.95]}},
            ],
        }
    )


def wire(page: Pipeline, models: list[Model], release: int) -> wiring.Wiring:
    """The ensemble, its blocks made with what follows from the members alone."""
    parameters = settled(page, models[0].inputs[0].dims)
    if page.answer == "position":
        parameters["fuse"]["members"] = [model.name for model in models]
        parameters["ellipse"]["release"] = release
    return wiring.wire(page, models, release, {name: BLOCKS[name](given) for name, given in parameters.items()})


def refusal(*models: Model, page: Pipeline | None = None) -> str:
    with pytest.raises(PipelineError) as caught:
        wire(page or pipeline(), models, 1)
    return str(caught.value)


def test_scale_members_fuse_ellipse_are_wired_without_a_word():
    scale, forest, mlp, fuse, ellipse = wire(pipeline(), [FOREST, MLP], 5).steps

    assert scale == ("locate.scale", 5, {"features": "features"}, {"scaled": "scaled"})
    assert forest == ("locator-forest", 7, {"features": "scaled"}, {"variable": "forest.position"})
    assert mlp == ("locator-mlp", 3, {"x": "scaled"}, {"y": "mlp.position", "spread": "mlp.covariance"})
    assert fuse.input_map == {
        "member_0": "forest.position",
        "member_1": "mlp.position",
        "covariance_1": "mlp.covariance",
    }
    assert ellipse.input_map == {tensor.name: tensor.name for tensor in BLOCKS["ellipse"].inputs}
    assert (fuse.model_version, ellipse.model_version) == (5, 5)


def test_the_ensemble_takes_the_members_width_and_gives_the_last_block():
    wired = wire(pipeline(), [FOREST, MLP], 1)

    assert wired.inputs == (Tensor("features", "FP32", (24,)),)
    assert wired.outputs == BLOCKS["ellipse"].outputs


def test_no_output_of_the_ensemble_is_consumed_by_a_step():
    """Triton prunes such a step when a caller asks for a part of the outputs."""
    wired = wire(pipeline(), [FOREST, MLP], 1)

    consumed = {tensor for step in wired.steps for tensor in step.input_map.values()}

    assert not consumed & {tensor.name for tensor in wired.outputs}


def test_members_of_other_widths_are_named():
    narrow = MLP._replace(inputs=(Tensor("x", "FP32", (20,)),))

    assert refusal(FOREST, narrow) == "members.mlp: takes FP32 [20] per row where forest takes FP32 [24]"


def test_a_member_of_two_inputs_is_named():
    assert "members.mlp: takes 'x' FP32 [24], 'y' FP32 [2]; members share one tensor" in refusal(
        FOREST, MLP._replace(inputs=(X, Y))
    )


def test_a_double_precision_position_is_refused_with_advice():
    double = MLP._replace(outputs=(Tensor("y", "FP64", (2,)),))

    assert "'mlp.position' is FP64, wanted FP32; let the model answer float32, in metres" in refusal(FOREST, double)


def test_an_output_of_no_role_is_named():
    odd = MLP._replace(outputs=(Y, Tensor("floor", "FP32", (1,))))

    assert refusal(FOREST, odd).startswith("members.mlp: output 'floor' FP32 [1] is neither a position [2]")


def test_an_output_map_leaves_out_what_it_does_not_name():
    odd = MLP._replace(outputs=(Y, Tensor("floor", "FP32", (1,))))
    page = pipeline({"model_uri": "models:/locator-mlp/3", "output_map": {"y": "mlp.there"}})

    steps = wire(page, [FOREST, odd], 1).steps

    assert steps[2].output_map == {"y": "mlp.there"}
    assert steps[3].input_map["member_1"] == "mlp.there"


def test_two_positions_ask_for_a_choice():
    two = MLP._replace(outputs=(Y, Tensor("z", "FP32", (2,))))

    assert "could each be its position; name one in its output_map" in refusal(FOREST, two)


def test_no_position_at_all_is_named():
    assert "members.mlp: no output is a position [2]; it answers 's' FP32 [2, 2]" in refusal(
        FOREST, MLP._replace(outputs=(Tensor("s", "FP32", (2, 2)),))
    )


def test_a_map_to_a_tensor_that_is_not_there_has_a_guess():
    page = pipeline({"model_uri": "models:/locator-mlp/3", "input_map": {"x": "scald"}})

    assert refusal(FOREST, MLP, page=page) == (
        "members.mlp.input_map.x: no tensor 'scald' here yet; did you mean 'scaled'?"
    )


def test_a_map_of_a_tensor_the_model_has_not_is_named():
    page = pipeline(scale={"output_map": {"scald": "s"}})

    assert "steps[0].output_map.scald: the model has no such tensor; did you mean 'scaled'?" in refusal(
        FOREST, MLP, page=page
    )


def test_every_misfit_comes_at_once():
    bad = FOREST._replace(outputs=()), MLP._replace(outputs=())

    assert len(refusal(*bad).splitlines()) == 2


def test_a_tensors_answer_is_the_members_own():
    page = Pipeline.from_mapping(
        {"name": "raw", "answer": "tensors", "members": {"mlp": "models:/m/3"}, "steps": ["members"]}
    )

    wired = wire(page, [MLP], 1)

    assert (wired.inputs, wired.outputs) == (MLP.inputs, MLP.outputs)
    assert wired.steps == (("locator-mlp", 3, {"x": "x"}, {"y": "y", "spread": "spread"}),)
