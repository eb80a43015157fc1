"""A trial from beginning to end, its arms simulated: what is given to the candidate, and taken from it again."""

from __future__ import annotations

import json
from contextlib import contextmanager
from math import inf

import numpy as np
import pytest

from sextant.errors import (
    AddressRefused,
    DeadlineExceeded,
    ModelFailed,
    ModelNotReady,
    RequestRefused,
    ServerUnreachable,
)
from sextant.fix import fixes
from sextant_client import Client
from sextant_client.testing import InMemoryTransport
from sextant_export.canary import Canary
from sextant_export.gate import gate_of
from sextant_export.known_cases import KnownCases
from sextant_export.narration import Silence
from sextant_export.pipeline import Calibration, Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.canary.arms import ServedArms
from sextant_promote.canary.observations import ArmCounts, Observed
from sextant_promote.canary.questions import BATCH, Questions, missed, questions, wrong
from sextant_promote.canary.trial import tried
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet, Server

NOWHERE = Registry("sqlite://")
"""It is asked for nothing but a dataset that was logged with a run."""


class Arms:
    """Arms that answer 100 requests a look, by the candidate's share; *faulty* says when the candidate errs on all."""

    def __init__(self, *, faulty=lambda weight: False, requests=100, known=None, difference=0.0, fails=None):
        self.faulty, self.a_look, self.known = faulty, requests, known or {}
        self.difference, self.fails = difference, fails
        self.weights, self.counts, self.looks = [], np.zeros((2, 2), dtype=int), 0

    def route(self, weight):
        self.weights.append(weight)

    def unroute(self):
        self.weights.append("ensemble")

    def observe(self):
        self.looks += 1
        if self.fails is not None:
            raise self.fails
        candidate = round(self.a_look * self.weights[-1])
        errors = candidate if self.faulty(self.weights[-1]) else 0
        self.counts += [[self.a_look - candidate, 0], [candidate, errors]]
        serving, tried_out = (counted(*row) for row in self.counts.tolist())
        return Observed(serving=serving, candidate=tried_out, compared=0, differing=0)

    def ask(self):
        return np.full(5 if self.looks < 100 else 0, self.difference) if self.known else np.zeros(0)


