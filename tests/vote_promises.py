"""What the block ``vote`` promises, each written once and asked through every door."""

from __future__ import annotations

import numpy as np
import pytest

from block_doors import RefusedError

CLASSES = ["cat", "dog", "owl"]
LABELS = {
    "members": ["oak", "elm", "ash"],
    "slots": {f"label_{i}": "BYTES" for i in range(3)},
    "classes": CLASSES,
    "release": 7,
}
SOFT = {**LABELS, "method": "soft", "slots": {f"probabilities_{i}": "FP32" for i in range(3)}}
NAN = float("nan")


def said(*rows):
    """The labels of the members, a row each."""
    return {f"label_{i}": np.array([[row[i]] for row in rows], object) for i in range(len(rows[0]))}


def sure(*rows, dtype=np.float32):
    """The probabilities of the members, a row each."""
    return {f"probabilities_{i}": np.array([row[i] for row in rows], dtype) for i in range(len(rows[0]))}


def vote_answers_the_class_that_most_members_name(door):
    answer = door("vote", LABELS, said([b"dog", b"cat", b"dog"], [b"owl", b"owl", b"owl"]))

    assert answer["label"].tolist() == [[b"dog"], [b"owl"]]
    assert answer["probabilities"].round(3).tolist() == pytest.approx(
        np.array([[1 / 3, 2 / 3, 0], [0, 0, 1]]), abs=1e-3
    )
    assert answer["agreement"].ravel() == pytest.approx([2 / 3, 1])
    assert (answer["tied"].tolist(), answer["members_used"].tolist()) == ([[False]] * 2, [[3]] * 2)
    assert (answer["release"].tolist(), answer["calibrated"].tolist()) == ([[7]] * 2, [[False]] * 2)


def vote_is_as_sure_as_the_count_where_nothing_was_measured(door):
    """100 (n + 1) / (K + 2): three of three is 80, and never 100."""
    answer = door("vote", LABELS, said([b"cat", b"cat", b"cat"], [b"cat", b"cat", b"dog"], [b"cat", b"cat", b""]))

    assert answer["confidence"].ravel() == pytest.approx([80, 60, 60])


def vote_gives_a_tie_to_the_first_member_and_says_so(door):
    """Three members, three classes: the first in the order of the spec decides."""
    answer = door("vote", LABELS, said([b"owl", b"cat", b"dog"], [b"dog", b"owl", b"cat"]))

    assert answer["label"].tolist() == [[b"owl"], [b"dog"]]
    assert answer["tied"].tolist() == [[True], [True]]


def vote_counts_whoever_abstains_against_the_agreement(door):
    """Empty, or a class there is none of: two of three, for two of two."""
    answer = door("vote", LABELS, said([b"dog", b"", b"dog"], [b"dog", b"zebra", b"dog"]))

    assert answer["agreement"].ravel() == pytest.approx([2 / 3] * 2)
    assert (answer["members_used"].tolist(), answer["label"].tolist()) == ([[2]] * 2, [[b"dog"]] * 2)


def vote_refuses_a_row_on_which_too_few_members_vote(door):
    with pytest.raises(RefusedError, match="members: expected votes of at least 2 of 3, got 1 in row 1: the others"):
        door("vote", LABELS, said([b"dog", b"dog", b""], [b"dog", b"", b"zebra"]))


def vote_takes_the_quorum_it_is_told(door):
    one = door("vote", {**LABELS, "quorum": 1}, said([b"", b"", b"owl"]))

    assert (one["label"].tolist(), one["agreement"].ravel()) == ([[b"owl"]], pytest.approx([1 / 3]))
    with pytest.raises(RefusedError, match="at least 3 of 3, got 2 in row 0"):
        door("vote", {**LABELS, "quorum": 3}, said([b"owl", b"", b"owl"]))


def vote_pools_probabilities_softly(door):
    answer = door("vote", SOFT, sure([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.0, 0.9, 0.1]]))

    assert answer["label"].tolist() == [[b"dog"]]
    assert answer["probabilities"] == pytest.approx(np.array([[1 / 3, 1.7 / 3, 0.1]]), abs=1e-6)
    assert answer["agreement"].ravel() == pytest.approx([1 / 3])


def vote_leaves_out_a_member_without_numbers(door):
    answer = door("vote", SOFT, sure([[0.6, 0.3, 0.1], [NAN, NAN, NAN], [0.2, 0.7, 0.1]]))

    assert answer["probabilities"] == pytest.approx(np.array([[0.4, 0.5, 0.1]]), abs=1e-6)
    assert (answer["members_used"].tolist(), answer["agreement"].ravel()) == ([[2]], pytest.approx([1 / 3]))


def vote_reads_columns_in_the_order_they_come_in(door):
    """The second member was trained on owl, cat, dog."""
    orders = {**SOFT, "orders": {"probabilities_1": [2, 0, 1]}}

    answer = door("vote", orders, sure([[0.9, 0.1, 0.0], [0.0, 0.9, 0.1], [0.8, 0.1, 0.1]]))

    assert (answer["label"].tolist(), answer["agreement"].tolist()) == ([[b"cat"]], [[1.0]])


def vote_weighs_members(door):
    """By weights .1, .2, .3 the votes A, A, B are a tie, which the count of votes decides."""
    weighted = {**LABELS, "method": "weighted", "weights": [0.1, 0.2, 0.3]}

    answer = door("vote", weighted, said([b"cat", b"cat", b"dog"], [b"cat", b"owl", b"dog"]))

    assert (answer["label"].tolist(), answer["tied"].tolist()) == ([[b"cat"], [b"dog"]], [[True], [False]])
    assert answer["probabilities"][1] == pytest.approx([1 / 6, 1 / 2, 1 / 3])


