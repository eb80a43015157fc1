"""LightGBM models answer through ONNX Runtime as they do themselves: every objective and kind of split."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from sextant.errors import ConversionError, MissingExtra
from sextant.tensors import Tensor
from sextant_export.converters.boosted import graph_of_boosted
from sextant_export.converters.ensembles import SetBook
from sextant_export.converters.lightgbm_flavor import convert
from sextant_export.converters.lightgbm_model import read, read_booster
from sextant_export.onnx_graph import answers, open_session
from tabular_models import copied, saved

pytestmark = pytest.mark.models

WINE, KIND = datasets.load_wine(return_X_y=True)
BREAST, BENIGN = datasets.load_breast_cancer(return_X_y=True)
DIABETES, PROGRESS = datasets.load_diabetes(return_X_y=True)
COLOUR = np.array(["red", "green", "blue"])[KIND]
GAPS = WINE.copy()
GAPS[::5, 3] = GAPS[::3, 0] = np.nan
CODES = np.c_[WINE[:, :4], (WINE[:, 9] * 1.3).astype(int) % 9]
SETS: dict[str, Any] = {"min_data_per_group": 1, "cat_smooth": 1, "max_cat_to_onehot": 1}
QUIET: dict[str, Any] = {"verbose": -1, "num_threads": 2, "num_leaves": 8}
TABLE = pd.DataFrame(GAPS, columns=[f"column_{i}" for i in range(13)])


def trained(rows: Any, truth: Any, rounds: int = 8, *, data: dict[str, Any] | None = None, **params: Any) -> Any:
    told = {**QUIET, **params}
    return lightgbm.train(told, lightgbm.Dataset(rows, truth, params=told, **(data or {})), rounds)


def answered(booster: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the booster and its graph answer to *rows* of float32."""
    session = open_session(graph_of_boosted(read_booster(booster)))
    expected = booster.predict(rows.astype(np.float64))
    return expected.reshape(len(rows), -1), answers(session, {"features": rows})["prediction"]


OBJECTIVES = {
    **dict.fromkeys(["regression", "regression_l1", "huber", "fair", "quantile", "mape"], PROGRESS),
    **dict.fromkeys(["poisson", "gamma", "tweedie"], PROGRESS),
    **dict.fromkeys(["binary", "cross_entropy", "cross_entropy_lambda"], PROGRESS > 140),
}


@pytest.mark.parametrize(("objective", "truth"), OBJECTIVES.items(), ids=list(OBJECTIVES))
def test_every_objective_has_its_link(objective, truth):
    rows = np.random.default_rng(0).choice(DIABETES, 1000).astype(np.float32)

    expected, given = answered(trained(DIABETES, truth, objective=objective), rows)

    np.testing.assert_allclose(given, expected, rtol=2e-6, atol=1e-6)


NATIVE: dict[str, tuple[Any, Any, int]] = {
    "two classes": (partial(trained, BREAST, BENIGN, objective="binary"), BREAST, 1),
    "a steeper sigmoid": (
        partial(trained, BREAST, BENIGN, objective="binary", sigmoid=2.5, is_unbalance=True),
        BREAST,
        1,
    ),
    "chances": (partial(trained, GAPS, KIND, objective="multiclass", num_class=3), GAPS, 3),
    "each class against the rest": (partial(trained, WINE, KIND, objective="multiclassova", num_class=3), WINE, 3),
    "table": (partial(trained, TABLE, KIND), TABLE, 1),
    "square root": (partial(trained, DIABETES, PROGRESS - 100, reg_sqrt=True), DIABETES, 1),
    "rank": (partial(trained, WINE, KIND, objective="lambdarank", data={"group": [100, 78]}), WINE, 1),
    "random forest": (
        partial(
            trained,
            WINE,
            KIND,
            objective="multiclass",
            num_class=3,
            boosting="rf",
            bagging_freq=1,
            bagging_fraction=0.5,
        ),
        WINE,
        3,
    ),
    "dropped trees": (partial(trained, BREAST, BENIGN, boosting="dart", drop_rate=0.5), BREAST, 1),
    "zeros are missing": (partial(trained, np.where(WINE > 2, WINE, 0), KIND, zero_as_missing=True), WINE, 1),
    "nothing is missing": (partial(trained, GAPS, KIND, use_missing=False), GAPS, 1),
    "sets of categories": (partial(trained, CODES, KIND, data={"categorical_feature": [4]}, **SETS), CODES, 1),
    "nothing to split": (partial(trained, WINE, KIND, min_data_in_leaf=1000), WINE, 1),
}


@pytest.mark.parametrize(("booster", "rows", "width"), NATIVE.values(), ids=list(NATIVE))
def test_a_native_booster_answers_what_its_predict_gives(tmp_path, booster, rows, width):
    copy = copied(tmp_path, "lightgbm", booster(), rows)

    assert copy.exact
    assert copy.graph.outputs == (Tensor("prediction", "FP32", (width,)),)


