"""What known cases teach a position pipeline, with members whose errors are drawn and so are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sextant.binomial import coverage_interval
from sextant.blocks import BLOCKS
from sextant.errors import CalibrationError
from sextant.frames import frames
from sextant.fuse import residual_covariance
from sextant.geodesy import to_east_north, to_latitude_longitude
from sextant.tensors import Tensor
from sextant_export.calibration import position
from sextant_export.calibration.position import _left_out, _of_others
from sextant_export.calibration_summary import calibration_summary
from sextant_export.known_cases import KnownCases
from sextant_export.pipeline import Pipeline

ORIGIN = (48.1, 11.6)
LEVELS = [0.5, 0.9, 0.95]


@dataclass
class Drawn:
    """A member that answers what was drawn: the features are its answers, row by row."""

    name: str
    columns: slice
    says: str | None = None
    dtype: str = "FP64"
    model_name: str = "drawn"
    version: int = 1
    inputs: tuple[Tensor, ...] = (Tensor("features", "FP32", (-1,)),)

    @property
    def outputs(self):
        said = {"sigmas": (2,), "covariance": (2, 2)}.get(self.says)
        return (Tensor("position", self.dtype, (2,)), *([Tensor(self.says, "FP64", said)] if said else []))

    def answer(self, rows):
        given = rows[:, self.columns]
        answers = {"position": given[:, :2].astype(self.outputs[0].numpy_type)}
        return answers | ({self.says: given[:, 2:].astype(np.float64)} if self.says else {})


def pipeline(members, *, per=None, fuse=None):
    calibration: dict[str, Any] = {"data": "cases.parquet", "truth": ["latitude", "longitude"]}
    page = {
        "name": "locate",
        "answer": "position",
        "members": {member.name: "models:/drawn/1" for member in members},
        "steps": [
            {"block": "scale"},
            "members",
            {"block": "fuse", "with": {"frame": "east_north_m", "origin": list(ORIGIN)} if fuse is None else fuse},
            {"block": "ellipse", "with": {"confidence_levels": LEVELS}},
        ],
        "calibration": calibration | ({"per": per} if per else {}),
    }
    return Pipeline.from_mapping(page)


def drawn(rows, seed, sigma=(10.0, 5.0), members=3):
    """Members' answers (N, 2 M) in metres about ORIGIN, and the truth (N, 2) in degrees."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-500, 500, (rows, 2))
    shared, own = rng.standard_t(5, (rows, 1, 2)), rng.standard_t(5, (rows, members, 2))
    answers = place[:, None] + np.asarray(sigma) * (0.8 * shared + 0.6 * own)
    return answers.reshape(rows, -1), to_latitude_longitude(ORIGIN, place)


def calibrated(members, rows, truth, *, group=None, per=None, fuse=None, walk=None):
    page = pipeline(members, per=per, fuse=fuse)
    words = None if group is None else np.array(group, dtype=object)
    cases = KnownCases(features=rows.astype(np.float32), truth=truth, sha256="0" * 64, apart=words, group=walk)
    parameters = {step.block: dict(step.parameters) for step in page.blocks}
    return position.fitted(page, members, 7, parameters, cases, rows)


def coverage(found, level):
    return found.facts["levels"][f"{level:g}"]["coverage"]


def served(parameters, slots, group=None):
    """What the two blocks answer."""
    fused = BLOCKS["fuse"](parameters["fuse"])(**slots)
    asked = {} if group is None else {"group": np.array(group, dtype=object)[:, None]}
    return BLOCKS["ellipse"](parameters["ellipse"])(**fused, **asked)


def held(answer, truth, level):
    """Which true places lie in the ellipse that was served."""
    east, north = to_east_north(answer["position"], truth).T
    place = list(answer["confidence_level"][0]).index(level)
    major, minor, bearing = answer["ellipse"][:, place].T
    turn = np.radians(bearing)
    along, across = east * np.sin(turn) + north * np.cos(turn), east * np.cos(turn) - north * np.sin(turn)
    return (along / major) ** 2 + (across / minor) ** 2 <= 1


def three():
    return [Drawn(name, slice(2 * i, 2 * i + 2)) for i, name in enumerate(("oak", "elm", "ash"))]


def slots_of(rows, members=3):
    return {f"member_{i}": rows[:, 2 * i : 2 * i + 2] for i in range(members)}


