"""What a release finds of its voters before anything is learned: their classes, their widths, asked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import yaml

from sextant.errors import CalibrationError
from sextant.tensors import Tensor
from sextant_export.calibration import label
from sextant_export.class_order import listed_classes
from sextant_export.known_cases import KnownCases
from sextant_export.pipeline import Pipeline
from sextant_export.registry import Artifact, RegisteredVersion

ZONES = ("garden", "hall", "yard")
TRUTH = np.array([ZONES[row % 3] for row in range(60)], object)


@dataclass
class Recorded:
    """A member that gives the *probabilities* (N, C) it was made with, and counts how often it is asked."""

    name: str
    artifact: Artifact
    probabilities: np.ndarray
    asked: list[Any] = field(default_factory=list)
    model_name: str = "recorded"
    version: int = 1
    inputs: tuple[Tensor, ...] = (Tensor("features", "FP32", (2,)),)
    outputs: tuple[Tensor, ...] = (Tensor("probabilities", "FP32", (-1,)),)

    @property
    def expected(self):
        return {"probabilities": self.probabilities}

    def answer(self, rows):
        self.asked.append(rows)
        return self.expected


@pytest.fixture
def logged(tmp_path):
    """Makes the artifact of a model that was logged with *metadata*."""

    def made(metadata=None):
        (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": {}, "metadata": metadata}), encoding="utf-8")
        version = RegisteredVersion(name="knn", version=3, run_id=None, source="", flavors={}, signature=None)
        return Artifact(version=version, path=tmp_path, digest="")

    return made


@pytest.fixture
def voters(logged):
    """Makes voters by name that are right nine times in ten, each with probabilities of so many classes."""

    def made(**classes):
        truth = np.array([ZONES.index(name) for name in TRUTH])
        said = np.where(np.arange(len(truth)) % 10 == 4, (truth + 1) % 3, truth)
        return [Recorded(name, logged(), np.eye(count, dtype=np.float32)[said]) for name, count in classes.items()]

    return made


def fitted(members, *, cases=True, **vote):
    page = Pipeline.from_mapping(
        {
            "name": "zone",
            "answer": "label",
            "members": {member.name: "models:/m/1" for member in members},
            "steps": [{"block": "scale"}, "members", {"block": "vote", "with": vote}],
            **({"calibration": {"data": "cases.parquet", "truth": "zone"}} if cases else {}),
        }
    )
    seen = np.zeros((len(TRUTH), 2), np.float32) if cases else None
    known = KnownCases(features=seen, truth=TRUTH, sha256="0" * 64) if cases else None
    return label.fitted(page, members, 7, {step.block: dict(step.parameters) for step in page.blocks}, known, seen)


def test_classes_that_were_logged_beside_a_model_are_its_own(logged):
    assert listed_classes(logged({"classes": ["yard", "hall"]})).names == ("yard", "hall")
    assert listed_classes(logged({"author": "me"})) is None
    assert listed_classes(logged()) is None


@pytest.mark.parametrize("said", [3, "abc", {"a": 1}, True], ids=str)
def test_what_is_no_list_of_classes_is_refused_with_the_version(logged, said):
    """A word has letters, and they are no classes."""
    with pytest.raises(CalibrationError) as refused:
        listed_classes(logged({"classes": said}))

    assert str(refused.value) == (
        f"models:/knn/3: its metadata says classes: {said!r}; "
        'log it with metadata={"classes": [...]}, in the order of its probabilities'
    )


@pytest.mark.parametrize("cases", [True, False], ids=["known cases", "the rows of its proof"])
def test_a_voter_of_another_width_is_refused_by_its_name(voters, cases):
    """Its dims are open, so only its answers show how many classes it knows."""
    with pytest.raises(CalibrationError) as refused:
        fitted(voters(forest=3, knn=4), cases=cases, method="soft", classes=list(ZONES))

    assert str(refused.value) == (
        "member knn gives probabilities of 4 classes, and the vote has 3: 'garden', 'hall', 'yard'"
    )


@pytest.mark.parametrize("method", ["soft", "plurality", "weighted", "dawid_skene"])
def test_every_voter_is_asked_all_known_cases_once(voters, method):
    members = voters(forest=3, knn=3)

    found = fitted(members, method=method)

    assert [len(member.asked) for member in members] == [1, 1]
    assert found.facts["accuracy"] == pytest.approx(0.9)
    assert found.parameters["vote"]["classes"] == list(ZONES)
    assert found.parameters["vote"]["release"] == 7


def test_a_vote_that_has_no_weights_of_its_own_learns_them(voters):
    learned = fitted(voters(forest=3, knn=3), method="weighted").parameters["vote"]["weights"]
    given = fitted(voters(forest=3, knn=3), method="weighted", weights=[1, 2]).parameters["vote"]["weights"]

    assert learned[0] == pytest.approx(learned[1])
    assert learned[0] > 0
    assert given == [1, 2]