FEW: dict[str, Any] = {"n_estimators": 8, "verbose": -1}
CLASSIFIERS: dict[str, tuple[Any, Any, Any]] = {
    "two classes": (lightgbm.LGBMClassifier(**FEW), BREAST, BENIGN),
    "truths of a table": (lightgbm.LGBMClassifier(**FEW), TABLE, KIND > 0),
    "three classes with missing values": (lightgbm.LGBMClassifier(**FEW), GAPS, COLOUR),
    "each class against the rest": (lightgbm.LGBMClassifier(objective="multiclassova", **FEW), WINE, KIND),
    "random forest": (
        lightgbm.LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, **FEW),
        WINE,
        KIND,
    ),
}


@pytest.mark.parametrize(("model", "rows", "truth"), CLASSIFIERS.values(), ids=list(CLASSIFIERS))
def test_a_classifier_answers_labels_and_probabilities(tmp_path, model, rows, truth):
    copy = copied(tmp_path, "lightgbm", model.fit(rows, truth), rows, serialization_format="cloudpickle")

    assert copy.exact
    assert [tensor.name for tensor in copy.graph.outputs] == ["prediction", "probabilities"]
    assert copy.graph.outputs[1].dims == (len(np.unique(truth)),)


def test_categories_of_an_estimator_answer_the_same(tmp_path):
    model = lightgbm.LGBMClassifier(**FEW, **SETS).fit(CODES, KIND, categorical_feature=[4])

    assert copied(tmp_path, "lightgbm", model, CODES, serialization_format="cloudpickle").exact


def test_a_booster_that_stopped_early_answers_with_its_best_iteration():
    told = {**QUIET, "learning_rate": 0.5}
    train = lightgbm.Dataset(DIABETES[:300], PROGRESS[:300], params=told)
    held_out = lightgbm.Dataset(DIABETES[300:], PROGRESS[300:], reference=train)
    stop = lightgbm.early_stopping(4, verbose=False)
    booster = lightgbm.train(told, train, 80, [held_out], callbacks=[stop], keep_training_booster=True)

    expected, given = answered(booster, DIABETES.astype(np.float32))

    assert booster.best_iteration < booster.current_iteration()
    np.testing.assert_allclose(given, expected, rtol=1e-6)


def test_a_row_at_a_threshold_takes_the_side_that_lightgbm_takes():
    """Thresholds are float64, and a float32 row may be just over one or just under."""
    booster = trained(DIABETES, PROGRESS, rounds=20)
    lines = (line for line in booster.model_to_string().splitlines() if line.startswith("threshold="))
    at = np.concatenate([np.array(line[10:].split(), dtype=np.float64) for line in lines]).astype(np.float32)
    beside = np.concatenate([at, np.nextafter(at, np.float32(-9)), np.nextafter(at, np.float32(9))])
    rows = np.random.default_rng(0).choice(beside, (3000, 10))

    expected, given = answered(booster, rows)

    np.testing.assert_allclose(given, expected, rtol=1e-6)


@pytest.mark.parametrize("code", [np.nan, -2, -1, -0.5, 0, 2.5, 8, 9, 50, 1e9], ids=str)
def test_a_code_that_nobody_saw_goes_where_lightgbm_sends_it(code):
    rows = CODES.astype(np.float32)
    booster = trained(CODES, KIND, data={"categorical_feature": [4]}, **SETS)
    rows[:, 4] = code

    expected, given = answered(booster, rows)

    np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-6)


def test_values_of_categories_are_refused_with_advice():
    table = pd.DataFrame({"size": WINE[:, 0], "grape": pd.Categorical(COLOUR)})

    with pytest.raises(ConversionError, match=r"holds the values of its categories.*categorical_feature=\[...\]"):
        read(trained(table, KIND))


def test_linear_trees_are_refused_with_advice():
    with pytest.raises(ConversionError, match="linear trees is not known: train it with linear_tree=False"):
        read(trained(DIABETES, PROGRESS, linear_tree=True))


def test_an_objective_of_its_own_is_refused_with_advice():
    def own(truth, scores):
        return scores - truth, np.ones(len(truth))

    model = lightgbm.LGBMClassifier(objective=own, **FEW).fit(BREAST, BENIGN)

    with pytest.raises(ConversionError, match="objective of its own answers raw scores.*flavor: python_function"):
        read(model)


def test_a_feature_of_too_many_categories_is_refused_with_advice():
    book = SetBook(1, low=0.0)
    book.place(0, frozenset({2**24}), right=True, missing_right=True)

    with pytest.raises(ConversionError, match="feature 0 has 16777217 categories in 1 splits, too many for a table"):
        book.settled([])


def test_a_missing_package_is_an_extra_to_install(tmp_path, monkeypatch):
    artifact = saved(tmp_path / "model", "lightgbm", trained(WINE, KIND), WINE)
    monkeypatch.setitem(sys.modules, "lightgbm", None)

    with pytest.raises(MissingExtra, match=r"pip install 'triton-sextant\[lightgbm\]'"):
        convert(artifact, artifact.signature)