def test_fresh_rows_are_held_as_often_as_was_promised():
    """A hundred calibrations on a hundred heavy-tailed rows each."""
    fresh, truth = drawn(3000, seed=1)
    shares = []
    for seed in range(2, 102):
        found = calibrated(three(), *drawn(100, seed))
        shares.append(held(served(found.parameters, slots_of(fresh)), truth, 0.9).mean())

    assert 0.9 - 0.006 <= np.mean(shares) <= 0.9 + 1 / 101 + 0.008


def test_the_receipt_says_radius_rank_rows_and_what_to_expect():
    found = calibrated(three(), *drawn(200, seed=1))

    level = found.facts["levels"]["0.95"]
    assert (level["rank"], level["rows"]) == (191, 200)
    assert level["radius"] == found.parameters["ellipse"]["radii"][2]
    assert level["coverage"] == pytest.approx(192 / 200)
    assert level["coverage_interval"] == pytest.approx([0.9227, 0.9826], abs=2e-4)
    assert level["coverage_by_fold"] == pytest.approx([0.95, 0.97])
    assert level["realised_coverage"] == pytest.approx([0.923, 0.973], abs=1e-3)
    assert found.facts["rows"] == 200
    assert found.facts["anees"] > 0
    assert found.facts["uncalibrated"]["0.95"]["coverage"] <= 1
    assert len(found.facts["scores_sha256"]) == 64
    assert found.parameters["ellipse"]["release"] == 7
    assert found.parameters["ellipse"]["scale_method"] == "chi2"
    assert "200 known cases" in calibration_summary("position", found.facts)
    assert "to hold 92.3% to 97.3% of new fixes" in calibration_summary("position", found.facts)
    assert ", held 96.0% (92.3% to 98.3%) in folds; a Gaussian's" in calibration_summary("position", found.facts)


def test_rows_that_are_alike_are_held_in_folds_as_often_as_was_promised():
    """Thirty files of 300 rows: about the level each, and about the level on average."""
    shares = np.array(
        [[coverage(calibrated(three(), *drawn(300, seed)), level) for level in LEVELS] for seed in range(30)]
    )

    assert np.abs(shares - LEVELS).max() < 0.07
    assert shares.mean(axis=0) == pytest.approx(LEVELS, abs=0.01)


@pytest.mark.parametrize("turned", [False, True], ids=["growing", "shrinking"])
def test_a_file_whose_errors_drift_is_held_less_than_was_promised(turned):
    """Errors double on the way.  On the very rows that set the radius, the share is its rank whatever they are."""
    rows, truth = drawn(600, seed=1)
    factor = np.linspace(1, 2, 600)[:: -1 if turned else 1]
    place = np.tile(to_east_north(ORIGIN, truth), 3)

    found = calibrated(three(), place + factor[:, None] * (rows - place), truth)

    level = found.facts["levels"]["0.95"]
    assert level["coverage"] < 0.93
    assert level["coverage_interval"][1] < 0.95
    assert level["coverage_by_fold"][turned] > 0.96
    assert level["coverage_by_fold"][not turned] < 0.9
    assert ", held only " in calibration_summary("position", found.facts)


def walks(count, seed, total=500):
    """Rows of as many walks that are each astray by an offset of their own, and the walk of each row."""
    rows, truth = drawn(total, seed)
    walk = np.arange(total) * count // total
    offset = np.random.default_rng(seed).normal(0, 25, (count, 2))
    return rows + np.tile(offset[walk], 3), truth, walk


def test_walks_that_differ_are_held_less_than_was_promised_once_they_are_named():
    """Ten walks in any order look like 500 rows alike; a walk by what the other nine teach shows what they are."""
    named, unnamed = [], []
    for seed in range(20):
        rows, truth, walk = walks(10, seed)
        order = np.random.default_rng(seed).permutation(500)
        sure = np.broadcast_to([10.0, 5.0], (500, 3, 2))
        shuffled = np.concatenate([rows.reshape(500, 3, 2), sure], axis=2).reshape(500, 12)[order], truth[order]
        members = [Drawn(name, slice(4 * i, 4 * i + 4), says="sigmas") for i, name in enumerate(("oak", "elm", "ash"))]
        named.append(coverage(calibrated(members, *shuffled, walk=walk[order]), 0.9))
        unnamed.append(coverage(calibrated(members, *shuffled), 0.9))

    assert np.mean(unnamed) == pytest.approx(0.9, abs=0.01)
    assert np.mean(named) < 0.88


def test_a_walk_is_judged_by_covariances_that_it_did_not_teach():
    """One of two walks lies 200 m to the east: in a covariance that knows of it, it would look like any other."""
    rows, truth = drawn(400, seed=1)
    walk = np.repeat([0, 1], 200)
    rows[walk == 1, ::2] += 200

    level = calibrated(three(), rows, truth, walk=walk).facts["levels"]["0.95"]

    assert level["coverage_by_fold"][1] < 0.1
    assert level["coverage"] == pytest.approx(0.5, abs=0.06)


