"""Two of the three doors into the block ``vote``, and what its parameters may not say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from block_doors import shell, through_the_function, through_the_shell
from fake_pb_utils import InferenceRequest
from sextant.blocks import BLOCKS, Vote
from sextant.dawid_skene import evidence, fit_dawid_skene
from sextant.errors import InputRefused, ParametersError
from sextant.vote import plurality
from vote_promises import LABELS, NAN, PROMISES, SOFT, said, sure

CROWD = {"workers": 3, "classes": LABELS["classes"], "release": 7}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("door", ["function", "shell"])
def test_the_vote_keeps_its_promise(door, promise, tmp_path):
    promise(through_the_function if door == "function" else through_the_shell(tmp_path))


@pytest.mark.parametrize("parameters", [LABELS, SOFT, {**SOFT, "confidence_levels": [0.5, 0.9]}])
def test_an_instance_declares_what_it_answers(parameters):
    """Its types and dims are exact: they become the pipeline's."""
    block = Vote(parameters)
    tensors = said(*[["cat", "dog", "cat"]] * 4) if parameters is LABELS else sure(*[[[0.5, 0.25, 0.25]] * 3] * 4)

    answer = block(**tensors)

    assert list(answer) == [tensor.name for tensor in block.outputs]
    for tensor in block.outputs:
        assert answer[tensor.name].dtype == tensor.numpy_type
        assert answer[tensor.name].shape == (4, *tensor.dims)
        assert answer[tensor.name].flags.c_contiguous


def test_releases_with_more_members_share_one_configuration():
    """Triton keeps one for all versions of a block: the inputs must not change with the number of members."""
    two = {**LABELS, "members": ["oak", "elm"], "slots": {f"label_{i}": "BYTES" for i in range(2)}}

    assert Vote(two).inputs == Vote(LABELS).inputs
    assert all(tensor.optional for tensor in Vote(two).inputs)


def test_in_a_batch_only_the_row_without_a_quorum_is_refused(tmp_path):
    """Triton gathered three callers; the second's members failed."""
    rows = [["cat", "cat", "dog"], ["cat", "", "zebra"], ["owl", "owl", "owl"]]
    requests = [InferenceRequest(said(row)) for row in rows]

    responses = shell(tmp_path, "vote", LABELS).respond(requests)

    assert [response.error is None for response in responses] == [True, False, True]
    assert "at least 2 of 3, got 1 in row 0" in responses[1].error.message()
    assert responses[2].arrays()["label"].tolist() == [[b"owl"]]


def test_a_row_is_answered_alike_alone_and_in_company():
    """Up to the last bit: a member's batch must not change what its neighbours are told."""
    probabilities = np.random.default_rng(3).dirichlet(np.ones(3), (64, 3)).astype(np.float32)
    block = Vote({**SOFT, "confidence": {"kind": "temperature", "temperature": 1.3}})
    together = block(**{f"probabilities_{i}": probabilities[:, i] for i in range(3)})

    for a, b in pairwise([0, 1, 2, 5, 17, 64]):
        alone = block(**{f"probabilities_{i}": probabilities[a:b, i] for i in range(3)})
        for name, array in alone.items():
            np.testing.assert_array_equal(array, together[name][a:b])


def test_uncalibrated_probabilities_are_what_was_pooled_to_the_bit():
    """Calibration fits on what the block gives without a map, and the served map is given the same."""
    tensors = sure([[0.61, 0.29, 0.1], [0.5, 0.2, 0.3], [0.7, 0.2, 0.1]])
    poll = Vote(SOFT).polled(**tensors)

    assert (Vote(SOFT)(**tensors)["probabilities"] == poll.shares.astype(np.float32)).all()


