"""A pipeline spec: every problem at once, with address and guess, and the frozen object it becomes."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sextant.errors import PipelineError
from sextant_export.pipeline import BlockStep, CoverageGate, Limit, Members, Pipeline, load_pipeline, problems
from sextant_export.spec_file import read_mapping

GOOD = {
    "name": "locate",
    "answer": "position",
    "members": {"forest": "models:/locator-forest@champion", "mlp": "models:/locator-mlp/3"},
    "steps": [
        {"block": "scale", "with": {"offset": 104.0, "missing": 100}},
        "members",
        {"block": "fuse", "with": {"method": "moment", "gate": 0.99}},
        {"block": "ellipse", "with": {"confidence_levels": [0.5, 0.9, 0.95]}},
    ],
    "calibration": {"data": "calibration.parquet", "truth": ["latitude", "longitude"]},
    "serving": {"max_batch_size": 64, "max_queue_delay_us": 500, "instances": 2, "response_cache": False},
    "gate": {"coverage": {"level": 0.95, "at_least": 0.93}, "p95_ms": {"at_most": 50}},
}


WINDOW = {"sample_rate_hz": 16000, "samples": 2048, "n_fft": 512}


def changed(place: str, value: object) -> dict:
    """GOOD with ``value`` at the dotted ``place``; a number is an index."""
    page = copy.deepcopy(GOOD)
    *way, last = (int(word) if word.isdigit() else word for word in place.split("/"))
    part = page
    for word in way:
        part = part[word]
    part[last] = value
    return page


def said(page: dict) -> list[str]:
    return [str(problem) for problem in problems(page)]


def test_a_good_page_has_no_problem():
    assert said(GOOD) == []


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (
            "steps/3/with/confidence_levels",
            ["0.5", "0.95"],
            "steps[3].with.confidence_levels: expected a list of finite",
        ),
        ("steps/0", {"n_fft": 10**9, "samples": 256}, "steps[0].with.n_fft: expected a whole number up to 262144"),
        ("steps/0", {"samples": 10**12}, "steps[0].with.samples: expected a whole number up to 67108864"),
    ],
)
def test_what_would_break_later_is_told_now(place, value, complaint):
    spectrum = {"block": "spectrum", "with": {"sample_rate_hz": 8000, **value}} if place == "steps/0" else value

    assert complaint in "\n".join(said(changed(place, spectrum)))


def test_the_object_says_what_the_page_says():
    pipeline = Pipeline.from_mapping(GOOD, Path("pages"))

    assert pipeline.members["mlp"].uri.version == 3
    assert pipeline.members["forest"].uri.alias == "champion"
    assert pipeline.steps[1] == Members()
    assert pipeline.steps[2] == BlockStep(block="fuse", parameters={"method": "moment", "gate": 0.99})
    assert pipeline.calibration.data == Path("pages/calibration.parquet")
    assert pipeline.calibration.truth == ("latitude", "longitude")
    assert (pipeline.serving.instances, pipeline.serving.response_cache) == (2, False)
    assert pipeline.gate.coverage == (CoverageGate(level=0.95, at_least=Limit(sense="at_least", bound=0.93)),)
    assert (pipeline.gate.p95_ms, pipeline.gate.median_error_m) == (Limit(sense="at_most", bound=50.0), None)
    assert [step.block for step in pipeline.preprocessing] == ["scale"]
    assert pipeline.spec == GOOD


def test_the_object_is_frozen():
    pipeline = Pipeline.from_mapping(GOOD)

    with pytest.raises(dataclasses.FrozenInstanceError):
        pipeline.name = "other"


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("steps/2/with", {"methd": "moment"}, "steps[2].with.methd: unknown; did you mean 'method'?"),
        ("steps/3/block", "elipse", "steps[3].block: 'elipse' is no block; did you mean 'ellipse'?"),
        (
            "steps/2/with",
            {"members": ["a"]},
            "steps[2].with.members: is found when a release is made; leave it out",
        ),
        (
            "steps/1",
            "member",
            "steps[1]: expected `members` or `block: <name>`, got 'member'; did you mean 'members'?",
        ),
        ("serving", {"max_batchsize": 8}, "serving.max_batchsize: unknown; did you mean 'max_batch_size'?"),
        (
            "serving/max_batch_size",
            0,
            "serving.max_batch_size: expected a whole number at least 1 and at most 65536, got 0",
        ),
        (
            "serving/instances",
            True,
            "serving.instances: expected a whole number at least 1 and at most 256, got True",
        ),
        (
            "serving/dynamic_batching",
            False,
            "serving.max_queue_delay_us: nothing waits for company where dynamic_batching is false; drop one",
        ),
        ("serving/response_cache", "no", "serving.response_cache: expected true or false, got 'no'"),
        (
            "gate/coverage",
            {"level": 1.5, "at_least": 0.9},
            "gate.coverage.level: expected a number above 0 and below 1, got 1.5",
        ),
        ("gate/coverage", {"level": 0.95}, "gate.coverage.at_least: missing"),
        (
            "gate/coverage/level",
            0.8,
            "gate.coverage.level: 0.8 is none of the ellipse's confidence_levels [0.5, 0.9, 0.95]",
        ),
        ("gate/p95_ms", 50, "gate.p95_ms: expected a mapping of at_most"),
        ("gate/p95_ms", {"at_most": -1}, "gate.p95_ms.at_most: expected a number above 0, got -1"),
        ("answer", "positon", "answer: 'positon' is no answer; did you mean 'position'?"),
        ("answer", "record", "answer: 'record' is not built yet; this version builds position, label, tensors"),
        ("name", "../up", "name: '../up' is no name; letters, digits and . _ - only, and no dot in front"),
        ("name", "a b", "name: 'a b' is no name; letters, digits and . _ - only, and no dot in front"),
        ("members", {}, "members: expected at least one, as <name>: <model URI>"),
        ("calibration", {"data": "x.csv"}, "calibration.truth: expected a list of 2 strings"),
        ("gates", {}, "gates: unknown; did you mean 'gate'?"),
    ],
)
def test_a_problem_has_its_address_and_a_guess(place, value, problem):
    assert any(line.startswith(problem) for line in said(changed(place, value))), said(changed(place, value))


@pytest.mark.parametrize(
    "uri",
    [
        "locator@champion",
        "models:/a/latest",
        "models:/a/0",
        "models:/../a@b",
        "runs:/abc",
        "s3://b/k",
        "models:/a b@c",
    ],
)
def test_a_member_must_be_a_model_uri(uri):
    (line,) = said(changed("members/mlp", uri))

    assert line.startswith(f"members.mlp: '{uri}' is no model URI; wanted models:/<name>@<alias>")


@pytest.mark.parametrize("uri", ["models:/a@champion", "models:/a-b.c/12", "runs:/0123456789abcdef/model"])
def test_the_three_model_uris_are_taken(uri):
    assert said(changed("members/mlp", uri)) == []


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (["members", "fuse"], "steps[1]: expected `members` or `block: <name>`, got 'fuse'"),
        (
            [{"block": "scale"}, "members"],
            "steps: after `members`, a position answer takes fuse, then ellipse; found nothing",
        ),
        ([{"block": "scale"}], "steps: no step is `members`"),
        ([{"block": "scale"}, "members", "members"], "steps[2]: 'members' stands twice, first as steps[1]"),
        (
            [{"block": "fuse"}, "members"],
            "steps[0]: 'fuse' works on what members answer: put it after `members`",
        ),
        (
            ["members", {"block": "fuse"}],
            "steps[0]: several members run in parallel and none may see bad input",
        ),
        (
            [{"block": "spectrum", "with": WINDOW}, {"block": "log_mel", "with": WINDOW}, "members"],
            "steps[1]: 'log_mel' takes signal [2048] per row, and 'spectrum' gives spectrum [257, 17]",
        ),
        (
            [{"block": "scale"}, {"block": "spectrum", "with": {**WINDOW, "signal": "iq"}}, "members"],
            "steps[1]: 'spectrum' takes signal [2048, 2] per row, and 'scale' gives scaled [-1]",
        ),
    ],
)
def test_steps_that_cannot_answer_are_named(steps, problem):
    assert any(line.startswith(problem) for line in said(changed("steps", steps))), said(changed("steps", steps))


@pytest.mark.parametrize(
    "before",
    [
        [{"block": "scale"}, {"block": "log_mel", "with": WINDOW}],
        [{"block": "spectrum", "with": {**WINDOW, "flat": True}}, {"block": "scale"}],
        [
            {"block": "spectrum", "with": WINDOW},
            {"block": "log_mel", "with": WINDOW, "input_map": {"signal": "signal"}},
        ],
        [{"block": "spectrum", "with": {**WINDOW, "n_fft": "many"}}, {"block": "log_mel", "with": WINDOW}],
    ],
    ids=["any width", "flat", "mapped", "unsound"],
)
def test_blocks_that_may_fit_are_no_broken_chain(before):
    steps = [*before, *GOOD["steps"][1:]]

    assert not [line for line in said(changed("steps", steps)) if " per row" in line]


def test_every_problem_comes_at_once_and_in_reading_order():
    page = changed("steps/2/with", {"methd": "moment"})
    page["name"] = "a/b"
    page["serving"] = {"instances": 0}

    addresses = [problem.address for problem in problems(page)]

    assert addresses == ["name", "steps[2].with.methd", "serving.instances"]


def test_a_block_says_all_that_is_wrong_with_its_values():
    page = changed("steps/2/with", {"method": "median", "frame": "east_north_m", "weights": "two"})

    assert {line.partition(":")[0] for line in said(page)} == {
        f"steps[2].with.{key}" for key in ("method", "weights", "origin")
    }


def test_missing_parts_are_named():
    assert said({"name": "locate"}) == ["answer: missing", "members: missing", "steps: missing"]


def test_a_page_of_nonsense_is_described_not_crashed_on():
    page = {
        "name": 3,
        "answer": None,
        "members": [1],
        "steps": {"a": 1},
        "gate": "x",
        "serving": 1,
        "calibration": 2,
        5: 6,
    }

    assert len(said(page)) == 8


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    *GOOD,
    *(f"members/{key}" for key in GOOD["members"]),
    *(f"steps/{i}" for i in range(4)),
    *(f"steps/{i}/{key}" for i in (0, 2, 3) for key in ("block", "with", "input_map")),
    *(f"{part}/{key}" for part in ("calibration", "serving", "gate") for key in GOOD[part]),
    *("steps/0/with/missing", "steps/2/with/gate", "steps/2/with/weights", "steps/3/with/confidence_levels"),
]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_any_value_anywhere_is_taken_or_described(place, value):
    """Whatever stands on a page, checking it ends in an object or in problems, never in a traceback."""
    page = changed(place, value)

    found = list(problems(page))

    assert all(problem.address and problem.message for problem in found)
    if not found:
        assert Pipeline.from_mapping(page).name == page["name"]


def test_weights_are_as_many_as_members():
    assert said(changed("steps/2/with", {"weights": [1.0, 2.0, 3.0]})) == [
        "steps[2].with.weights: expected 2 finite numbers, got [1.0, 2.0, 3.0]"
    ]


def test_a_tensors_answer_is_one_member_alone():
    page = {"name": "raw", "answer": "tensors", "members": {"net": "models:/net/1"}, "steps": ["members"]}

    assert said(page) == []
    assert said({**page, "members": {"a": "models:/a/1", "b": "models:/b/1"}}) == [
        "members: a tensors answer is one member's own; found 2"
    ]


def test_a_member_may_carry_its_maps():
    page = changed("members/mlp", {"model_uri": "models:/mlp/1", "output_map": {"yhat": "mlp.position"}})

    assert said(page) == []
    assert Pipeline.from_mapping(page).members["mlp"].output_map == {"yhat": "mlp.position"}


def test_a_file_is_read_with_its_paths_seen_from_it(tmp_path):
    (tmp_path / "locate.yaml").write_text(yaml.safe_dump(GOOD))

    assert load_pipeline(tmp_path / "locate.yaml").calibration.data == tmp_path / "calibration.parquet"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected one mapping (name:, members:, steps: ...), found nothing"),
        ("- a\n", "found a list"),
        ("name: a\nname: b\n", "locate.yaml:2:1: 'name' stands twice, first in line 1"),
        ("name: locate\nsteps: [a, b\n", "locate.yaml:3:1: "),
        ("name: !!python/object:os.system x\n", "locate.yaml:1:7: could not determine a constructor"),
    ],
)
def test_a_page_that_is_no_page_is_refused_with_its_line(tmp_path, text, sentence):
    (tmp_path / "locate.yaml").write_text(text)

    with pytest.raises(PipelineError) as refusal:
        load_pipeline(tmp_path / "locate.yaml")

    assert sentence in str(refusal.value)


def test_a_page_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_pipeline(tmp_path / "nowhere.yaml")


def test_a_page_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "locate.yaml").write_bytes(b"name: \xff\xfe")

    with pytest.raises(PipelineError, match=r"is not UTF-8 text"):
        load_pipeline(tmp_path / "locate.yaml")


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1.e-3", "0.001"])
def test_a_number_may_be_written_in_powers_of_ten(tmp_path, text):
    """PyYAML alone would read a word."""
    (tmp_path / "page.yaml").write_text(f"tolerance: {text}\nname: 1e\n")

    page = read_mapping(tmp_path / "page.yaml")
    assert page == {"tolerance": 0.001, "name": "1e"}