def test_ellipses_hold_walks_that_nobody_has_seen():
    """Of ten walks, each astray in its own way; a row of an eleventh is held as those of one are by the other nine."""
    shares = []
    for seed in range(60):
        rows, truth, walk = walks(11, seed, 220)
        known = walk < 10
        found = calibrated(three(), rows[known], truth[known], walk=walk[known])
        shares.append(held(served(found.parameters, slots_of(rows[~known])), truth[~known], 0.9).mean())

    assert np.mean(shares) == pytest.approx(0.9, abs=0.05)


def test_of_walks_nobody_can_say_what_new_fixes_will_hold_and_the_interval_is_that_of_so_many_walks():
    rows, truth, walk = walks(10, seed=1, total=200)

    level = calibrated(three(), rows, truth, walk=walk).facts["levels"]["0.9"]
    said = calibration_summary("position", calibrated(three(), rows, truth, walk=walk).facts)

    low, high = level["coverage_interval"]
    assert low == pytest.approx(coverage_interval(int(level["coverage"] * 10), 10)[0])
    assert high - low > 0.3
    assert "realised_coverage" not in level
    assert "of new fixes" not in said


def test_a_truth_whose_latitude_stands_second_is_refused():
    rows, truth = drawn(60, seed=1)

    with pytest.raises(
        CalibrationError, match=r"\d,\d{3},\d{3} m, and \d+ m once latitude and longitude change places"
    ):
        calibrated(three(), rows, truth[:, ::-1])
    with pytest.raises(CalibrationError, match="the latitude comes first, in `truth` and in the `origin` of fuse"):
        calibrated(three(), rows, truth, fuse={"frame": "east_north_m", "origin": list(ORIGIN[::-1])})


def test_members_that_answer_another_question_are_told_from_those_that_err():
    rows, truth = drawn(200, seed=1)
    strangers = calibrated(three(), np.roll(rows, 1, axis=0), truth).facts

    assert "no better than always answering their middle (3" in calibration_summary("position", strangers)
    assert "no better" not in calibration_summary("position", calibrated(three(), rows, truth).facts)


def test_one_gross_error_leaves_the_covariance_of_the_others_what_it_is():
    """Members right to a centimetre, and one case at the wrong end of the earth."""
    rows, truth = drawn(60, seed=1, sigma=(0.01, 0.01))
    rows[0, ::2] += 1e7

    found = calibrated(three(), rows.astype(np.float64), truth)

    assert found.facts["levels"]["0.5"]["radius"] > 0


def test_where_the_other_half_is_too_few_for_a_level_nothing_is_measured():
    found = calibrated(three(), *drawn(30, seed=1))

    levels = found.facts["levels"]
    assert [("coverage" in levels[name], "coverage_interval" in levels[name]) for name in ("0.5", "0.9", "0.95")] == [
        (True, True),
        (True, True),
        (False, False),
    ]
    assert "in folds" not in calibration_summary("position", found.facts)


@pytest.mark.parametrize(
    ("rows", "walk"), [(200, np.zeros(200)), (21, np.repeat([0, 1], [19, 2])), (21, np.repeat([0, 1], [20, 1]))]
)
def test_groups_that_teach_nothing_of_one_another_stop_no_promotion(rows, walk):
    """One group alone, or another of too few rows for a covariance."""
    found = calibrated(three(), *drawn(rows, seed=1), walk=walk)

    assert found.facts["levels"]["0.95"]["radius"] == found.parameters["ellipse"]["radii"][2]
    assert not any("coverage" in level for level in found.facts["levels"].values())


@pytest.mark.parametrize(
    "method",
    [
        {"method": "moment"},
        {"method": "covariance_intersection"},
        {"method": "inverse_variance", "members_are_independent": True},
    ],
    ids=lambda method: method["method"],
)
def test_a_half_without_an_error_stops_no_promotion(method):
    """Its covariance would be nothing, by which nothing can be measured."""
    rows, truth = drawn(60, seed=1)
    rows[:30] = np.tile(to_east_north(ORIGIN, truth[:30]), 3)

    found = calibrated(three(), rows, truth, fuse={"frame": "east_north_m", "origin": list(ORIGIN), **method})

    assert found.facts["levels"]["0.9"]["radius"] > 0
    assert "coverage" not in found.facts["levels"]["0.9"]


