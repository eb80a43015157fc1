"""What is wrong with ``calibration`` in a spec, all of it at once, before any row is read."""

from __future__ import annotations

import copy

import pytest

from sextant_export.pipeline import Pipeline, problems

POSITION = {
    "name": "locate",
    "answer": "position",
    "members": {"forest": "models:/forest@champion"},
    "steps": ["members", {"block": "fuse"}, {"block": "ellipse", "with": {"confidence_levels": [0.9]}}],
    "calibration": {"data": "cases.parquet", "truth": ["latitude", "longitude"]},
}
LABEL = {
    "name": "name",
    "answer": "label",
    "members": {"forest": "models:/forest@champion"},
    "steps": ["members", {"block": "vote", "with": {"confidence_levels": [0.9]}}],
    "calibration": {"data": "cases.parquet", "truth": "label"},
}


def said(page, **calibration):
    page = copy.deepcopy(page)
    page["calibration"] |= calibration
    return [str(problem) for problem in problems(page)]


@pytest.mark.parametrize(
    ("per", "groups"),
    [
        ({"column": "floor"}, {"by": "column", "column": "floor"}),
        (
            {"distance_m": [1000, 5000], "from": [48.1, 11.6]},
            {"by": "distance_m", "edges": [1000, 5000], "from": [48.1, 11.6]},
        ),
        ({"sd_major_m": [20]}, {"by": "sd_major_m", "edges": [20]}),
    ],
)
def test_the_three_ways_to_calibrate_apart_are_taken_in_the_words_of_the_block(per, groups):
    assert said(POSITION, per=per) == []
    page = {**POSITION, "calibration": {**POSITION["calibration"], "per": per}}
    calibration = Pipeline.from_mapping(page).calibration
    assert calibration.per == groups
    assert calibration.per_column == per.get("column")


@pytest.mark.parametrize(
    ("per", "problem"),
    [
        ("floor", "calibration.per: expected one of {column: floor}, {distance_m: [1000, 5000], from: [48.1, 11.6]}"),
        ({}, "calibration.per: expected one of {column: floor}"),
        ({"colum": "floor"}, "calibration.per: expected one of "),
        ({"column": "floor", "sd_major_m": [20]}, "calibration.per: expected one of"),
        ({"column": ""}, "calibration.per.column: expected the name of a column, got ''"),
        ({"column": "latitude"}, "calibration.per.column: 'latitude' is what is asked"),
        ({"column": "floor", "from": [0, 0]}, "calibration.per.from: unknown"),
        ({"distance_m": [1000]}, "calibration.per.from: expected 2 finite numbers, got None"),
        ({"distance_m": [1000], "from": [91, 0]}, "calibration.per.from: expected a latitude within 90 degrees"),
        ({"distance_m": [5, 1], "from": [1, 0]}, "calibration.per.distance_m: expected metres above 0, each more than"),
        ({"sd_major_m": [0, 20]}, "calibration.per.sd_major_m: expected metres above 0"),
        ({"sd_major_m": "20"}, "calibration.per.sd_major_m: expected a list of finite numbers, got '20'"),
    ],
)
def test_what_is_wrong_with_it_has_its_address(per, problem):
    (line,) = said(POSITION, per=per)

    assert line.startswith(problem)


def test_a_misspelt_one_comes_with_a_guess():
    (line,) = said(POSITION, per={"colum": "floor"})

    assert line.endswith("got {'colum': 'floor'}; did you mean 'column'?")


def test_edges_and_place_are_both_said():
    lines = said(POSITION, per={"distance_m": [], "from": "here"})

    assert [line.partition(": ")[0] for line in lines] == ["calibration.per.distance_m", "calibration.per.from"]


def test_labels_are_not_calibrated_apart():
    assert said(LABEL, per={"column": "floor"}) == ["calibration.per: only of a pipeline that answers position"]


def test_a_label_is_one_column_and_a_position_two():
    assert said(LABEL) == []
    assert said(LABEL, truth=["label"])[0].startswith("calibration.truth: expected the column of the label")
    assert said(POSITION, truth="label")[0].startswith("calibration.truth: expected a list of 2 strings")


def test_sets_need_known_cases():
    page = {key: value for key, value in LABEL.items() if key != "calibration"}

    (line,) = map(str, problems(page))

    assert line.startswith("steps[1].with.confidence_levels: prediction sets promise nothing without known cases")


@pytest.mark.parametrize("data", ["cases.xlsx", "cases.json", "cases", "cases.parquet/", ""])
def test_a_file_that_can_never_be_read_is_refused_before_it_is_looked_for(data):
    (line,) = said(POSITION, data=data)

    assert line == (
        f"calibration.data: expected a file of .parquet, .csv, .npz, as seen from the spec's folder, got {data!r}"
    )


@pytest.mark.parametrize(("page", "group"), [(POSITION, "longitude"), (LABEL, "label")])
def test_the_truth_is_no_group_of_what_belongs_together(page, group):
    assert said(page, group="walk") == []
    assert said(page, group=group) == [
        f"calibration.group: {group!r} is what is asked; name the column of what belongs together"
    ]


def test_one_column_is_not_two_coordinates():
    (line,) = said(POSITION, truth=["latitude", "latitude"])

    assert line == "calibration.truth: names 'latitude' twice; latitude and longitude are two columns"


@pytest.mark.parametrize(
    ("vote", "problem"),
    [
        ({"method": "weighted"}, "weighted learns the weights of its members"),
        ({"method": "dawid_skene"}, "dawid_skene learns how its members err"),
        ({"method": "weighted", "weights": [1]}, None),
        ({"method": "soft"}, None),
    ],
)
def test_what_learns_asks_for_known_cases_before_any_is_read(vote, problem):
    page = {**LABEL, "steps": ["members", {"block": "vote", "with": vote}]}
    del page["calibration"]

    found = [str(each) for each in problems(page)]

    assert found == ([f"steps[1].with.method: {problem}: name known cases under calibration"] if problem else [])
