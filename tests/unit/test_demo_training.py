from __future__ import annotations

import logging
import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.models import Model
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor

from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY, UJIINDOORLOC, Recipe
from sextant_cli.demo.registering import ALIAS, quiet
from sextant_cli.demo.training import distinct, scaled, train_and_register

SMALL = Recipe(
    enough_m=99.0,
    scale=BAY.scale,
    fuse=BAY.fuse,
    members={
        "locator-forest": lambda: ExtraTreesRegressor(3, max_depth=4, random_state=0),
        "locator-mlp": lambda: MLPRegressor(hidden_layer_sizes=(8,), max_iter=3, random_state=0),
        "locator-knn": lambda: KNeighborsRegressor(3, algorithm="brute"),
    },
)


@pytest.fixture(scope="module")
def survey():
    return simulate(walks=6, steps=10)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where a registry is: its tracking URI and artifacts."""
    folder = tmp_path_factory.mktemp("registry")
    return {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "artifacts": folder / "artifacts"}


@pytest.fixture(scope="module")
def heard():
    return []


@pytest.fixture(scope="module")
def registered(survey, place, heard):
    return train_and_register(SMALL, survey, **place, progress=lambda *news: heard.append(news))


def test_every_member_becomes_the_first_champion(registered):
    assert [(member.name, member.version, member.was_valid) for member in registered] == [
        ("locator-forest", 1, False),
        ("locator-mlp", 1, False),
        ("locator-knn", 1, False),
    ]
    assert all(member.seconds > 0 for member in registered)


def test_progress_names_what_comes_next(registered, heard):
    assert heard == [(0, 3, "locator-forest"), (1, 3, "locator-mlp"), (2, 3, "locator-knn"), (3, 3, "")]


def champion(name, place):
    """The files of the version under the alias."""
    client = MlflowClient(place["tracking_uri"], place["tracking_uri"])
    with quiet():
        version = client.get_model_version_by_alias(name, ALIAS)
        uri = client.get_model_version_download_uri(name, version.version)
    return Path(url2pathname(urlsplit(uri).path))


def test_what_was_registered_carries_signature_and_example(registered, place):
    model = Model.load(str(champion("locator-knn", place)))

    assert model.signature.inputs.inputs[0].shape == (-1, 24)
    assert model.signature.outputs.inputs[0].shape == (-1, 2)
    assert model.saved_input_example_info["type"] == "ndarray"


def test_artifacts_lie_where_they_were_asked_for(registered, place):
    assert place["artifacts"] in champion("locator-mlp", place).parents


def test_a_champion_answers_in_metres_about_the_origin(registered, place, survey):
    with quiet():
        model = mlflow.sklearn.load_model(str(champion("locator-knn", place)))

    answers = model.predict(scaled(SMALL, survey.features))

    assert np.linalg.norm(answers - survey.east_north, axis=1).mean() < 200


def test_mlflow_still_points_where_it_did(survey, place, registered):
    before = mlflow.get_tracking_uri()

    train_and_register(SMALL, survey, **place, progress=lambda *_: None)

    assert mlflow.get_tracking_uri() == before


def test_what_is_still_valid_is_not_trained_again(registered, survey, place):
    again = train_and_register(SMALL, survey, **place, progress=lambda *_: None)

    assert [(member.version, member.was_valid, member.seconds) for member in again] == [(1, True, 0.0)] * 3


def knn_alone(neighbours):
    return Recipe(
        enough_m=99.0,
        scale=SMALL.scale,
        fuse={},
        members={"locator-alone": lambda: KNeighborsRegressor(neighbours, algorithm="brute")},
    )


@pytest.mark.parametrize(("neighbours", "rows"), [(4, 60), (3, 59)], ids=["another parameter", "another row"])
def test_what_changed_is_a_new_version(survey, place, neighbours, rows):
    (before,) = train_and_register(knn_alone(3), survey, **place, progress=lambda *_: None)

    (after,) = train_and_register(
        knn_alone(neighbours), survey.take(np.arange(rows)), **place, progress=lambda *_: None
    )

    assert after.version == before.version + 1


def test_a_version_whose_files_are_gone_is_trained_again(survey, place):
    (before,) = train_and_register(knn_alone(5), survey, **place, progress=lambda *_: None)
    shutil.rmtree(champion("locator-alone", place))

    (after,) = train_and_register(knn_alone(5), survey, **place, progress=lambda *_: None)

    assert (after.version, after.was_valid) == (before.version + 1, False)


def test_a_fingerprint_heard_twice_is_learned_once_at_the_mean_of_its_places():
    features = np.array([[3, 1], [0, 2], [3, 1]], dtype=np.float32)
    places = np.array([[10.0, 0.0], [5.0, 5.0], [20.0, 4.0]])

    once, targets = distinct(features, places)

    assert once.tolist() == [[3, 1], [0, 2]]
    assert targets.tolist() == [[15.0, 2.0], [5.0, 5.0]]


def test_members_are_given_what_the_block_gives_them_in_triton(survey):
    answer = scaled(BAY, survey.features)

    assert answer.dtype == np.float32
    assert np.all(answer[survey.features == 100] == 0)
    assert 0 < answer.max() <= 2


@pytest.mark.parametrize("recipe", [BAY, UJIINDOORLOC], ids=["bay", "ujiindoorloc"])
def test_a_recipe_has_three_members_and_a_weight_for_each(recipe):
    assert list(recipe.members) == ["locator-forest", "locator-mlp", "locator-knn"]
    assert len(recipe.fuse.get("weights", recipe.members)) == 3


def test_mlflow_is_as_loud_as_before_once_training_is_over():
    level = logging.getLogger("mlflow").level

    with quiet():
        during = logging.getLogger("mlflow").level

    assert during == logging.ERROR
    assert logging.getLogger("mlflow").level == level
