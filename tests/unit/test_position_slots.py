"""What a member's outputs are for in a pipeline that answers a position, and the sentences where that is unclear."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sextant.blocks import Fuse
from sextant.errors import BreakingChange, PipelineError
from sextant.tensors import Tensor
from sextant_export.config import block_config
from sextant_export.joining import refuse_breaking
from sextant_export.pipeline import Pipeline, Serving
from sextant_export.slots.position import problems, roles, settled


class Model(NamedTuple):
    name: str
    outputs: tuple[Tensor, ...]
    model_name: str = "locator"
    version: int = 1
    inputs: tuple[Tensor, ...] = (Tensor("x", "FP32", (24,)),)


PLACE, STD, COV = Tensor("place", "FP32", (2,)), Tensor("std", "FP32", (2,)), Tensor("cov", "FP32", (2, 2))


def page(output_map=None, **fuse):
    forest = {"model_uri": "models:/forest/1", "output_map": output_map} if output_map else "models:/forest/1"
    members = {"forest": forest, "mlp": "models:/mlp/1", "knn": "models:/knn/1"}
    return Pipeline.from_mapping(
        {
            "name": "locate",
            "answer": "position",
            "members": members,
            "steps": [
                {"block": "scale"},
                "members",
                {"block": "fuse", "with": {"frame": "east_north_m", "origin": [48, 11], **fuse}},
                {"block": "ellipse", "with": {"confidence_levels": [0.95]}},
            ],
        }
    )


def read(*outputs, output_map=None, slot=0):
    member = page(output_map).members["forest"]
    found = roles(slot, Model("forest", outputs), member)
    return {role.tensor.name: (role.word, role.slot, role.name) for role in found}


def said(*outputs, output_map=None):
    return [str(problem) for problem in problems(Model("forest", outputs), page(output_map).members["forest"])]


def test_dims_say_what_an_output_is():
    assert read(PLACE, COV, slot=2) == {
        "place": ("position", "member_2", "forest.position"),
        "cov": ("covariance", "covariance_2", "forest.covariance"),
    }


def test_a_name_that_is_a_role_says_it():
    named = (PLACE, Tensor("sigmas", "FP32", (2,)))

    assert read(*named)["sigmas"] == ("sigmas", "sigmas_0", "forest.sigmas")
    assert said(*named) == []
    assert read(PLACE, Tensor("log_variances", "FP64", (2,)))["log_variances"][1] == "log_variances_0"


def test_the_last_word_of_an_output_map_says_it_before_any_name():
    odd = Tensor("position", "FP32", (2,))

    found = read(PLACE, odd, output_map={"place": "forest.position", "position": "first.guess.sigmas"})

    assert found["position"] == ("sigmas", "sigmas_0", "first.guess.sigmas")
    assert found["place"] == ("position", "member_0", "forest.position")


def test_what_an_output_map_leaves_out_is_for_nothing():
    assert list(read(PLACE, STD, COV, output_map={"place": "here"})) == ["place"]
    assert said(PLACE, STD, COV, output_map={"place": "here"}) == []


@pytest.mark.parametrize(
    ("outputs", "output_map", "sentence"),
    [
        ((PLACE, STD), None, "could each be its position; name one in its output_map, as {place: forest.position}"),
        ((COV,), None, "no output is a position [2]; it answers 'cov' FP32 [2, 2]"),
        (
            (PLACE, Tensor("floor", "FP32", (3,))),
            None,
            "'floor' FP32 [3] is neither a position [2] nor covariance [2, 2]",
        ),
        (
            (PLACE, COV),
            {"place": "a.position", "cov": "a.sigmas"},
            "'cov' FP32 [2, 2] is named as its sigmas, which is [2]",
        ),
        ((Tensor("place", "INT64", (2,)),), None, "'place' INT64 [2] is its position, which is FP32 or FP64"),
        (
            (PLACE, STD, COV),
            {"place": "a.position", "std": "a.sigmas", "cov": "a.covariance"},
            "says its errors as covariance and as sigmas; name one of them",
        ),
    ],
)
def test_what_is_unclear_is_said_in_words(outputs, output_map, sentence):
    found = said(*outputs, output_map=output_map)

    assert any(sentence in problem for problem in found), found
    assert all(problem.startswith("members.forest: ") for problem in found)


def three(*outputs):
    return [Model(name, outputs) for name in ("forest", "mlp", "knn")]


def test_what_fuse_has_to_know_of_its_members():
    models = [
        Model("forest", (Tensor("place", "FP64", (2,)),)),
        Model("mlp", (PLACE, Tensor("sigmas", "FP32", (2,)))),
        Model("knn", (PLACE, Tensor("cov", "FP64", (2, 2)))),
    ]

    found = settled(page(), models)

    assert found["members"] == ["forest", "mlp", "knn"]
    assert found["slots"] == {
        "member_0": "FP64",
        "member_1": "FP32",
        "sigmas_1": "FP32",
        "member_2": "FP32",
        "covariance_2": "FP64",
    }
    assert found["projections"] == {}
    block = Fuse({**page().blocks[1].parameters, **found})
    assert {t.name: t.dtype for t in block.inputs}.items() >= found["slots"].items()


def test_grids_are_fitted_once_each():
    frame = {"forest": "EPSG:25832", "mlp": "EPSG:25832", "knn": "latitude_longitude"}
    models = [*three(PLACE)[:2], Model("knn", (Tensor("place", "FP64", (2,)),))]

    assert list(settled(page(frame=frame, origin=None), models)["projections"]) == ["EPSG:25832"]


def test_float32_degrees_are_refused_for_each_member_that_gives_them():
    models = [*three(PLACE)[:2], Model("knn", (Tensor("place", "FP64", (2,)),))]

    with pytest.raises(PipelineError) as refused:
        settled(page(frame="latitude_longitude", origin=None), models)

    assert [problem.address for problem in refused.value.problems] == ["members.forest", "members.mlp"]
    assert "'place' is FP32, in which degrees are 1 m coarse: let it answer float64" in str(refused.value)


def test_float32_northings_are_taken():
    """They are half a metre coarse, and known cases are measured through the same rounding."""
    assert settled(page(frame="EPSG:25832", origin=None), three(PLACE))["slots"]["member_0"] == "FP32"


def test_the_spread_takes_no_covariance():
    with pytest.raises(
        PipelineError, match="method spread is how members scatter and reads no covariance; name the pos"
    ):
        settled(page(method="spread"), three(PLACE, COV))


def test_a_slot_that_changes_its_type_breaks_the_releases_before():
    """All versions of a block share one configuration."""
    before, after = (
        block_config("locate.fuse", Fuse({"members": ["a"], "slots": slots}), Serving(), [1])
        for slots in ({"member_0": "FP32"}, {"member_0": "FP64"})
    )

    refuse_breaking(before, before)
    with pytest.raises(BreakingChange, match=r"locate.fuse: its inputs would change .*member_0 FP32"):
        refuse_breaking(before, after)


def test_a_member_that_begins_to_say_its_errors_breaks_nothing():
    """Every slot stands in the configuration from the first release on."""
    before, after = (
        block_config("locate.fuse", Fuse({"members": names, "slots": slots}), Serving(), [1])
        for names, slots in ((["a"], {}), (["a", "b"], {"member_0": "FP32", "sigmas_1": "FP32"}))
    )

    refuse_breaking(before, after)
