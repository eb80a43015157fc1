"""What a spec may say of a member, and what it hears when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sextant_export.member_problems import SHAPES, members_problems
from sextant_export.pipeline import Pipeline, TensorRT

URI = "models:/locator@champion"


def said(**member):
    return [str(problem) for problem in members_problems({"m": {"model_uri": URI, **member}}, "members")]


def test_everything_that_may_be_said_of_a_member_is_taken():
    assert not said(flavor="sklearn", fallback=False, tolerance=1e-3, environment="archive", accelerator="tensorrt")
    assert not said(
        target="tensorrt",
        tensorrt={
            "builder": "tensorrt_rtx",
            "compute_capabilities": ["8.9", 12.0],
            "float16": True,
            "tolerance": 0.01,
            "workspace_mb": 512,
            "opt_batch_size": 16,
            "timing_cache": "timing.cache",
            "profile": {"ids": {"min": [1, 1], "opt": [8, 64], "max": [32, 512]}},
        },
    )


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        ({"flavr": "sklearn"}, "members.m.flavr: unknown; did you mean 'flavor'?"),
        ({"target": "tensorRT"}, "members.m.target: 'tensorRT' is no target; did you mean 'tensorrt'?"),
        ({"fallback": "no"}, "members.m.fallback: expected true or false, got 'no'"),
        ({"tolerance": 0}, "members.m.tolerance: expected a number above 0, got 0"),
        ({"tensorrt": {}}, "members.m.tensorrt: only with `target: tensorrt`"),
        ({"flavor": "python_function", "fallback": False}, "members.m.fallback: false, and"),
        ({"flavor": "python_function", "target": "tensorrt"}, "members.m.target: TensorRT takes a converted graph"),
        ({"accelerator": "tensorrt", "target": "tensorrt"}, "members.m.accelerator: it is for ONNX Runtime"),
    ],
)
def test_what_is_wrong_is_said_with_its_address(member, sentence):
    assert any(problem.startswith(sentence) for problem in said(**member)), said(**member)


@pytest.mark.parametrize(
    ("tensorrt", "sentence"),
    [
        ({"compute_capabilities": "8.9"}, "compute_capabilities: expected compute capabilities like"),
        ({"compute_capabilities": ["sm89"]}, "compute_capabilities[0]: 'sm89' is no compute capability like '8.9'"),
        ({"profile": {"ids": {"min": [1]}}}, "profile.ids.opt: missing"),
        (
            {"profile": {"ids": {"min": [1, 9], "opt": [8, 4], "max": [64, 16]}}},
            "profile.ids: expected min <= opt <= max on every axis, got [1, 9], [8, 4], [64, 16]",
        ),
        (
            {"profile": {"ids": {"min": [1], "opt": [8, 4], "max": [64, 16]}}},
            "profile.ids: expected as many axes in min, opt and max, got [1], [8, 4], [64, 16]",
        ),
        ({"profile": {"ids": {"min": [0], "opt": [1], "max": [1]}}}, "profile.ids.min: expected a list of sizes"),
        ({"builder": "trtexec"}, "builder: 'trtexec' is no builder"),
    ],
)
def test_what_is_wrong_with_plans_is_said_with_its_address(tensorrt, sentence):
    problems = said(target="tensorrt", tensorrt=tensorrt)

    assert any(problem.startswith(f"members.m.tensorrt.{sentence}") for problem in problems), problems


def test_a_member_without_a_uri_is_told_that_it_is_missing():
    assert [str(problem) for problem in members_problems({"m": {}}, "members")] == ["members.m.model_uri: missing"]


def member_of(value):
    page = {"name": "p", "answer": "tensors", "members": {"m": value}, "steps": ["members"]}
    return Pipeline.from_mapping(page, Path("specs")).members["m"]


def test_a_member_that_is_only_a_uri_is_served_as_well_as_it_can_be():
    member = member_of(URI)

    assert (member.flavor, member.fallback, member.target, member.tensorrt) == (None, True, "onnx", TensorRT())


def test_plans_are_for_the_gpus_that_are_named():
    plans = {"compute_capabilities": [8.9], "timing_cache": "t.cache", "profile": {"x": {key: [1] for key in SHAPES}}}
    member = member_of({"model_uri": URI, "target": "tensorrt", "tensorrt": plans})

    assert member.tensorrt == TensorRT(
        compute_capabilities=("8.9",),
        timing_cache=Path("specs/t.cache"),
        profile={"x": dict.fromkeys(SHAPES, (1,))},
    )
