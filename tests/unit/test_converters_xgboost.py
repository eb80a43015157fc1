"""XGBoost models answer through ONNX Runtime as they do themselves: every objective, booster and kind of split."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn import datasets

from sextant.errors import ConversionError, MissingExtra
from sextant.tensors import Tensor
from sextant_export.converters.boosted import graph_of_boosted
from sextant_export.converters.xgboost_flavor import convert
from sextant_export.converters.xgboost_model import read, read_booster
from sextant_export.onnx_graph import answers, open_session
from tabular_models import copied, saved

pytestmark = pytest.mark.models

WINE, KIND = datasets.load_wine(return_X_y=True)
BREAST, BENIGN = datasets.load_breast_cancer(return_X_y=True)
DIABETES, PROGRESS = datasets.load_diabetes(return_X_y=True)
GAPS = WINE.copy()
GAPS[::5, 3] = GAPS[::3, 0] = np.nan
CODES = np.c_[WINE[:, :4], (WINE[:, 9] * 1.3).astype(int) % 9]
CODED: dict[str, Any] = {"feature_types": ["q"] * 4 + ["c"], "enable_categorical": True}
TABLE = pd.DataFrame(GAPS, columns=[f"column {i}" for i in range(13)])


def trained(rows: Any, truth: Any, rounds: int = 8, *, data: dict[str, Any] | None = None, **params: Any) -> Any:
    depth = {} if params.get("booster") == "gblinear" else {"max_depth": 4}
    return xgboost.train({"nthread": 2, **depth, **params}, xgboost.DMatrix(rows, truth, **(data or {})), rounds)


def answered(booster: Any, rows: np.ndarray, **data: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the booster and its graph answer to *rows*."""
    session = open_session(graph_of_boosted(read_booster(booster)))
    expected = booster.predict(xgboost.DMatrix(rows, **data))
    assert np.isfinite(expected).all()
    return expected.reshape(len(rows), -1), answers(session, {"features": rows})["prediction"]


OBJECTIVES = {
    **dict.fromkeys(["reg:squarederror", "reg:pseudohubererror", "reg:absoluteerror"], PROGRESS),
    **dict.fromkeys(["reg:squaredlogerror", "reg:gamma", "reg:tweedie", "count:poisson", "survival:cox"], PROGRESS),
    "rank:pairwise": PROGRESS > 140,
    **dict.fromkeys(["binary:logistic", "reg:logistic", "binary:logitraw", "binary:hinge"], PROGRESS > 140),
}


@pytest.mark.parametrize(("objective", "truth"), OBJECTIVES.items(), ids=list(OBJECTIVES))
def test_every_objective_has_its_link(objective, truth):
    booster = trained(DIABETES, truth, objective=objective)
    rows = np.random.default_rng(0).choice(DIABETES, 1000).astype(np.float32)

    expected, given = answered(booster, rows)

    np.testing.assert_allclose(given, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "truth", "base_score"),
    [
        ("binary:logistic", PROGRESS > 140, 0.2),
        ("binary:logitraw", PROGRESS > 140, 0.2),
        ("reg:squarederror", PROGRESS, 30.0),
        ("count:poisson", PROGRESS, 3.3),
        ("reg:gamma", PROGRESS, 3.3),
    ],
)
def test_a_base_score_is_in_the_unit_of_the_answer(objective, truth, base_score):
    booster = trained(DIABETES, truth, objective=objective, base_score=base_score)

    expected, given = answered(booster, DIABETES.astype(np.float32))

    np.testing.assert_allclose(given, expected, rtol=2e-6, atol=1e-6)


def test_a_survival_time_is_an_exponential():
    data = xgboost.DMatrix(DIABETES)
    data.set_float_info("label_lower_bound", PROGRESS)
    data.set_float_info("label_upper_bound", PROGRESS)

    expected, given = answered(xgboost.train({"objective": "survival:aft"}, data, 5), DIABETES.astype(np.float32))

    np.testing.assert_allclose(given, expected, rtol=2e-6)