def test_each_floor_is_calibrated_by_itself():
    """Upstairs errors are four times those of the hall; radii for both would hold all of one and too little."""
    rows, truth = zip(*(drawn(400, seed, np.array([10.0, 5.0]) * f) for seed, f in ((1, 1), (2, 4))), strict=True)
    fresh, places = zip(*(drawn(4000, seed, np.array([10.0, 5.0]) * f) for seed, f in ((3, 1), (4, 4))), strict=True)
    group, words = np.repeat(["10", "9"], 400), np.repeat(["10", "9"], 4000)

    found = calibrated(three(), np.concatenate(rows), np.concatenate(truth), group=group, per={"column": "floor"})
    inside = held(served(found.parameters, slots_of(np.concatenate(fresh)), words), np.concatenate(places), 0.9)

    assert found.parameters["ellipse"]["groups"]["values"] == ["9", "10"]
    assert found.facts["per"] == {"by": "column", "column": "floor"}
    assert "radii" not in found.parameters["ellipse"]
    for word in ("9", "10"):
        low, high = found.facts["groups"][word]["levels"]["0.9"]["realised_coverage"]
        assert low - 0.02 <= inside[words == word].mean() <= high + 0.02
        assert found.facts["groups"][word]["levels"]["0.9"]["coverage"] == pytest.approx(0.9, abs=0.03)
    assert found.facts["levels"]["0.9"]["coverage"] == pytest.approx(0.9, abs=0.01)
    assert found.facts["levels"]["0.9"]["rows"] == 800
    assert "by group: '9' (400 rows) radius" in calibration_summary("position", found.facts)


def test_bands_of_distance_are_those_of_the_fix():
    per = {"distance_m": [250, 400], "from": list(ORIGIN)}

    found = calibrated(three(), *drawn(600, seed=1), per=per)

    assert list(found.facts["groups"]) == ["below 250 m", "250 to 400 m", "from 400 m"]
    assert sum(group["rows"] for group in found.facts["groups"].values()) == 600
    assert np.shape(found.parameters["ellipse"]["groups"]["radii"]) == (3, 3)
    assert found.facts["per"] == {"by": "distance_m", "edges": [250, 400], "from": list(ORIGIN)}


def test_bands_of_deviation_see_what_members_say():
    rows, truth = drawn(300, seed=1, members=1)
    sigmas = np.repeat([[10.0, 5.0], [40.0, 20.0]], 150, axis=0)
    member = Drawn("oak", slice(0, 4), says="sigmas")

    found = calibrated([member], np.hstack([rows, sigmas]), truth, per={"sd_major_m": [20]})

    assert [group["rows"] for group in found.facts["groups"].values()] == [150, 150]
    assert found.parameters["fuse"]["member_covariances"] == [None]


def test_groups_stand_by_their_numbers_and_what_is_no_number_after_them():
    """``nan`` is read as a number and is neither less nor more than any: it would shuffle the others."""
    numbers, words = [str(number) for number in range(58)], ["NaN", "inf", "nan"]
    rows, truth = drawn(61 * 20, seed=1)

    found = calibrated(three(), rows, truth, group=np.repeat([*words, *numbers[::-1]], 20), per={"column": "floor"})

    assert list(found.facts["groups"]) == [*numbers, *words]


def test_a_receipt_tells_how_far_the_covariances_were_true():
    """Each squared distance has two degrees of freedom, so their mean is twice what is said."""
    rows, truth = drawn(400, seed=1, members=1)
    sigmas = np.tile([5.0, 2.5], (400, 1))

    found = calibrated([Drawn("oak", slice(0, 4), says="sigmas")], np.hstack([rows, sigmas]), truth)

    east, north = frames(found.parameters["fuse"])[0].errors(rows, truth).T
    assert found.facts["anees"] == pytest.approx(np.mean((east / 5) ** 2 + (north / 2.5) ** 2) / 2)
    assert found.facts["method"] == "conformal"


def test_groups_that_are_too_small_are_said():
    rows, truth = drawn(60, seed=1)

    with pytest.raises(
        CalibrationError, match=r"every group needs 19 .* 0.95 ellipse, but group '2' has 18, '3' has 2"
    ):
        calibrated(three(), rows, truth, group=np.repeat(["1", "2", "3"], [40, 18, 2]), per={"column": "floor"})