def vote_knows_how_each_member_errs(door):
    """The third calls dogs owls: its word for an owl is evidence of a dog."""
    honest = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    swapping = [[0.8, 0.1, 0.1], [0.02, 0.03, 0.95], [0.1, 0.8, 0.1]]
    learned = {"confusion": [honest, honest, swapping], "prior": [1 / 3] * 3}

    answer = door("vote", {**LABELS, "method": "dawid_skene", **learned}, said([b"dog", b"owl", b"owl"]))

    assert answer["label"].tolist() == [[b"dog"]]
    assert answer["probabilities"].ravel() == pytest.approx(np.array([1, 76, 8]) / 85, abs=1e-6)


def vote_calibrates_what_was_pooled(door):
    """A temperature of 2 takes the square root of the odds; the winner's probability is the confidence."""
    calibrated = {**SOFT, "confidence": {"kind": "temperature", "temperature": 2.0}}

    answer = door("vote", calibrated, sure([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.9, 0.1, 0.0]]))

    assert answer["confidence"].ravel() == pytest.approx([75], abs=0.1)
    assert answer["probabilities"].max() == pytest.approx(0.75, abs=1e-3)
    assert answer["calibrated"].tolist() == [[True]]


def vote_reads_a_confidence_off_its_agreement(door):
    line = {"kind": "isotonic", "of": "agreement", "x": [0.3, 0.7, 1.0], "y": [0.2, 0.5, 0.9]}

    answer = door("vote", {**LABELS, "confidence": line}, said([b"cat"] * 3))

    assert (answer["confidence"].ravel(), answer["probabilities"].tolist()) == (pytest.approx([90]), [[1, 0, 0]])


def vote_gives_sets_of_classes(door):
    sets = {**SOFT, "confidence_levels": [0.5, 0.9], "thresholds": [0.4, 0.15]}

    answer = door("vote", sets, sure([[0.6, 0.3, 0.1]] * 3, [[0.34, 0.33, 0.33]] * 3))

    assert answer["prediction_set"].tolist() == [
        [[True, False, False], [True, True, False]],
        [[True, False, False], [True, True, True]],
    ]
    assert answer["confidence_level"].tolist() == [[0.5, 0.9]] * 2


def vote_without_thresholds_leaves_no_class_out(door):
    answer = door("vote", {**LABELS, "confidence_levels": [0.5, 0.9]}, said([b"cat"] * 3))

    assert answer["prediction_set"].tolist() == [[[True] * 3] * 2]


def vote_takes_whole_numbers(door):
    numbered = {**LABELS, "classes": [0, 2, 1], "slots": {"label_0": "INT64", "label_1": "INT32", "label_2": "INT64"}}
    votes = {"label_0": np.array([[2]]), "label_1": np.array([[2]], np.int32), "label_2": np.array([[1]])}

    answer = door("vote", numbered, votes)

    assert (answer["label"].tolist(), answer["label"].dtype) == ([[2]], np.int64)
    assert answer["probabilities"].ravel() == pytest.approx([0, 2 / 3, 1 / 3])


def vote_takes_a_label_and_its_probabilities_together(door):
    """The label is the vote; where the probabilities are none, the member failed."""
    both = {**LABELS, "slots": {**LABELS["slots"], "probabilities_1": "FP64"}}

    tie = door("vote", both, {**said([b"cat", b"dog", b"owl"]), "probabilities_1": np.array([[0.1, 0.7, 0.2]])})
    failed = door("vote", both, {**said([b"cat", b"dog", b"cat"]), "probabilities_1": np.array([[NAN] * 3])})

    assert (tie["label"].tolist(), tie["tied"].tolist()) == ([[b"dog"]], [[True]])
    assert (failed["label"].tolist(), failed["members_used"].tolist()) == ([[b"cat"]], [[2]])


def vote_says_which_member_is_missing(door):
    given = said([b"cat", b"cat", b"cat"])
    del given["label_2"]

    with pytest.raises(RefusedError, match="label_2: expected the answers of member 'ash', got none"):
        door("vote", LABELS, given)


def vote_counts_recorded_votes(door):
    """Of five workers three were asked; agreement is among those."""
    recorded = {"workers": 5, "classes": CLASSES, "release": 1}

    answer = door("vote", recorded, {"votes": np.array([[-1, 2, 2, -1, 0]])})

    assert (answer["label"].tolist(), answer["members_used"].tolist()) == ([[b"owl"]], [[3]])
    assert answer["agreement"].ravel() == pytest.approx([2 / 3])


def vote_refuses_a_recorded_vote_for_no_class(door):
    recorded = {"workers": 3, "classes": CLASSES, "release": 1}

    with pytest.raises(RefusedError, match="votes: expected classes from 0 to 2, or -1, got 3 in row 1, worker 2"):
        door("vote", recorded, {"votes": np.array([[0, 0, 0], [0, 1, 3]])})
    with pytest.raises(RefusedError, match="members: expected votes of at least 1 of 3, got 0 in row 0"):
        door("vote", recorded, {"votes": np.array([[-1, -1, -1]])})


PROMISES = [promise for name, promise in sorted(globals().items()) if name.startswith("vote_")]
