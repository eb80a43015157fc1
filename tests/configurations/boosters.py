"""XGBoost and LightGBM: both of each library's interfaces, every usual task, missing values, categories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .configuration import Configuration, Fitted, few
from .data import Set, bundled, with_gaps, with_words

ROUNDS = 60


def _xgboost(data: str, model: str, fit: Callable[[], tuple[Any, Any]], **facts: Any) -> Configuration:
    def fitted() -> Fitted:
        booster, example = fit()

        def log(mlflow: Any, **given: Any) -> Any:
            return mlflow.xgboost.log_model(booster, model_format="json", **given)

        return Fitted(log, example, np.asarray(_asked(booster, example)))

    return Configuration("xgboost", data, model, fitted, **facts)


def _lightgbm(data: str, model: str, fit: Callable[[], tuple[Any, Any]], **facts: Any) -> Configuration:
    def fitted() -> Fitted:
        booster, example = fit()

        def log(mlflow: Any, **given: Any) -> Any:
            return mlflow.lightgbm.log_model(booster, serialization_format="cloudpickle", **given)

        return Fitted(log, example, np.asarray(booster.predict(example)))

    return Configuration("lightgbm", data, model, fitted, **facts)


def _asked(booster: Any, example: Any) -> Any:
    import xgboost

    if isinstance(booster, xgboost.Booster):
        return booster.predict(xgboost.DMatrix(example, enable_categorical=True))
    return booster.predict(example)


def _sklearn_api(library: str, estimator: str, rows: Set, **settings: Any) -> tuple[Any, Any]:
    import importlib

    quiet = {"verbose": -1} if library == "lightgbm" else {}
    kind = getattr(importlib.import_module(library), estimator)
    made = kind(n_estimators=ROUNDS, random_state=0, n_jobs=1, **quiet, **settings)
    return made.fit(rows.x, rows.y), few(rows.x)


def _native_xgboost(rows: Set, **settings: Any) -> tuple[Any, Any]:
    import xgboost

    matrix = xgboost.DMatrix(rows.x, rows.y, enable_categorical=True)
    return xgboost.train({"nthread": 1, "seed": 0, "max_depth": 4, **settings}, matrix, ROUNDS), few(rows.x)


def _native_lightgbm(rows: Set, **settings: Any) -> tuple[Any, Any]:
    import lightgbm

    settings = {"num_threads": 1, "seed": 0, "verbose": -1, "deterministic": True, **settings}
    return lightgbm.train(settings, lightgbm.Dataset(rows.x, rows.y), ROUNDS), few(rows.x)


def _codes(name: str) -> Set:
    """The first three columns as categories in numbers, the rest as they are."""
    x, y = with_words(name)
    coded = {key: x[key].map({"low": 0.0, "middle": 1.0, "high": 2.0}).astype(np.float64) for key in x.columns[:3]}
    return Set(x.assign(**coded), y)


def _categories_xgboost() -> tuple[Any, Any]:
    rows = _codes("breast_cancer")
    kinds = ["c"] * 3 + ["float"] * (rows.x.shape[1] - 3)
    import xgboost

    matrix = xgboost.DMatrix(rows.x.to_numpy(), rows.y, feature_types=kinds, enable_categorical=True)
    booster = xgboost.train({"nthread": 1, "seed": 0, "objective": "binary:logistic"}, matrix, ROUNDS)
    return booster, few(rows.x.to_numpy())


def _categories_lightgbm() -> tuple[Any, Any]:
    import lightgbm

    rows = _codes("breast_cancer")
    made = lightgbm.LGBMClassifier(n_estimators=ROUNDS, random_state=0, n_jobs=1, verbose=-1)
    return made.fit(rows.x, rows.y, categorical_feature=list(rows.x.columns[:3])), few(rows.x)


CONFIGURATIONS = (
    _xgboost(
        "breast_cancer",
        "Booster binary:logistic",
        lambda: _native_xgboost(bundled("breast_cancer"), objective="binary:logistic"),
    ),
    _xgboost(
        "breast_cancer, 10 % missing",
        "XGBClassifier",
        lambda: _sklearn_api("xgboost", "XGBClassifier", with_gaps("breast_cancer")),
        quick=True,
    ),
    _xgboost("wine", "XGBClassifier", lambda: _sklearn_api("xgboost", "XGBClassifier", bundled("wine"))),
    _xgboost(
        "wine",
        "Booster multi:softprob",
        lambda: _native_xgboost(bundled("wine"), objective="multi:softprob", num_class=3),
    ),
    _xgboost("diabetes", "XGBRegressor", lambda: _sklearn_api("xgboost", "XGBRegressor", bundled("diabetes"))),
    _xgboost("diabetes, 10 % missing", "Booster reg:squarederror", lambda: _native_xgboost(with_gaps("diabetes"))),
    _xgboost(
        "diabetes",
        "XGBRegressor dart",
        lambda: _sklearn_api("xgboost", "XGBRegressor", bundled("diabetes"), booster="dart", rate_drop=0.1),
    ),
    _xgboost(
        "diabetes", "Booster count:poisson", lambda: _native_xgboost(bundled("diabetes"), objective="count:poisson")
    ),
    _xgboost(
        "breast_cancer", "XGBRFClassifier", lambda: _sklearn_api("xgboost", "XGBRFClassifier", bundled("breast_cancer"))
    ),
    _xgboost("breast_cancer, 3 categories", "Booster with categorical splits", _categories_xgboost),
    _lightgbm(
        "breast_cancer",
        "LGBMClassifier",
        lambda: _sklearn_api("lightgbm", "LGBMClassifier", bundled("breast_cancer")),
        quick=True,
    ),
    _lightgbm("wine", "LGBMClassifier", lambda: _sklearn_api("lightgbm", "LGBMClassifier", bundled("wine"))),
    _lightgbm(
        "diabetes, 10 % missing",
        "LGBMRegressor",
        lambda: _sklearn_api("lightgbm", "LGBMRegressor", with_gaps("diabetes")),
    ),
    _lightgbm("diabetes", "Booster regression", lambda: _native_lightgbm(bundled("diabetes"), objective="regression")),
    _lightgbm(
        "wine", "Booster multiclass", lambda: _native_lightgbm(bundled("wine"), objective="multiclass", num_class=3)
    ),
    _lightgbm("breast_cancer, 3 categories", "LGBMClassifier with categorical splits", _categories_lightgbm),
)
