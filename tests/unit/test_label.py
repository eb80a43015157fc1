"""A label as a caller holds it."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from sextant.answers import Label, from_tensors, kind
from sextant.blocks import Vote
from sextant.errors import ParametersError
from sextant_client import Client
from sextant_client.testing import InMemoryTransport
from vote_promises import CLASSES, SOFT, sure

SETS = {**SOFT, "confidence_levels": [0.5, 0.9], "thresholds": [0.4, 0.15]}
ROWS = ([[0.6, 0.3, 0.1]] * 3, [[0.34, 0.33, 0.33]] * 3)


@pytest.fixture
def tensors():
    """What the block answers to a row it is sure of, and one it is not."""
    return Vote(SETS)(**sure(*ROWS))


def test_each_row_becomes_a_label(tensors):
    first, second = from_tensors(tensors, CLASSES)

    assert kind(tensors) == "label"
    assert (first.label, first.agreement, first.members_used, first.release) == ("cat", 1.0, 3, 7)
    assert first.confidence == pytest.approx(80)
    assert (first.tied, first.calibrated) == (False, False)
    assert first.classes == ("cat", "dog", "owl")
    assert first.prediction_set(0.5) == ("cat",)
    assert first.prediction_set(0.9) == ("cat", "dog")
    assert second.prediction_set(0.9) == ("cat", "dog", "owl")


def test_values_are_pythons_own(tensors):
    label = from_tensors(tensors, CLASSES)[0]
    values = [label.label, label.agreement, label.tied, label.release, *label.probabilities, *label.sets[0]]

    assert {type(value) for value in values} <= {str, float, bool, int}


def test_whole_numbers_stay_whole_numbers():
    block = Vote({**SETS, "classes": [30, 10, 20]})

    label = from_tensors(block(**sure(*ROWS)), [30, 10, 20])[0]

    assert (label.label, type(label.label)) == (30, int)
    assert label.prediction_set(0.9) == (30, 10)


def test_a_label_survives_json(tensors):
    """Sets by their names."""
    plain = json.loads(json.dumps(from_tensors(tensors, CLASSES)[0].to_dict()))

    assert plain["sets"] == [["cat"], ["cat", "dog"]]
    assert (plain["label"], plain["classes"], plain["confidence_levels"]) == ("cat", CLASSES, [0.5, 0.9])


def test_sets_without_names_are_flags(tensors):
    """Where the server's configuration is closed to a caller, the flags are there still."""
    label = from_tensors(tensors)[0]

    assert label.to_dict()["sets"] == [[True, False, False], [True, True, False]]
    with pytest.raises(ValueError, match="the server does not say what its classes are called"):
        label.prediction_set(0.9)


def test_a_level_that_is_not_served_is_told_which_are(tensors):
    label = from_tensors(tensors, CLASSES)[0]
    without = from_tensors(Vote(SOFT)(**sure(*ROWS)), CLASSES)[0]

    with pytest.raises(ValueError, match=r"no prediction set at 0\.95: this pipeline answers 0\.5, 0\.9"):
        label.prediction_set(0.95)
    with pytest.raises(
        ValueError, match=r"no prediction set at 0\.95: this pipeline has none: write confidence_levels"
    ):
        without.prediction_set(0.95)


def test_a_label_is_a_value(tensors):
    assert from_tensors(tensors, CLASSES) == from_tensors(tensors, CLASSES)
    assert len({*from_tensors(tensors), *from_tensors(tensors)}) == 2
    with pytest.raises(FrozenInstanceError):
        from_tensors(tensors)[0].label = "dog"


def test_no_rows_are_no_labels(tensors):
    assert from_tensors({name: array[:0] for name, array in tensors.items()}) == []


def test_an_answer_of_before_there_were_sets_is_a_label_still():
    older = {
        "label": np.array([b"ship"], object),
        "probabilities": np.array([[0.75, 0.25]], np.float32),
        "agreement": np.array([1.0], np.float32),
        "confidence": np.array([88.0], np.float32),
        "tied": np.array([False]),
    }

    assert from_tensors(older) == [Label("ship", (0.75, 0.25), 1.0, 88.0, tied=False)]


def test_a_client_names_the_classes_its_server_names():
    def name(probabilities_0):
        given = {f"probabilities_{i}": probabilities_0 for i in range(3)}
        return Vote(SETS)(**given)

    inputs = {"probabilities_0": "FP32 [3]"}
    with Client(transport=InMemoryTransport(name, inputs=inputs, classes=CLASSES)) as client:
        label = client.pipeline("name")([0.6, 0.3, 0.1])
    with Client(transport=InMemoryTransport(name, inputs=inputs)) as client:
        nameless = client.pipeline("name")([0.6, 0.3, 0.1])

    assert label.prediction_set(0.9) == ("cat", "dog")
    assert (nameless.label, nameless.classes) == ("cat", ())


def test_a_set_is_asked_for_by_a_number():
    label = Label(
        "cat",
        (0.7, 0.3),
        1.0,
        80.0,
        tied=False,
        classes=("cat", "dog"),
        confidence_levels=(0.9,),
        sets=((True, False),),
    )

    with pytest.raises(ParametersError, match="no prediction set at '0.9': this pipeline answers 0.9$"):
        label.prediction_set("0.9")