NATIVE: dict[str, tuple[Any, Any, int]] = {
    "two classes": (partial(trained, BREAST, BENIGN, objective="binary:logistic"), BREAST, 1),
    "chances": (partial(trained, GAPS, KIND, objective="multi:softprob", num_class=3), GAPS, 3),
    "winner": (partial(trained, GAPS, KIND, objective="multi:softmax", num_class=3), GAPS, 1),
    "table": (partial(trained, TABLE, KIND), TABLE, 1),
    "quantiles": (
        partial(trained, DIABETES, PROGRESS, objective="reg:quantileerror", quantile_alpha=[0.1, 0.9]),
        DIABETES,
        2,
    ),
    "dropped trees": (partial(trained, BREAST, BENIGN, booster="dart", rate_drop=0.5), BREAST, 1),
    "lines": (partial(trained, DIABETES, PROGRESS, booster="gblinear"), DIABETES, 1),
    "lines to classes": (
        partial(trained, WINE, KIND, booster="gblinear", objective="multi:softprob", num_class=3),
        WINE,
        3,
    ),
    "sets of categories": (partial(trained, CODES, KIND, data=CODED, max_cat_to_onehot=1), CODES, 1),
    "one category a split": (partial(trained, CODES, KIND, data=CODED, max_cat_to_onehot=99), CODES, 1),
}


@pytest.mark.parametrize(("booster", "rows", "width"), NATIVE.values(), ids=list(NATIVE))
def test_a_native_booster_answers_what_its_predict_gives(tmp_path, booster, rows, width):
    copy = copied(tmp_path, "xgboost", booster(), rows)

    assert copy.exact
    assert copy.graph.outputs == (Tensor("prediction", "FP32", (width,)),)


CLASSIFIERS: dict[str, tuple[Any, Any, Any]] = {
    "two classes": (xgboost.XGBClassifier(n_estimators=8), BREAST, BENIGN),
    "three classes with missing values": (xgboost.XGBClassifier(n_estimators=8), GAPS, KIND),
    "table": (xgboost.XGBClassifier(n_estimators=8), TABLE, KIND),
    "winner": (xgboost.XGBClassifier(n_estimators=8, objective="multi:softmax"), WINE, KIND),
    "random forest": (xgboost.XGBRFClassifier(n_estimators=8), WINE, KIND),
    "dropped trees": (xgboost.XGBClassifier(n_estimators=8, booster="dart", rate_drop=0.5), WINE, KIND),
    "categories": (xgboost.XGBClassifier(n_estimators=8, max_cat_to_onehot=1, **CODED), CODES, KIND),
}


@pytest.mark.parametrize(("model", "rows", "truth"), CLASSIFIERS.values(), ids=list(CLASSIFIERS))
def test_a_classifier_answers_labels_and_probabilities(tmp_path, model, rows, truth):
    copy = copied(tmp_path, "xgboost", model.fit(rows, truth), rows)

    assert copy.exact
    classes = len(np.unique(truth))
    assert copy.graph.outputs == (Tensor("prediction", "INT64", (1,)), Tensor("probabilities", "FP32", (classes,)))


HOLES = np.where(WINE > 2, WINE, 0)
REGRESSORS: dict[str, tuple[Any, Any, Any]] = {
    "another missing value": (xgboost.XGBRegressor(n_estimators=8, missing=0.0), HOLES, KIND),
    "two targets": (xgboost.XGBRegressor(n_estimators=8), DIABETES, np.c_[PROGRESS, PROGRESS * 2]),
    "lines": (xgboost.XGBRegressor(n_estimators=8, booster="gblinear"), DIABETES, PROGRESS),
}


@pytest.mark.parametrize(("model", "rows", "truth"), REGRESSORS.values(), ids=list(REGRESSORS))
def test_a_regressor_answers_its_numbers(tmp_path, model, rows, truth):
    assert copied(tmp_path, "xgboost", model.fit(rows, truth), rows).exact