def counted(requests, errors):
    return ArmCounts(
        requests=requests, errors=errors, within={10.0: 8 * (requests - errors) // 10, inf: requests - errors}
    )


class Pace:
    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds

    def wait(self, seconds):
        self.seconds += seconds


class Told:
    """A narrator that remembers."""

    def __init__(self):
        self.lines = []

    @contextmanager
    def step(self, title):
        self.lines.append(title)
        yield self

    def result(self, text):
        self.lines.append(text)


def verdict(arms, canary=Canary(), narrator=None):  # noqa: B008  it is frozen
    return tried(canary, arms, "locate.r8", narrator or Silence(), Pace())


def test_a_sound_candidate_goes_through_all_steps():
    arms, told = Arms(known={"wrong": 500}), Told()

    found = verdict(arms, narrator=told)

    assert found.outcome == "advance"
    assert arms.weights == [0.05, 0.25, 0.5, "ensemble"]
    assert told.lines[::2] == [f"try locate.r8 on {share}% of requests" for share in (5, 25, 50)]
    assert all(line.startswith("advance: no worse by its margins") for line in told.lines[1::2])


def test_a_fault_is_rolled_back_at_the_step_where_it_shows():
    arms, told = Arms(faulty=lambda weight: weight > 0.1), Told()

    found = verdict(arms, narrator=told)

    assert found.outcome == "roll back"
    assert arms.weights == [0.05, 0.25, "ensemble"]
    assert told.lines[-1] == f"roll back: {found.reason}"
    assert found.reason.startswith("errors")


def test_known_cases_alone_can_turn_it_back():
    arms = Arms(known={"missed": 500}, difference=1.0)

    assert verdict(arms).reason == "missed +100.0 points on 10 known cases"


def test_what_nobody_asks_is_undecided():
    arms = Arms(requests=0)

    found = verdict(arms, Canary(at_most_s=20.0))

    assert found.outcome == "undecided"
    assert found.reason == (
        "20 s were not enough: fewer than 50 answers of the serving arm: too few to say what is usual"
    )
    assert arms.looks == 21
    assert arms.weights == [0.05, "ensemble"]


def test_what_cannot_be_seen_for_a_moment_is_looked_at_again():
    class Blinking(Arms):
        def observe(self):
            seen = super().observe()
            return None if self.looks % 2 else seen

    assert verdict(Blinking()).outcome == "advance"


def test_a_shadow_is_tried_on_no_request():
    arms, told = Arms(), Told()

    verdict(arms, Canary(weights=(), shadow=0.2, at_most_s=3.0), told)

    assert arms.weights == [0.0, "ensemble"]
    assert told.lines[0] == "try locate.r8 on a shadow of 20% of requests"


@pytest.mark.parametrize(
    "error", [ServerUnreachable("gone"), KeyboardInterrupt()], ids=lambda error: type(error).__name__
)
def test_whatever_ends_a_trial_the_ensemble_is_back(error):
    arms = Arms(fails=error)

    with pytest.raises(type(error)):
        verdict(arms)

    assert arms.weights == [0.05, "ensemble"]


class Stuck(Arms):
    """A server dies while the router is to be taken back."""

    def unroute(self):
        raise ServerUnreachable("b is away")


def test_a_fault_is_told_though_the_router_is_not_taken_back_everywhere():
    """Else the same candidate would be tried on callers again."""
    found = verdict(Stuck(faulty=lambda _: True))

    assert found.outcome == "roll back"
    assert found.reason.startswith("errors ")
    assert found.reason.endswith("; its router is not taken back everywhere: b is away")


def test_a_sound_candidate_does_not_serve_where_the_router_is_not_taken_back():
    with pytest.raises(ServerUnreachable, match="b is away"):
        verdict(Stuck())


def test_a_router_that_does_not_load_leaves_the_ensemble():
    class Broken(Arms):
        def route(self, weight):
            raise ModelFailed("no")

    arms = Broken()
    with pytest.raises(ModelFailed):
        verdict(arms)

    assert arms.weights == ["ensemble"]


def test_a_verdict_goes_into_a_receipt():
    found = verdict(Arms(known={"wrong": 500}))

    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    assert set(found.evidence) == {"errors", "slow", "wrong"}


def zones(right, fails=None):
    """A label pipeline that knows the zone of the first *right* rows; it *fails* where it is asked for the last row."""

    def answer(features):
        if fails and (features[:, 0] == 39).any():
            raise fails
        rows = len(features)
        known = features[:, 0] < right
        return {
            "label": np.where(known, b"hall", b"yard").astype(object)[:, None],
            "probabilities": np.tile(np.float32([0.5, 0.5]), (rows, 1)),
            "agreement": np.ones((rows, 1), np.float32),
            "confidence": np.ones((rows, 1), np.float32),
            "tied": np.zeros((rows, 1), bool),
        }

    return answer


def release(number, **facts):
    return Receipt(
        pipeline="zone",
        release=number,
        identity="",
        created="",
        members={},
        calibration=None,
        models=(),
        introduced=(),
        ensemble="",
        tools={},
        **{"spec": {}, "blocks": {}, **facts},
    )


def asked(serving, candidate):
    """40 cases, all of whose zones are the hall."""
    features = np.arange(40, dtype=np.float32)[:, None]
    cases = KnownCases(features=features, truth=np.array(["hall"] * 40, dtype=object), sha256="")
    client = Client(transport=InMemoryTransport({"zone.r1": serving, "zone.r2": candidate}))
    return Questions(client, release(1), release(2), cases, wrong, seed=3)


def test_each_known_case_is_asked_once_in_a_random_order():
    """The serving arm alone is wrong on 30 and more, the candidate on none."""
    questions = asked(zones(30), zones(40))
    batches = [questions.next() for _ in range(4)]

    assert [len(batch) for batch in batches] == [BATCH, BATCH, 40 - 2 * BATCH, 0]
    assert np.concatenate(batches).sum() == -10
    assert batches[0].any()


def test_a_case_that_a_release_fails_on_was_answered_badly_and_no_other():
    """Whichever release it is; a case that both fail on says nothing of either."""
    said = {
        "candidate": asked(zones(40), zones(40, ModelFailed("it broke"))),
        "serving": asked(zones(40, RequestRefused("no")), zones(40)),
        "both": asked(zones(40, RequestRefused("no")), zones(40, RequestRefused("no"))),
    }

    sums = {who: sum(questions.next().sum() for _ in range(3)) for who, questions in said.items()}

    assert sums == {"candidate": 1, "serving": -1, "both": 0}


@pytest.mark.parametrize("error", [ServerUnreachable, ModelNotReady, DeadlineExceeded], ids=lambda kind: kind.__name__)
def test_a_server_that_is_away_says_nothing_of_its_cases(error):
    """They are asked when it is back."""
    away = asked(zones(40), zones(40, error("not now")))

    assert sum(len(away.next()) for _ in range(9)) < 40


def located(level):
    """A fix that is 20 m from the truth, its ellipses circles of 10 m and 30 m around it."""
    (fix,) = fixes(
        {
            "position": np.array([[52.0, 13.0]]),
            "covariance": np.eye(2)[None],
            "confidence_level": np.array([[0.5, 0.95]]),
            "ellipse": np.array([[[10.0, 10.0, 0.0], [30.0, 30.0, 0.0]]]),
        }
    )
    return missed([fix], np.array([[52.0 + 20 / 111_000, 13.0]]), level)


def test_missed_is_outside_the_ellipse_of_the_level():
    assert not located(0.95).any()
    assert located(0.5).all()


def page(tmp_path, answer="position", per=None, gate=None):
    """A spec with a file of known cases, and the gates *gate*."""
    np.savez(
        tmp_path / "cases.npz",
        features=np.zeros((4, 2)),
        latitude=np.zeros(4),
        longitude=np.zeros(4),
        floor=[1, 1, 2, 2],
    )
    calibration = Calibration(data=tmp_path / "cases.npz", truth=("latitude", "longitude"), per=per)
    return Pipeline(name="zone", answer=answer, members={}, steps=(), calibration=calibration, gate=gate)


def with_levels(number, *levels, **facts):
    return release(number, blocks={"ellipse": {"confidence_levels": list(levels)}}, **facts)


def asks(pipeline, serving, candidate):
    """Whether there is anything to ask of the two releases, and by which level fixes are judged."""
    with Client(transport=InMemoryTransport(zones(40))) as client:
        found = questions(pipeline, client, serving, candidate, NOWHERE)
    return found and found._serving._bad.keywords["level"]


def test_fixes_are_judged_by_the_highest_level_that_both_releases_have(tmp_path):
    assert asks(page(tmp_path), with_levels(1, 0.5, 0.9), with_levels(2, 0.5, 0.9, 0.95)) == 0.9


def test_the_level_of_the_gate_comes_first(tmp_path):
    gate = gate_of({"coverage": {"level": 0.5, "at_least": 0.4}}, tmp_path)

    assert asks(page(tmp_path, gate=gate), with_levels(1, 0.5, 0.9), with_levels(2, 0.5, 0.9)) == 0.5


@pytest.mark.parametrize("answer", ["record", "tensors"])
def test_what_is_neither_right_nor_wrong_is_not_asked(tmp_path, answer):
    assert asks(page(tmp_path, answer=answer), with_levels(1, 0.5), with_levels(2, 0.5)) is None


def test_releases_that_cannot_be_compared_are_not_asked(tmp_path):
    """They have no level in common, or one wants to be told what this spec does not know."""
    other = {"calibration": {"per": {"column": "floor"}}}

    assert asks(page(tmp_path), with_levels(1, 0.5), with_levels(2, 0.9)) is None
    assert asks(page(tmp_path), with_levels(1, 0.5, spec=other), with_levels(2, 0.5)) is None
    assert asks(page(tmp_path, per={"column": "floor"}), with_levels(1, 0.5), with_levels(2, 0.5, spec=other)) == 0.5


def test_a_release_is_told_the_group_of_each_row_where_it_asks_for_it():
    cases = KnownCases(
        features=np.zeros((4, 1), np.float32),
        truth=np.array(["hall"] * 4, dtype=object),
        sha256="",
        apart=np.array(["1", "1", "2", "2"], dtype=object),
    )

    def grouped(features, group):
        return zones(1)(np.where(group == b"1", 0.0, 1.0).astype(np.float32))

    functions = {"zone.r1": zones(9), "zone.r2": grouped}
    client = Client(transport=InMemoryTransport(functions, inputs={"group": "BYTES [1]"}))
    per_floor = release(2, spec={"calibration": {"per": {"column": "floor"}}})

    assert sorted(Questions(client, release(1), per_floor, cases, wrong, seed=1).next()) == [0, 0, 1, 1]


def test_without_known_cases_nothing_is_asked():
    bare = Pipeline(name="zone", answer="label", members={}, steps=())

    with Client(transport=InMemoryTransport(zones(40))) as client:
        assert questions(bare, client, release(1), release(2), NOWHERE) is None


def test_the_gates_own_rows_come_before_those_of_the_calibration(tmp_path):
    """Nothing was fitted on them."""
    np.savez(tmp_path / "held_back.npz", features=np.zeros((7, 2)), latitude=np.zeros(7), longitude=np.zeros(7))
    gate = gate_of({"data": {"file": "held_back.npz"}}, tmp_path, ("latitude", "longitude"))

    with Client(transport=InMemoryTransport(zones(40))) as client:
        found = questions(page(tmp_path, gate=gate), client, with_levels(1, 0.9), with_levels(2, 0.9), NOWHERE)

    assert len(found) == 7


def test_a_fleet_without_metrics_is_refused(tmp_path):
    """A trial would not see what happens at one of its servers."""
    store = Store(tmp_path)

    with Control("grpc://127.0.0.1:1") as one, Control("grpc://127.0.0.1:2") as other:
        fleet = Fleet(store, [Server(one), Server(other, "http://127.0.0.1:3/metrics")])
        with pytest.raises(AddressRefused, match="where the metrics of grpc://127.0.0.1:1 are, so that a trial"):
            ServedArms(page(tmp_path), store, fleet, release(1), release(2), NOWHERE)
