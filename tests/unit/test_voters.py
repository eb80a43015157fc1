"""Which outputs of a member are votes, which class each column is, and what known cases teach of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from sextant.classes import Classes
from sextant.errors import CalibrationError
from sextant.tensors import Tensor
from sextant_export.calibration.voters import fit, member_facts
from sextant_export.class_order import (
    column_order,
    refuse_crossed,
    refuse_mislabelled,
    refuse_own_contradiction,
    settled_classes,
)
from sextant_export.config import describe_classes, ensemble_config
from sextant_export.joining import refuse_breaking
from sextant_export.model_uri import ModelUri
from sextant_export.pipeline import Member
from sextant_export.slots import role_problems, roles
from vote_promises import LABELS

ABC = Classes(("a", "b", "c"))


class Model(NamedTuple):
    outputs: tuple[Tensor, ...]
    name: str = "forest"
    model_name: str = "forest"
    version: int = 1
    inputs: tuple[Tensor, ...] = (Tensor("features", "FP32", (8,)),)


def member(**output_map):
    return Member(name="forest", uri=ModelUri.parse("models:/forest/1"), output_map=output_map)


def read(*outputs, **output_map):
    found = roles("label", 2, Model(outputs), member(**output_map))
    return {role.tensor.name: (role.word, role.slot, role.name) for role in found}


def said(*outputs, **output_map):
    return "\n".join(map(str, role_problems("label", Model(outputs), member(**output_map))))


PREDICTION = Tensor("prediction", "BYTES", (1,))
PROBABILITIES = Tensor("probabilities", "FP32", (3,))


def test_a_classifiers_two_outputs_are_its_label_and_its_probabilities():
    assert read(PREDICTION, PROBABILITIES) == {
        "prediction": ("label", "label_2", "forest.label"),
        "probabilities": ("probabilities", "probabilities_2", "forest.probabilities"),
    }


@pytest.mark.parametrize("dims", [(), (1,)])
@pytest.mark.parametrize("dtype", ["INT64", "INT32", "BYTES"])
def test_one_number_or_word_a_row_is_a_label(dtype, dims):
    assert read(Tensor("y", dtype, dims))["y"][0] == "label"


@pytest.mark.parametrize("dtype", ["FP32", "FP64"])
def test_a_number_a_class_is_probabilities(dtype):
    assert read(Tensor("y", dtype, (5,)))["y"][0] == "probabilities"
    assert read(Tensor("y", dtype, (-1,)))["y"][0] == "probabilities"


def test_a_page_may_say_which_is_which():
    """Two outputs of one kind: those that are named count."""
    twins = (Tensor("first", "FP32", (3,)), Tensor("second", "FP32", (3,)))

    assert "'first' FP32 [3], 'second' FP32 [3] could each be its probabilities; name one" in said(*twins)
    assert read(*twins, second="forest.probabilities") == {
        "second": ("probabilities", "probabilities_2", "forest.probabilities")
    }
    assert said(*twins, second="forest.probabilities") == ""


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ((Tensor("p", "FP32", (1,)),), "'p' FP32 [1] is neither a label (one INT64, INT32 or BYTES a row) nor"),
        ((Tensor("y", "BOOL", (1,)),), "'y' BOOL [1] is neither a label"),
        ((Tensor("y", "INT64", (4,)),), "'y' INT64 [4] is neither a label"),
        ((PREDICTION, Tensor("image", "FP32", (3, 4))), "'image' FP32 [3, 4] is neither a label"),
        ((Tensor("label", "FP32", (3,)),), "'label' FP32 [3] cannot be its label: wanted one INT64, INT32 or BYTES"),
        ((Tensor("probabilities", "FP32", (1,)),), "'probabilities' FP32 [1] cannot be its probabilities"),
        ((), "gives nothing that could be a label"),
    ],
)
def test_what_is_no_vote_is_said(outputs, sentence):
    assert sentence in said(*outputs)


def test_what_a_page_leaves_out_is_no_problem():
    assert said(PREDICTION, Tensor("image", "FP32", (3, 4)), prediction="forest.label") == ""


def test_classes_are_those_of_the_page_then_of_the_members_then_of_the_cases():
    truth = np.array(["b", "a", "a"], object)
    listed = {"one": None, "two": Classes(("c", "d"))}

    assert settled_classes(["x", "y"], listed, None, truth).names == ("x", "y")
    assert settled_classes(None, listed, None, truth).names == ("c", "d")
    assert settled_classes(None, {"one": None}, 2, truth).names == ("a", "b")
    assert settled_classes(None, {"one": None}, None, np.array([3, 1, 3])).names == (1, 3)
    with pytest.raises(
        CalibrationError, match="probabilities of 5 classes, and the known cases hold 2: write them all"
    ):
        settled_classes(None, {"one": None}, 5, truth)
    with pytest.raises(CalibrationError, match="nobody names the classes"):
        settled_classes(None, {"one": None}, 5, None)


def test_a_listed_order_is_kept_and_other_classes_are_refused():
    assert column_order("m", ABC, Classes(("c", "a", "b")), 3) == [2, 0, 1]
    assert column_order("m", ABC, None, 3) is None
    with pytest.raises(
        CalibrationError, match="member m knows the classes 'a', 'b', 'x', and the vote has 'a', 'b', 'c'"
    ):
        column_order("m", ABC, Classes(("a", "b", "x")), 3)
    with pytest.raises(CalibrationError, match="knows the classes 0, 1, 2, and the vote has 'a'"):
        column_order("m", ABC, Classes((0, 1, 2)), 3)
    with pytest.raises(CalibrationError, match="gives probabilities of 4 classes, and the vote has 3"):
        column_order("m", ABC, None, 4)


def test_a_label_against_its_own_probabilities_is_refused():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, -1])

    refuse_own_contradiction("m", ABC, labels, labels)
    with pytest.raises(CalibrationError, match="the label of member m is its likeliest class in 0% of 9 rows"):
        refuse_own_contradiction("m", ABC, labels, (labels + 1) % 3)


def test_two_classes_exchanged_among_many_are_found():
    """Two of 150, ten rows each, of a member that is right nine times in ten."""
    random = np.random.default_rng(1)
    truth = np.repeat(np.arange(150), 10)
    votes = np.where(random.random(truth.size) < 0.9, truth, random.integers(0, 150, truth.size))
    names = Classes(tuple(f"intent {i}" for i in range(150)))
    crossed = np.where(votes == 3, 140, np.where(votes == 140, 3, votes))

    refuse_crossed("m", names, votes, truth)
    with pytest.raises(CalibrationError, match="member m says 'intent 3' where 'intent 140' is true"):
        refuse_crossed("m", names, crossed, truth)


def test_a_ring_of_classes_is_found():
    truth = np.tile(np.arange(3), 20)

    with pytest.raises(CalibrationError, match="says 'a' where 'c' is true, in 20 of 20 rows"):
        refuse_crossed("m", ABC, (truth + 1) % 3, truth)


@pytest.mark.parametrize("seed", range(20))
def test_a_member_that_is_only_bad_is_no_impostor(seed):
    """Whoever knows little, guesses, or takes one class for another all the time is weak, and not crossed."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 150, 1_500)
    names = Classes(tuple(range(150)))

    refuse_crossed("m", names, random.integers(0, 150, truth.size), truth)
    refuse_crossed("m", names, np.where(random.random(truth.size) < 0.1, truth, random.integers(0, 150, 1_500)), truth)
    refuse_crossed("m", names, np.where(truth == 4, 5, truth), truth)
    refuse_crossed("m", names, np.full(truth.size, 7), truth)


