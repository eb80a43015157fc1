"""Which arm answers, and what an arm's error is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from sextant.blocks.route import Route
from sextant.errors import ParametersError
from sextant.routing import CANDIDATE, SERVING, arm, code_of, forwarded, key_of, place
from sextant.shadow import alike

PARAMETERS = {"pipeline": "locate", "serving": 7, "candidate": 8}


def test_places_are_spread_evenly():
    """No worse than 10,000 numbers of a uniform distribution are in all but one of 10,000 cases."""
    assert kstest([place(f"caller {i}") for i in range(10_000)], "uniform").pvalue > 1e-4


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_who_is_with_the_candidate_stays_when_the_weight_grows(key, one, other):
    small, large = sorted((one, other))

    assert 0 <= place(key) < 1
    assert arm(place(key), small) == SERVING or arm(place(key), large) == CANDIDATE


@pytest.mark.parametrize(("weight", "arms"), [(0.0, {SERVING}), (1.0, {CANDIDATE})])
def test_nothing_and_everything_are_exact(weight, arms):
    route = Route({**PARAMETERS, "weight": weight})

    assert {route.arm({}, "") for _ in range(1000)} == arms


def test_another_candidate_is_tried_on_other_callers():
    """So that not the same ones are always the first."""
    callers = [f"caller {i}" for i in range(1000)]
    first, second = (
        {caller for caller in callers if Route({**PARAMETERS, **changed}).arm({"route_key": caller}, "") == CANDIDATE}
        for changed in ({"weight": 0.1}, {"weight": 0.1, "candidate": 9})
    )

    assert len(first & second) < len(first) / 2


def test_two_processes_of_a_router_take_other_turns():
    """Else what one gives the candidate by chance, all would give."""
    one, other = (Route({**PARAMETERS, "weight": 0.5}, nonce) for nonce in ("one", "other"))

    assert [one.arm({}, "") for _ in range(64)] != [other.arm({}, "") for _ in range(64)]


def test_a_key_an_id_and_a_turn_are_never_taken_for_one_another():
    assert len({key_of({"route_key": "3"}, "3", "3"), key_of({}, "3", "3"), key_of({}, "", "3")}) == 3


def test_what_triton_keeps_for_itself_is_not_forwarded():
    kept = {"sequence_id": 1, "sequence_start": True, "priority": 1, "timeout": 2, "headers": "", "triton_x": 1}

    assert forwarded({**kept, "binary_data_output": True, "route_key": "anna", "temperature": 3}) == {
        "route_key": "anna",
        "temperature": 3,
    }


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("in ensemble 'locate.r2', features: expected 8 columns, got 7", "INVALID_ARG"),
        ("in ensemble 'locate.r2', row 3: 2 of 7 members vote, too few", "INVALID_ARG"),
        ("in ensemble 'locate.r2', locate.fuse broke: KeyError('x')", "INTERNAL"),
        ("in ensemble 'locate.r2', its predict raised ValueError: no", "INTERNAL"),
        ("in ensemble 'locate.r2', its answer has 'a', and its signature promises 'b'", "INTERNAL"),
        ("in ensemble 'locate.r2', onnx runtime error 2: not enough memory", "INTERNAL"),
        ("Failed for execute the inference request. Model 'locate.r2' is not ready.", "UNAVAILABLE"),
        ("in ensemble 'locate.r2', Exceeds maximum queue size", "UNAVAILABLE"),
        ("what nobody has said before", "INTERNAL"),
    ],
)
def test_the_words_of_an_error_say_its_code(sentence, code):
    assert code_of(sentence) == code


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"weight": 1.5}, "weight: expected a share from 0 to 1, got 1.5"),
        ({"shadow": -1}, "shadow: expected a share from 0 to 1, got -1"),
        ({"serving": 0}, "serving: expected a whole number from 1 on, got 0"),
        ({"pipeline": ""}, "pipeline: expected its name, got ''"),
        ({"wieght": 0.5}, "wieght: unknown; did you mean 'weight'?"),
    ],
)
def test_wrong_parameters_are_named(wrong, sentence):
    with pytest.raises(ParametersError) as refused:
        Route({**PARAMETERS, **wrong})

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"y": np.array([1.0000001]), "release": np.array([2])}, True),
        ({"y": np.array([1.1]), "release": np.array([1])}, False),
        ({"y": np.array([1.0]), "z": np.array([1])}, False),
        ({"y": np.array([[1.0]])}, False),
        ({"y": np.array([1])}, False),
        ({"y": np.array([np.nan])}, False),
    ],
)
def test_answers_are_alike_but_for_their_release(other, same):
    assert alike({"y": np.array([1.0]), "release": np.array([1])}, other, 1e-5) is same


def test_texts_and_numbers_that_are_none_are_compared():
    one = {"label": np.array([b"cat"], object), "confidence": np.array([np.nan])}

    assert alike(one, {**one}, 1e-5)
    assert not alike(one, {**one, "label": np.array([b"dog"], object)}, 1e-5)
