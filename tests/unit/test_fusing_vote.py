"""The vote as nodes of a graph: the same winner, the same ties and their breaking, the same sureness."""

from __future__ import annotations

import numpy as np
import pytest

from graph_door import GraphDoor, text
from sextant.blocks import Vote
from sextant_export.fusing.steps import obstacle

RANDOM = np.random.default_rng(20260)
ROWS = 600
CLASSES = ["cat", "dog", "emu", "fox"]
CONFUSION = [[[0.7 if i == j else 0.1 for j in range(4)] for i in range(4)] for _ in range(3)]


def probabilities(classes=4):
    """Some of them even, one row NaN, one negative, one not of sum one: members that gave none."""
    given = RANDOM.dirichlet(np.ones(classes), ROWS).astype(np.float32)
    given[:40] = 1 / classes
    given[40:44] = [[np.nan] * classes, [-0.5, 0.5, 0.5, 0.5], [0.9] * classes, np.eye(classes)[0]]
    return given


def words(names=(*CLASSES, "gnu", "")):
    return text(RANDOM.choice(names, ROWS).tolist())


def parameters(tensors, **more):
    types = {np.dtype(object): "BYTES", np.dtype(np.int64): "INT64", np.dtype(np.float32): "FP32"}
    slots = {name: types[array.dtype] for name, array in tensors.items()}
    return {"members": list("abc"), "slots": slots, "classes": CLASSES, "release": 3, "quorum": 1, **more}


LABELS = {f"label_{i}": words() for i in range(3)}
SURE = {f"probabilities_{i}": probabilities() for i in range(3)}
BOTH = {**LABELS, "probabilities_1": probabilities()}

VOTES = [
    (LABELS, {}),
    (LABELS, {"quorum": 3}),
    (LABELS, {"method": "weighted", "weights": [0.1, 0.2, 0.3]}),
    (LABELS, {"method": "weighted", "weights": {"c": 0.1, "a": 0.2, "b": 0.4}}),
    (LABELS, {"method": "dawid_skene", "confusion": CONFUSION, "prior": [0.4, 0.3, 0.2, 0.1]}),
    (LABELS, {"method": "dawid_skene", "accuracies": [0.9, 0.6, 0.6], "prior": [0.25] * 4, "errors": "one_coin"}),
    (SURE, {"method": "soft"}),
    (SURE, {"method": "soft", "pool": "geometric", "weights": [1, 2, 0]}),
    (SURE, {"method": "soft", "weights": {"c": 0, "a": 1, "b": 2}}),
    (SURE, {"method": "soft", "orders": {"probabilities_1": [2, 0, 1, 3]}}),
    (BOTH, {}),
    (BOTH, {"method": "weighted", "weights": [1, 1, 1]}),
]


@pytest.mark.parametrize(("tensors", "more"), VOTES, ids=[str(more) for _, more in VOTES])
def test_the_vote_is_the_same(tensors, more):
    """Abstentions, unknown words, even probabilities and broken ones among the ballots."""
    differences = GraphDoor("vote", parameters(tensors, **more), tensors).differences(tensors)

    assert {name: differences.pop(name) for name in ("label", "tied", "members_used")} == {
        "label": 0,
        "tied": 0,
        "members_used": 0,
    }
    assert max(differences.values()) < 1e-5


def test_ties_are_there_and_broken_as_the_block_breaks_them():
    """Three voters for four classes: a third of the rows."""
    door = GraphDoor("vote", parameters(LABELS), LABELS)

    given, _ = door.ask(LABELS)

    assert 0.2 < given["tied"].mean() < 0.8
    assert door.differences(LABELS)["label"] == 0


MAPS = [
    {"kind": "temperature", "temperature": 1.7},
    {"kind": "isotonic", "of": "agreement", "x": [0.2, 0.4, 0.4, 0.9], "y": [0.1, 0.3, 0.5, 0.95]},
    {"kind": "isotonic", "of": "margin", "x": [0.0, 1.0], "y": [0.2, 0.9]},
    {"kind": "isotonic", "of": "top_probability", "x": [0.5], "y": [0.7]},
]


@pytest.mark.parametrize("page", MAPS, ids=lambda page: f"{page['kind']} {page.get('of', '')}")
def test_the_confidence_is_the_same(page):
    """By a temperature, and read off a line, below and beyond its knots and where two stand upon each other."""
    given = parameters(SURE, method="soft", confidence=page, confidence_levels=[0.8, 0.95], thresholds=[0.4, 0.1])

    differences = GraphDoor("vote", given, SURE).differences(SURE)

    assert (differences["label"], differences["prediction_set"], differences["calibrated"]) == (0, 0, 0)
    assert (differences["confidence"] < 1e-4, differences["probabilities"] < 1e-6) == (True, True)


def test_without_thresholds_every_class_is_in_every_set():
    """As the block says it."""
    given = parameters(LABELS, confidence_levels=[0.8, 0.95])

    assert GraphDoor("vote", given, LABELS).differences(LABELS)["prediction_set"] == 0


def test_classes_may_be_whole_numbers():
    """Compared as numbers, whichever way round they are listed."""
    tensors = {f"label_{i}": RANDOM.choice([7, 3, 1, 9], (ROWS, 1)).astype(np.int64) for i in range(3)}

    differences = GraphDoor("vote", parameters(tensors, classes=[7, 3, 1]), tensors).differences(tensors)

    assert differences["label"] == 0


def test_a_row_on_which_too_few_vote_is_refused_alone():
    """Its neighbours are answered."""
    tensors = {
        "label_0": text(["cat", "", "dog"]),
        "label_1": text(["cat", "dog", ""]),
        "label_2": text(["", "", "dog"]),
    }
    given = parameters(tensors) | {"quorum": None}

    _, refused = GraphDoor("vote", given, tensors).ask(tensors)

    assert refused.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("more", "reason"),
    [({"workers": 5}, "workers"), ({"classes": [1, 2, 3, 4]}, "its classes are whole numbers, and label_0 is BYTES")],
)
def test_a_vote_that_cannot_be_nodes_is_left_with_the_reason(more, reason):
    """The compiler never guesses."""
    assert reason in obstacle("vote", parameters(LABELS, **more))


def test_the_block_itself_takes_these_parameters():
    """Or the comparison above would be of nothing."""
    assert Vote(parameters(LABELS)).outputs[0].name == "label"