def slots(*votes):
    return {
        f"label_{i}": np.array([["cat", "dog", "owl", ""][vote] for vote in row], object) for i, row in enumerate(votes)
    }


TRUTH = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, -1])
VOTES = slots(TRUTH, (TRUTH + (np.arange(10) % 3 == 0)) % 3, np.full(10, 3))


def test_weights_are_learned_from_the_rows_whose_truth_is_known():
    learned = fit({**LABELS, "method": "weighted"}, VOTES, TRUTH)

    odds = [9.5 / 0.5, 6.5 / 3.5, 1.0]  # of nine rows nine right, six right, and none answered
    assert learned["weights"] == pytest.approx(np.log(2 * np.array(odds)))


def test_confusions_or_accuracies_are_learned():
    full = fit({**LABELS, "method": "dawid_skene"}, VOTES, TRUTH)
    coin = fit({**LABELS, "method": "dawid_skene", "errors": "one_coin"}, VOTES, TRUTH)

    assert np.shape(full["confusion"]) == (3, 3, 3)
    assert np.shape(coin["accuracies"]) == (3,)
    assert coin["accuracies"][0] > 0.95
    assert sum(full["prior"]) == pytest.approx(1)


@pytest.mark.parametrize("given", [{}, {"method": "soft"}, {"method": "weighted", "weights": [1, 2, 3]}])
def test_where_there_is_nothing_to_learn_nothing_is(given):
    assert fit({**LABELS, **given}, VOTES, TRUTH) == {}


def test_a_receipt_tells_each_members_accuracy_and_silence():
    facts = member_facts(LABELS, VOTES, TRUTH)

    assert facts == {
        "oak": {"accuracy": 0.9, "abstained": 0.1},
        "elm": {"accuracy": 0.6, "abstained": 0.0},
        "ash": {"accuracy": 0.0, "abstained": 1.0},
    }


def test_a_front_that_names_its_classes_keeps_their_order():
    from sextant.errors import BreakingChange

    fronts = [ensemble_config("zone", 1, [], [], [], 64) for _ in range(3)]
    for front, names in zip(fronts, (["a", "b"], ["b", "a"], ["a", "b"]), strict=True):
        describe_classes(front, names)

    refuse_breaking(fronts[0], fronts[2])
    with pytest.raises(BreakingChange, match=r"its classes would change from \['a', 'b'\] to \['b', 'a'\]"):
        refuse_breaking(fronts[0], fronts[1])


@pytest.mark.parametrize("seed", range(20))
def test_a_coin_between_two_classes_is_no_impostor(seed):
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, 100)
    right = random.random(100) < 0.55

    refuse_crossed("m", Classes(("no", "yes")), np.where(right, truth, 1 - truth), truth)


def test_a_listed_order_that_the_labels_deny_is_refused():
    labels = np.tile([0, 1, 2, -1], 5)

    refuse_mislabelled("m", ABC, labels, labels)
    with pytest.raises(CalibrationError, match="member m answers other labels than its likeliest classes.*metadata="):
        refuse_mislabelled("m", ABC, labels, np.where(labels < 0, -1, (labels + 1) % 3))