def test_crowds_are_voted_as_in_the_library():
    votes = np.random.default_rng(8).integers(-1, 3, (200, 30))
    fitted = fit_dawid_skene(votes, 3)
    recorded = {"workers": 30, "classes": ["a", "b", "c"], "release": 1}
    learned = {"method": "dawid_skene", "confusion": fitted.confusion.tolist(), "prior": fitted.prior.tolist()}

    counted, posterior = Vote(recorded)(votes=votes), Vote({**recorded, **learned})(votes=votes)

    assert counted["probabilities"] == pytest.approx(plurality(votes, 3).shares, abs=1e-7)
    assert posterior["probabilities"] == pytest.approx(fitted.posterior, abs=1e-5)
    assert evidence(fitted.confusion).shape == (30, 4, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "majority"}, "method: expected one of plurality, weighted, soft, dawid_skene, got 'majority'"),
        ({"method": "soft"}, "method: soft pools the probabilities of every member, and oak gives none"),
        ({"method": "weighted"}, "weights: expected one a member, given on the page or fitted on known cases"),
        ({"method": "weighted", "weights": [1, 2]}, "weights: expected 3 finite numbers"),
        ({"method": "weighted", "weights": [1, -2, 1]}, "weights: expected numbers from 0 on"),
        ({"method": "weighted", "weights": [0, 0, 0]}, "weights: .*not all 0"),
        ({"weights": [1, 2, 3]}, "weights: only of the methods weighted and soft, and this is plurality"),
        ({"method": "dawid_skene"}, "confusion: dawid_skene learns it from known cases"),
        ({"method": "dawid_skene", "accuracies": [0.9, 0.8, 0.7]}, "prior: dawid_skene learns it"),
        ({"method": "dawid_skene", "accuracies": [1.0, 0.8, 0.7], "prior": [0.3, 0.3, 0.4]}, "shares between 0 and 1"),
        ({"pool": "geometric"}, "pool: only of the method soft, and this is plurality"),
        ({"errors": "none"}, "errors: expected one of full, one_coin"),
        ({"errors": "one_coin"}, "errors: only of the method dawid_skene, and this is plurality"),
        ({"classes": [1, 2**63]}, "classes: expected whole numbers of 64 bits, got 9223372036854775808"),
        ({"quorum": 4}, "quorum: expected at most 3"),
        ({"quorum": 0}, "quorum: expected a whole number from 1 on"),
        ({"quorum": True}, "quorum: expected a whole number from 1 on"),
        ({"classes": ["cat"]}, "classes: expected the names of two or more"),
        ({"members": []}, "members: expected the names of 1 to 8"),
        ({"slots": {"label_0": "BYTES"}}, "slots: member 1 has none"),
        ({"slots": {"label_0": "FP32"}}, "slots: expected BYTES or INT64 or INT32 for label_0, got 'FP32'"),
        ({"slots": {"vote_0": "BYTES"}}, "slots: expected the types of some of label_0, probabilities_0"),
        ({"slots": None}, "slots: expected the types"),
        ({"orders": {"probabilities_0": [0, 1, 2]}}, "orders: .*got .* for probabilities_0"),
        ({"confidence_levels": [95]}, "confidence_levels: expected levels between 0 and 1"),
        ({"confidence_levels": [0.9, 0.9]}, "confidence_levels: .* each once, got"),
        ({"orders": [0, 1, 2]}, r"orders: expected a mapping, got \[0, 1, 2\]"),
        ({"confidence": {"kind": "magic"}}, "confidence: expected a mapping of the kind temperature or isotonic"),
        ({"confidence_levels": [0.9], "thresholds": [0.1, 0.2]}, "thresholds: expected 1 finite numbers"),
        ({"release": 0}, "release: expected a whole number"),
        ({"workers": 0}, "workers: expected a whole number"),
        ({"workers": 3, "method": "soft"}, "method: soft pools the probabilities of every member, and worker 0"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(changed, message):
    with pytest.raises(ParametersError, match=message):
        Vote({**LABELS, **changed})


def test_orders_must_be_of_every_class_once():
    with pytest.raises(ParametersError, match="each class from 0 to 2 once"):
        Vote({**SOFT, "orders": {"probabilities_1": [0, 0, 1]}})


def test_nothing_offers_an_entropy_over_the_classes_that_were_named():
    """Science D1: divided by ln(distinct), (3, 1, 1) looks surer than (3, 2); an agreement has no such trap."""
    names = {tensor.name for tensor in Vote({**SOFT, "confidence_levels": [0.9]}).outputs}

    assert not {name for name in names if "entropy" in name}


def test_what_a_release_finds_is_not_asked_of_a_page():
    assert set(Vote.measured) <= set(Vote.parameters)
    assert "vote" in BLOCKS


@pytest.mark.parametrize(
    ("parameters", "tensors", "said_of_it"),
    [
        (
            LABELS,
            {"label_1": np.array([["cat"]] * 3, object)},
            "label_1: expected as many rows as label_0 has, 2, got 3",
        ),
        (
            SOFT,
            {"probabilities_2": np.ones((1, 3))},
            "probabilities_2: expected as many rows as probabilities_0 has, 2",
        ),
        (SOFT, {"probabilities_0": np.full((2, 3), "0.3")}, "probabilities_0: expected probabilities, got text"),
        (CROWD, {"votes": np.full((2, 3), "1")}, "votes: expected whole numbers, got text"),
        (CROWD, {"votes": np.full((2, 3), 0.7)}, "votes: expected whole numbers, got float64"),
    ],
)
def test_what_is_no_tensor_of_as_many_votes_is_refused(parameters, tensors, said_of_it):
    given = said(*[["cat"] * 3] * 2) if parameters is LABELS else sure(*[[[1, 0, 0]] * 3] * 2)

    with pytest.raises(InputRefused, match=said_of_it):
        Vote(parameters)(**{**({} if parameters is CROWD else given), **tensors})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            [-2.0, 7.5, 3.5],
            r"got 1 in row 0: 'oak' gave numbers from -2 to 7.5 that sum to 9, and probabilities are from",
        ),
        ([20.0, 30.0, 50.0], "got 1 in row 0: 'oak' gave numbers from 20 to 50 that sum to 100, and probabilities"),
        ([NAN, NAN, NAN], "got 1 in row 0: the others gave no class that is known"),
    ],
    ids=["logits", "percent", "failed"],
)
def test_what_is_no_probability_is_said_to_be_none(given, why):
    """Logits and percentages look like members that failed."""
    with pytest.raises(InputRefused, match=f"members: expected votes of at least 2 of 3, {why}"):
        Vote(SOFT)(**sure([given, given, [1.0, 0.0, 0.0]]))


def test_workers_who_were_not_asked_are_said_to_be():
    with pytest.raises(InputRefused, match="at least 2 of 3, got 1 in row 1: the others were not asked"):
        Vote({**CROWD, "quorum": 2})(votes=np.array([[0, 1, -1], [-1, 1, -1]]))


def test_weights_may_be_given_by_name():
    tensors = said([b"cat", b"dog", b"owl"], [b"cat", b"dog", b"dog"])
    weighted = {**LABELS, "method": "weighted"}

    by_name = Vote({**weighted, "weights": {"ash": 1, "oak": 2, "elm": 5}})(**tensors)

    in_order = Vote({**weighted, "weights": [2, 5, 1]})(**tensors)
    assert by_name["probabilities"].tolist() == in_order["probabilities"].tolist()
    with pytest.raises(ParametersError, match="weights: none for member 'ash'"):
        Vote({**weighted, "weights": {"oak": 2, "elm": 5}})