def test_a_row_is_scored_in_the_covariance_of_the_others():
    """In whatever frame: as many covariances as rows, each without its own residual."""
    rows, truth = drawn(30, seed=1)
    for frame in ({"frame": "east_north_m", "origin": list(ORIGIN)}, {"frame": "EPSG:3857"}, {}):
        page = {"members": ["oak"], **frame}
        if frame.get("frame") == "EPSG:3857":
            from sextant_export.projection import projections

            page["projections"] = projections(["EPSG:3857"])
        (only,) = frames(page)
        answers = truth if not frame else rows[:, :2] + ([1.29e6, 6.13e6] if "projections" in page else [0, 0])
        answers = answers + np.random.default_rng(3).normal(0, 1e-4 if not frame else 9, answers.shape)
        errors = only.errors(answers, truth)

        said = _left_out(only, answers, _of_others(errors, np.ones(30, bool), np.arange(30)))
        carried = only.placed(answers).covariance(said)

        others = residual_covariance(np.delete(errors, 4, axis=0))
        assert carried[4] == pytest.approx(np.asarray(only.measured(others, only.placed(answers[4:5]))).reshape(2, 2))


def test_a_member_that_says_its_own_covariance_keeps_it():
    rows, truth = drawn(200, seed=1, members=2)
    sigmas = np.full((200, 2), 3.0)
    members = [Drawn("oak", slice(0, 4), says="sigmas"), Drawn("elm", slice(4, 6))]

    found = calibrated(members, np.hstack([rows[:, :2], sigmas, rows[:, 2:]]), truth)

    measured = found.parameters["fuse"]["member_covariances"]
    assert measured[0] is None
    assert np.sqrt(measured[1][0][0]) == pytest.approx(13, rel=0.3)


def test_the_spread_of_members_needs_no_covariance_and_becomes_conformal():
    fuse = {"frame": "east_north_m", "origin": list(ORIGIN), "method": "spread"}
    rows, truth = drawn(300, seed=1, members=5)
    members = [Drawn(f"m{i}", slice(2 * i, 2 * i + 2)) for i in range(5)]
    fresh, places = drawn(4000, seed=2, members=5)

    found = calibrated(members, rows, truth, fuse=fuse)
    answer = served(found.parameters, slots_of(fresh, 5))

    assert "member_covariances" not in found.parameters["fuse"]
    assert answer["scale_method"][0, 0] == b"conformal"
    assert held(answer, places, 0.9).mean() == pytest.approx(0.9, abs=0.04)


def test_without_known_cases_nothing_is_calibrated_and_it_is_said():
    rows, _ = drawn(10, seed=1, members=1)
    member = Drawn("oak", slice(0, 4), says="sigmas")
    page = pipeline([member])

    found = position.fitted(page, [member], 1, {s.block: dict(s.parameters) for s in page.blocks}, None, None)
    answer = served(found.parameters, {**slots_of(rows, 1), "sigmas_0": np.full((10, 2), 3.0)})

    assert found.facts is None
    assert not answer["calibrated"].any()
    assert answer["scale_method"][0, 0] == b"chi2"
    assert calibration_summary("position", None) == "no known cases: Gaussian ellipses, calibrated: false"


def test_members_that_are_not_sure_of_themselves_need_known_cases():
    page = pipeline(three())

    with pytest.raises(CalibrationError, match="member oak gives no covariance .* add `calibration"):
        position.fitted(page, three(), 1, {s.block: dict(s.parameters) for s in page.blocks}, None, None)


def test_known_cases_outside_a_frame_are_said():
    rows, truth = drawn(30, seed=1, members=1)
    rows[4] = [91.0, 0.0]

    with pytest.raises(CalibrationError, match="known cases cannot be fused: member_0: expected latitudes within 90"):
        calibrated([Drawn("oak", slice(0, 2))], rows, truth, fuse={})


def test_known_cases_that_members_cannot_answer_are_said():
    rows, truth = drawn(30, seed=1)
    rows[4, 2] = np.nan

    with pytest.raises(CalibrationError, match="member elm answers row 4 of the known cases with .nan, "):
        calibrated(three(), rows, truth)


def test_a_receipt_of_an_earlier_sextant_can_be_told_too():
    said = calibration_summary("position", {"rows": 300, "median_error_m": 4.25, "radii": {"0.95": 2.5}})

    assert said == "300 known cases, median error 4.2 m, by an earlier Sextant"


def test_what_an_earlier_sextant_counted_on_the_rows_it_had_learned_is_not_told():
    level = {"radius": 2.5, "coverage": 0.955, "coverage_interval": [0.91, 0.98], "realised_coverage": [0.923, 0.973]}

    said = calibration_summary("position", {"rows": 200, "median_error_m": 4.25, "levels": {"0.95": level}})

    assert said.endswith("95% ellipse radius 2.50, to hold 92.3% to 97.3% of new fixes; a Gaussian's radius is 2.45")
