"""What calibration promises, counted through Triton on rows that nobody had seen."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import yaml

from promotion_stage import ServedWorld
from sextant.binomial import realised_coverage
from sextant.errors import CalibrationError, RequestRefused
from sextant.geodesy import to_east_north
from sextant.scores import evaluate
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_promote.promotion import promote
from sextant_promote.status import status
from small_world import ORIGIN, SIDE_M, Cases, draw

pytestmark = pytest.mark.e2e

LEVEL = 0.9
FRESH = 1500


class Told:
    """Keeps what each step of a promotion said."""

    def __init__(self):
        self.said = {}

    @contextmanager
    def step(self, title):
        self.title = title
        yield self

    def result(self, text):
        self.said[self.title] = text


class Stage(ServedWorld):
    """A small world with a Triton on its store."""

    def __init__(self, world):
        super().__init__(world)
        self.told = Told()

    def promote(self):
        return promote(
            load_pipeline(self.world.spec), self.world.store, self.world.registry, self.control, self.told
        ).receipt

    def ask(self, features, **tensors):
        with Client(self.triton.address.grpc) as client:
            return client.pipeline("locate")(features, **tensors)


@pytest.fixture
def stage(world):
    with Stage(world) as stage:
        yield stage


def floor(rows, seed, upstairs):
    """Cases of one floor; upstairs the receivers hear four times as unevenly."""
    cases = draw(rows, seed)
    heard = cases.features + np.random.default_rng(seed + 1000).normal(0, 8 * upstairs, cases.features.shape)
    return Cases(heard.astype(np.float32), cases.east_north)


def house(rows, seed):
    """Both floors, and the floor of each row."""
    parts = [floor(rows, seed + i, i) for i in range(2)]
    features, places = (np.concatenate([getattr(part, name) for part in parts]) for name in ("features", "east_north"))
    return Cases(features, places), np.repeat(["0", "1"], rows)


def write(world, cases, floors=None):
    world.write_cases(cases)
    if floors is not None:
        path = world.root / "cases.parquet"
        pd.read_parquet(path).assign(floor=floors.astype(int)).to_parquet(path)


def in_band(share, rows):
    """Whether a coverage counted on FRESH rows is one that calibration on *rows* gives, but for once in a thousand."""
    low, high = realised_coverage(rows, LEVEL, share=0.999)
    chance = 3.3 * np.sqrt(LEVEL * (1 - LEVEL) / FRESH)
    return low - chance <= share <= high + chance


PER = {"data": "cases.parquet", "truth": ["latitude", "longitude"]}


def test_each_floor_keeps_its_own_promise(stage):
    """One radius for both would hold nearly all of the ground floor, and too little of the one above."""
    cases, floors = house(300, seed=3)
    gate = {"coverage": {"level": LEVEL, "at_least": 0.89}, "p95_ms": {"at_most": 10_000}}
    stage.world.write_spec({"calibration": {**PER, "per": {"column": "floor"}}, "gate": gate})
    write(stage.world, cases, floors)

    receipt = stage.promote()

    fresh, above = house(FRESH, seed=90)
    fixes = stage.ask(fresh.features, group=above[:, None])
    for word in ("0", "1"):
        rows = np.flatnonzero(above == word)
        share = evaluate([fixes[row] for row in rows], fresh.truth[rows]).coverage[LEVEL]
        assert in_band(share, 300), (word, share)
        assert receipt.calibration["groups"][word]["rows"] == 300
    assert all(fix.calibrated and fix.scale_method == "conformal" for fix in fixes)
    assert [result["passed"] for result in receipt.gate] == [True, True]
    radii = receipt.blocks["ellipse"]["groups"]["radii"]
    assert radii[1][1] > 1.3 * radii[0][1]
    said = stage.told.said["calibrate"]
    assert "600 known cases" in said
    assert "95% ellipse by group: '0' (300 rows) radius" in said
    assert "to hold" in said
    assert status(stage.world.store, stage.control)[0].calibration == said


def test_a_floor_that_was_not_calibrated_is_refused_with_those_that_were(stage):
    cases, floors = house(60, seed=3)
    stage.world.write_spec({"calibration": {**PER, "per": {"column": "floor"}}})
    write(stage.world, cases, floors)
    stage.promote()

    with pytest.raises(RequestRefused, match="group: expected a floor of the known cases: 0, 1, got '7' in row 1"):
        stage.ask(cases.features[:3], group=[["0"], ["7"], ["1"]])
    with pytest.raises(RequestRefused, match="group"):
        stage.ask(features=cases.features[0])
    assert stage.ask(cases.features[0], group=["1"]).calibrated


def test_bands_of_distance_keep_their_own_promises(stage):
    """Nobody sends a group: the fix itself says how far it is from the middle."""
    middle = (SIDE_M / 2, SIDE_M / 2)
    origin = Cases(np.empty((0, 8)), np.array([middle])).truth[0].tolist()
    stage.world.write_spec({"calibration": {**PER, "per": {"distance_m": [60], "from": origin}}})
    write(stage.world, draw(600, seed=3))

    receipt = stage.promote()

    fresh = draw(2 * FRESH, seed=90)
    fixes = np.array(stage.ask(fresh.features), dtype=object)
    away = np.hypot(*(to_east_north(ORIGIN, [(fix.latitude, fix.longitude) for fix in fixes]) - middle).T)
    groups = receipt.calibration["groups"]
    assert list(groups) == ["below 60 m", "from 60 m"]
    for name, rows in zip(groups, (np.less(away, 60), np.greater_equal(away, 60)), strict=True):
        share = evaluate(fixes[rows].tolist(), fresh.truth[rows]).coverage[LEVEL]
        assert in_band(share, groups[name]["rows"]), (name, share)


def test_groups_that_are_too_small_leave_no_trace(stage):
    """Said before anything is staged, with what each has and needs."""
    cases, floors = house(200, seed=3)
    floors[-12:] = "2"
    stage.world.write_spec({"calibration": {**PER, "per": {"column": "floor"}}})
    write(stage.world, cases, floors)

    with pytest.raises(CalibrationError, match=r"needs 19 .* 0.95 ellipse, but group '2' has 12: bring more rows"):
        stage.promote()

    assert list(stage.world.store.models.iterdir()) == []


def test_without_known_cases_the_answer_says_that_it_is_not_calibrated(stage):
    """The spread of three members is scaled for so few, and is promised by nobody."""
    page = stage.world.write_spec()
    steps = [dict(step) if isinstance(step, dict) else step for step in page.spec["steps"]]
    steps[2] = {"block": "fuse", "with": {**steps[2]["with"], "method": "spread"}}
    raw = {key: value for key, value in page.spec.items() if key not in ("calibration", "gate")}
    stage.world.spec.write_text(yaml.safe_dump({**raw, "steps": steps}, sort_keys=False), encoding="utf-8")

    receipt = stage.promote()

    fix = stage.ask(draw(1, seed=90).features[0])
    assert receipt.calibration is None
    assert (fix.calibrated, fix.scale_method) == (False, "f")
    assert stage.told.said["calibrate"] == "no known cases: Gaussian ellipses, calibrated: false"


def test_known_cases_may_be_arrays(stage):
    """The same rows in a .npz give the same radii."""
    stage.world.write_spec()
    cases = draw(300, seed=3)
    first = stage.promote()
    latitude, longitude = cases.truth.T
    np.savez(stage.world.root / "cases.npz", features=cases.features, latitude=latitude, longitude=longitude)
    stage.world.write_spec({"calibration": {**PER, "data": "cases.npz"}})

    second = stage.promote()

    assert second.release == 2
    assert second.blocks["ellipse"]["radii"] == first.blocks["ellipse"]["radii"]
    assert second.calibration["scores_sha256"] == first.calibration["scores_sha256"]
