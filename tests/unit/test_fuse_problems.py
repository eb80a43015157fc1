"""What ``sextant check`` says of the parameters of ``fuse``, all of it at once and before anything is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sextant_export.problems import problems

MEMBERS = {"forest": "models:/forest/1", "mlp": "models:/mlp/1", "knn": "models:/knn/1"}


def said(members=3, **fuse):
    page = {
        "name": "locate",
        "answer": "position",
        "members": dict(list(MEMBERS.items())[:members]),
        "steps": [
            {"block": "scale"},
            "members",
            {"block": "fuse", "with": fuse},
            {"block": "ellipse", "with": {"confidence_levels": [0.95]}},
        ],
    }
    return [str(problem) for problem in problems(page)]


FRAMES = {"forest": "EPSG:25832", "mlp": "east_north_m", "knn": "latitude_longitude"}


@pytest.mark.parametrize(
    "fuse",
    [
        {"frame": FRAMES, "origin": [48, 11]},
        {"frame": FRAMES, "origin": {"mlp": [48, 11]}},
        {"frame": "EPSG:3857", "method": "covariance_intersection", "minimise": "trace"},
        {"method": "covariance_intersection", "weights": [1, 1, 2]},
        {"method": "inverse_variance", "members_are_independent": True, "gate": None},
        {"method": "spread"},
    ],
    ids=str,
)
def test_what_is_right_has_no_problem(fuse):
    assert said(**fuse) == []


@pytest.mark.parametrize(
    ("fuse", "problem"),
    [
        (
            {"frame": {**FRAMES, "kn": "latitude_longitude"}, "origin": [48, 11]},
            "steps[2].with.frame.kn: no such member; did you mean 'knn'?",
        ),
        (
            {"frame": {"forest": "latitude_longitude"}},
            "steps[2].with.frame: says nothing of mlp, knn; each member has one, or one is for all",
        ),
        (
            {"frame": FRAMES, "origin": {"mlq": [48, 11]}},
            "steps[2].with.origin.mlq: no such member; did you mean 'mlp'?",
        ),
        (
            {"frame": "east_north_m", "origin": {"mlp": [48, 11]}},
            "steps[2].with.origin: says nothing of forest, knn, whose frame is east_north_m",
        ),
        ({"gate": 1.5}, "steps[2].with.gate: expected a probability between 0 and 1, bounds excluded, or null"),
        ({"frame": FRAMES}, "steps[2].with.origin: expected 2 finite numbers, got None"),
        ({"frame": "utm"}, "steps[2].with.frame: expected latitude_longitude, east_north_m or a code"),
        ({"frame": "EPSG:4326"}, "steps[2].with.frame: EPSG:4326 is WGS 84, a Geographic 2D CRS and no projected one"),
        ({"frame": "EPSG:1"}, "steps[2].with.frame: EPSG:1 is no coordinate reference system that pyproj"),
        ({"method": "inverse_variance"}, "steps[2].with.method: inverse_variance is only for members whose errors"),
        ({"method": "spread", "gate": 0.99}, "steps[2].with.gate: spread has no covariances to gate by"),
        ({"minimise": "trace"}, "steps[2].with.minimise: only covariance_intersection does"),
        ({"projections": {}}, "steps[2].with.projections: is found when a release is made; leave it out"),
        ({"slots": {}}, "steps[2].with.slots: is found when a release is made; leave it out"),
        ({"methd": "moment"}, "steps[2].with.methd: unknown; did you mean 'method'?"),
    ],
)
def test_what_is_wrong_has_its_address_and_a_guess(fuse, problem):
    found = said(**fuse)

    assert any(one.startswith(problem) for one in found), found


def test_everything_is_said_at_once():
    found = said(frame={**FRAMES, "forest": "EPSG:4326"}, minimise="trace", gate=7, origin=[48, 11])

    assert [one.partition(": ")[0] for one in found] == [
        "steps[2].with.minimise",
        "steps[2].with.gate",
        "steps[2].with.frame",
    ]


def test_a_name_that_is_none_is_told_once_and_hides_nothing_else():
    frame = {"forest": "EPSG:25832", "mlp": "east_north_m", "kn": "EPSG:3857"}

    found = said(frame=frame, origin={"ml": [48, 11]}, weights="x")

    assert found == [
        "steps[2].with.weights: expected 3 finite numbers, got 'x'",
        "steps[2].with.frame.kn: no such member; did you mean 'knn'?",
        "steps[2].with.origin.ml: no such member; did you mean 'mlp'?",
        "steps[2].with.frame: says nothing of knn; each member has one, or one is for all",
        "steps[2].with.origin: says nothing of mlp, whose frame is east_north_m",
    ]


def test_a_spread_needs_three_members():
    assert said(members=2, method="spread") == ["steps[2].with.method: spread needs 3 members or more, got 2"]


def test_the_page_of_the_documentation_is_sound():
    """What a reader copies from docs/explanation/fusion.md has no problem."""
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "fusion.md").read_text(encoding="utf-8")

    assert list(problems(yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0]))) == []


@pytest.mark.parametrize(
    ("fuse", "complaint"),
    [
        ({"weights": {"forest": 1, "mlp": 2, "tree": 3}}, "steps[2].with.weights: 'tree' is none of the members"),
        ({"weights": ["1", "1", "2"]}, "steps[2].with.weights: expected 3 finite numbers, got ['1', '1', '2']"),
        ({"weights": [True, 1, 1]}, "steps[2].with.weights: expected 3 finite numbers, got [True, 1, 1]"),
        ({"frame": "east_north_m", "origin": [48.1, 500]}, "steps[2].with.origin: expected a longitude within 360"),
    ],
)
def test_what_is_no_number_of_each_member_is_told(fuse, complaint):
    assert complaint in "\n".join(said(**fuse))


def test_weights_by_name_are_sound():
    assert said(weights={"forest": 1, "mlp": 2, "knn": 3}) == []