def test_an_estimator_that_stopped_early_answers_with_its_best_iteration(tmp_path):
    model = xgboost.XGBRegressor(n_estimators=50, early_stopping_rounds=2, learning_rate=0.8)
    model.fit(DIABETES[:300], PROGRESS[:300], eval_set=[(DIABETES[300:], PROGRESS[300:])], verbose=False)

    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    assert copied(tmp_path, "xgboost", model, DIABETES).exact


def test_a_native_booster_that_stopped_early_answers_with_all_its_trees(tmp_path):
    train, test = (xgboost.DMatrix(DIABETES[s], PROGRESS[s]) for s in (slice(300), slice(300, None)))
    booster = xgboost.train(
        {"learning_rate": 0.8}, train, 50, evals=[(test, "test")], early_stopping_rounds=2, verbose_eval=False
    )

    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    assert copied(tmp_path, "xgboost", booster, DIABETES).exact


def test_a_row_at_a_threshold_takes_the_side_that_xgboost_takes():
    booster = trained(DIABETES, PROGRESS, rounds=20)
    trees = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    at = np.concatenate([np.array(tree["split_conditions"], np.float32) for tree in trees])
    beside = np.concatenate([at, np.nextafter(at, np.float32(-9)), np.nextafter(at, np.float32(9))])
    rows = np.random.default_rng(0).choice(beside, (3000, 10))

    expected, given = answered(booster, rows)

    np.testing.assert_allclose(given, expected, rtol=1e-6)


@pytest.mark.parametrize("code", [np.nan, -1, -0.5, 0, 2.5, 8, 9, 50, 1e9], ids=str)
def test_a_code_that_nobody_saw_goes_where_xgboost_sends_it(code):
    rows = CODES.astype(np.float32)
    booster = trained(CODES, KIND, data=CODED, max_cat_to_onehot=1)
    rows[:, 4] = code

    expected, given = answered(booster, rows, **CODED)

    np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-6)


def test_names_of_categories_are_refused_with_advice(tmp_path):
    table = pd.DataFrame({"size": WINE[:, 0], "grape": pd.Categorical(np.array(["a", "b", "c"])[KIND])})
    booster = trained(table, KIND, data={"enable_categorical": True})

    with pytest.raises(ConversionError, match=r"holds the names of its categories.*feature_types=\['c', ...\]"):
        read(booster)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (xgboost.XGBRegressor(n_estimators=2, multi_strategy="multi_output_tree"), "leaves are vectors is not known"),
        (xgboost.XGBClassifier(n_estimators=2), "XGBClassifier of several labels a row is not known"),
    ],
    ids=["vector leaves", "several labels"],
)
def test_what_is_not_known_is_refused_with_advice(model, said):
    model.fit(WINE, np.c_[KIND > 0, KIND > 1].astype(int))

    with pytest.raises(ConversionError, match=f"{said}.*flavor: python_function"):
        read(model)


def test_a_model_without_a_tree_is_refused():
    with pytest.raises(ConversionError, match="has no tree: train it for at least one round"):
        read(trained(WINE, KIND, rounds=0))


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (
            pd.DataFrame({"a": ["x"], "b": [1.0]}),
            "its features are numbers, and its signature is of a string, b double",
        ),
        (WINE[:, :5], "it was trained on 13 features, and its signature has 5"),
    ],
    ids=["words", "width"],
)
def test_a_signature_of_other_rows_is_refused(tmp_path, example, said):
    artifact = saved(tmp_path / "model", "xgboost", trained(WINE, KIND), example)

    with pytest.raises(ConversionError, match=said):
        convert(artifact, artifact.signature)


def test_a_missing_package_is_an_extra_to_install(tmp_path, monkeypatch):
    artifact = saved(tmp_path / "model", "xgboost", trained(WINE, KIND), WINE)
    monkeypatch.setitem(sys.modules, "xgboost", None)

    with pytest.raises(MissingExtra, match=r"pip install 'triton-sextant\[xgboost\]'"):
        convert(artifact, artifact.signature)
