"""What `sextant check` says of a page that answers labels, before anything is fetched."""

from __future__ import annotations

import pytest

from sextant_export.pipeline import Pipeline, problems


def page(vote=None, **changes):
    return {
        "name": "zone",
        "answer": "label",
        "members": {"a": "models:/a@champion", "b": "models:/b@champion"},
        "steps": [{"block": "scale"}, "members", {"block": "vote", "with": vote or {}}],
        "calibration": {"data": "cases.parquet", "truth": "label"},
        **changes,
    }


@pytest.mark.parametrize(
    "vote",
    [
        {},
        {"method": "soft", "pool": "geometric", "weights": [0.1, 0.2]},
        {"method": "weighted"},
        {"method": "weighted", "weights": [1, 2], "classes": [3, 1, 2]},
        {"method": "dawid_skene", "errors": "one_coin", "confidence_levels": [0.9, 0.95]},
        {"quorum": 2, "classes": ["yes", "no"]},
    ],
)
def test_a_page_that_can_be_served_is_sound(vote):
    assert Pipeline.from_mapping(page(vote)).answer == "label"


@pytest.mark.parametrize(
    ("vote", "said"),
    [
        ({"methd": "soft"}, "steps[2].with.methd: unknown; did you mean 'method'?"),
        ({"method": "majority"}, "steps[2].with.method: expected one of plurality, weighted, soft, dawid_skene, got"),
        ({"classes": [True, False]}, "steps[2].with.classes: True is a truth value"),
        ({"classes": ["a", "a"]}, "steps[2].with.classes: 'a' stands twice"),
        ({"pool": "geometric"}, "steps[2].with.pool: only of the method soft, and this is plurality"),
        ({"method": "soft", "weights": [1, 2, 3]}, "steps[2].with.weights: expected 2 finite numbers, got [1, 2, 3]"),
        ({"quorum": 3}, "steps[2].with.quorum: expected at most 2, as many as there are members, got 3"),
        ({"confidence_levels": [95]}, "steps[2].with.confidence_levels: expected levels between 0 and 1"),
        ({"release": 4}, "steps[2].with.release: is found when a release is made; leave it out"),
        ({"workers": 4}, "steps[2].with.workers: is found when a release is made; leave it out"),
        ({"confusion": []}, "steps[2].with.confusion: is found when a release is made; leave it out"),
    ],
)
def test_what_is_wrong_with_a_vote_has_its_address(vote, said):
    assert said in "\n".join(map(str, problems(page(vote))))


def test_a_vote_is_tried_with_the_members_of_its_page():
    assert [str(problem) for problem in problems(page({"quorum": 9, "method": "soft", "weights": "x"}))] == [
        "steps[2].with.quorum: expected at most 2, as many as there are members, got 9",
        "steps[2].with.weights: expected 2 finite numbers, got 'x'",
    ]


def test_what_is_wrong_with_the_classes_hides_nothing_else():
    assert [str(problem) for problem in problems(page({"classes": [], "method": "dawid_skene", "quorum": 3}))] == [
        "steps[2].with.classes: expected the names of two or more classes, got []",
        "steps[2].with.quorum: expected at most 2, as many as there are members, got 3",
    ]


def test_of_a_crowd_too_large_the_page_is_told_once():
    crowd = {f"m{i}": f"models:/m{i}@c" for i in range(9)}

    assert [
        str(problem) for problem in problems(page({"weights": [1] * 9, "method": "soft", "pool": 3}, members=crowd))
    ] == [
        "steps[2].with.pool: expected one of mean, geometric, got 3",
        "members: vote takes at most 8; found 9",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"steps": [{"block": "scale"}, "members"]},
            "steps: after `members`, a label answer takes vote; found nothing",
        ),
        ({"steps": [{"block": "vote"}, "members"]}, "steps[0]: 'vote' works on what members answer"),
        (
            {"steps": ["members", {"block": "vote"}]},
            "steps[0]: several members run in parallel and none may see bad input",
        ),
        (
            {"calibration": {"data": "c.csv", "truth": ["a", "b"]}},
            "calibration.truth: expected the column of the label",
        ),
        ({"members": {f"m{i}": f"models:/m{i}@c" for i in range(9)}}, "vote takes at most 8; found 9"),
        ({"gate": {"median_error_m": {"at_most": 3}}}, "gate.median_error_m: only of a pipeline that answers position"),
    ],
)
def test_what_is_wrong_with_a_label_page_has_its_address(changes, said):
    assert said in "\n".join(map(str, problems(page(**changes))))
