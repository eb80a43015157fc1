"""scikit-learn: estimators across the board, on tables of numbers, on arrays, on columns of words, on text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn import (
    calibration,
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    gaussian_process,
    impute,
    kernel_approximation,
    linear_model,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.pipeline import make_pipeline

from .configuration import Configuration, Fitted, few
from .data import bundled, distinct_fingerprints, fingerprints, utterances, with_gaps, with_words

Make = Callable[[], Any]


def _table(data: str, model: str, make: Make, *, kind: Any = bundled, title: str = "", **facts: Any) -> Configuration:
    """*make* fitted to a table, which MLflow logs with the names of its columns."""

    def fit() -> Fitted:
        x, y = kind(data)
        return _logged(make().fit(x, y), few(x))

    return Configuration("sklearn", title or data, model, fit, **facts)


def _array(data: str, model: str, make: Make, **facts: Any) -> Configuration:
    """*make* fitted to rows of float32 without names."""

    def fit() -> Fitted:
        rows = bundled(data)
        return _logged(make().fit(rows.array, rows.y), few(rows.array))

    return Configuration("sklearn", data, model, fit, **facts)


def _logged(model: Any, example: Any) -> Fitted:
    def log(mlflow: Any, **facts: Any) -> Any:
        return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", **facts)

    return Fitted(log, example, np.asarray(model.predict(example)))


def _scaled(model: Any) -> Any:
    return make_pipeline(preprocessing.StandardScaler(), model)


def _worded(model: Any, encoder: Any) -> Any:
    """Columns of words, which *encoder* turns to numbers; the others are scaled."""
    words, numbers = (compose.make_column_selector(dtype_include=kind) for kind in (object, float))
    scaler = preprocessing.StandardScaler()
    parts = compose.ColumnTransformer([("words", encoder, words), ("numbers", scaler, numbers)])
    return make_pipeline(parts, model)


def _logistic() -> Any:
    return linear_model.LogisticRegression(max_iter=2000)


def _voting() -> Any:
    forest = ensemble.RandomForestClassifier(20, max_depth=6, random_state=0)
    parts = [("forest", forest), ("line", _scaled(_logistic())), ("bayes", naive_bayes.GaussianNB())]
    return ensemble.VotingClassifier(parts, voting="soft")


def _stacking() -> Any:
    parts = [("tree", tree.DecisionTreeClassifier(max_depth=4, random_state=0)), ("line", _scaled(_logistic()))]
    return ensemble.StackingClassifier(parts, final_estimator=_logistic(), cv=3)


def _imputed(model: Any) -> Any:
    return make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.MinMaxScaler(), model)


def _homemade() -> Any:
    """A step that is a Python function, which no converter can read; defined inside, so that it travels along."""

    def root(values: Any) -> Any:
        return np.sqrt(np.abs(values))

    return make_pipeline(preprocessing.FunctionTransformer(root), linear_model.Ridge())


def _survey(model: str, make: Make, truth: str, *, kind: Any = fingerprints, **facts: Any) -> Configuration:
    def fit() -> Fitted:
        drawn = kind()
        fitted = make().fit(drawn.features, getattr(drawn, truth))
        return _logged(fitted, few(drawn.features))

    return Configuration("sklearn", f"ujiindoorloc {truth}", model, fit, needs="ujiindoorloc", **facts)


def _sentences(model: str, make: Make) -> Configuration:
    """A table of one column of text: what MLflow's signature can say of sentences."""

    def fit() -> Fitted:
        sentences, labels = utterances()
        words = compose.ColumnTransformer([("words", feature_extraction.text.TfidfVectorizer(), "text")])
        table = pd.DataFrame({"text": pd.Series(sentences, dtype=object)})
        return _logged(make_pipeline(words, make()).fit(table, labels), few(table))

    return Configuration("sklearn", "clinc150 text", model, fit, needs="clinc150")


def _one_hot() -> Any:
    return preprocessing.OneHotEncoder(handle_unknown="ignore")


CLASSIFIERS = (
    _table("iris", "LogisticRegression", _logistic, quick=True),
    _table("iris", "GaussianProcessClassifier", lambda: gaussian_process.GaussianProcessClassifier(random_state=0)),
    _array("iris", "GaussianNB", naive_bayes.GaussianNB),
    _table("wine", "StandardScaler, SVC", lambda: _scaled(svm.SVC(random_state=0))),
    _table(
        "wine",
        "CalibratedClassifierCV(LinearSVC)",
        lambda: _scaled(calibration.CalibratedClassifierCV(svm.LinearSVC())),
    ),
    _array("wine", "ExtraTreesClassifier", lambda: ensemble.ExtraTreesClassifier(60, random_state=0)),
    _table(
        "wine",
        "QuadraticDiscriminantAnalysis",
        lambda: _scaled(discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1)),
    ),
    _table("wine", "BaggingClassifier", lambda: ensemble.BaggingClassifier(random_state=0)),
    _table("breast_cancer", "KNeighborsClassifier", lambda: _scaled(neighbors.KNeighborsClassifier(7))),
    _table("breast_cancer", "DecisionTreeClassifier", lambda: tree.DecisionTreeClassifier(random_state=0)),
    _table("breast_cancer", "GradientBoostingClassifier", lambda: ensemble.GradientBoostingClassifier(random_state=0)),
    _table(
        "breast_cancer",
        "HistGradientBoostingClassifier",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=60, random_state=0),
        kind=with_gaps,
        title="breast_cancer, 10 % missing",
        quick=True,
    ),
    _table("breast_cancer", "VotingClassifier", _voting),
    _table("breast_cancer", "StackingClassifier", _stacking),
    _table("breast_cancer", "AdaBoostClassifier", lambda: ensemble.AdaBoostClassifier(random_state=0)),
    _table(
        "breast_cancer",
        "SimpleImputer, MinMaxScaler, LogisticRegression",
        lambda: _imputed(_logistic()),
        kind=with_gaps,
        title="breast_cancer, 10 % missing",
    ),
    _table(
        "breast_cancer",
        "ColumnTransformer, OneHotEncoder, LogisticRegression",
        lambda: _worded(_logistic(), _one_hot()),
        kind=with_words,
        title="breast_cancer, words",
        quick=True,
    ),
    _table("breast_cancer", "IsolationForest", lambda: ensemble.IsolationForest(n_estimators=50, random_state=0)),
    _array("digits", "MLPClassifier", lambda: neural_network.MLPClassifier((64, 32), max_iter=300, random_state=0)),
    _array("digits", "RandomForestClassifier", lambda: ensemble.RandomForestClassifier(100, random_state=0)),
    _array("digits", "PCA, SVC", lambda: make_pipeline(decomposition.PCA(20, random_state=0), svm.SVC(random_state=0))),
    _array(
        "digits",
        "Nystroem, SGDClassifier",
        lambda: make_pipeline(
            kernel_approximation.Nystroem(n_components=60, gamma=1e-3, random_state=0),
            linear_model.SGDClassifier(loss="log_loss", random_state=0),
        ),
    ),
    _table("iris", "KMeans", lambda: cluster.KMeans(3, n_init=3, random_state=0)),
)

REGRESSORS = (
    _table("diabetes", "Ridge", linear_model.Ridge),
    _table(
        "diabetes",
        "PolynomialFeatures, ElasticNet",
        lambda: make_pipeline(
            preprocessing.PolynomialFeatures(2),
            preprocessing.StandardScaler(),
            linear_model.ElasticNet(alpha=0.1, max_iter=5000),
        ),
    ),
    _table("diabetes", "SVR", lambda: svm.SVR(C=50)),
    _array(
        "diabetes",
        "GaussianProcessRegressor",
        lambda: gaussian_process.GaussianProcessRegressor(alpha=1.0, normalize_y=True, random_state=0),
    ),
    _table("diabetes", "RandomForestRegressor", lambda: ensemble.RandomForestRegressor(100, random_state=0)),
    _table(
        "diabetes",
        "HistGradientBoostingRegressor",
        lambda: ensemble.HistGradientBoostingRegressor(max_iter=60, random_state=0),
        kind=with_gaps,
        title="diabetes, 10 % missing",
    ),
    _table("diabetes", "GradientBoostingRegressor", lambda: ensemble.GradientBoostingRegressor(random_state=0)),
    _array(
        "diabetes",
        "MLPRegressor",
        lambda: _scaled(neural_network.MLPRegressor(max_iter=2000, random_state=0)),
    ),
    _array("diabetes", "KNeighborsRegressor", lambda: neighbors.KNeighborsRegressor(5, weights="distance")),
    _table(
        "diabetes",
        "ColumnTransformer, OrdinalEncoder, RandomForestRegressor",
        lambda: _worded(ensemble.RandomForestRegressor(50, random_state=0), preprocessing.OrdinalEncoder()),
        kind=with_words,
        title="diabetes, words",
    ),
    _table("diabetes", "FunctionTransformer of one's own, Ridge", _homemade),
)

BESIDE_A_CHECKOUT = (
    _survey("KNeighborsRegressor", lambda: neighbors.KNeighborsRegressor(3), "position", kind=distinct_fingerprints),
    _survey("ExtraTreesRegressor", lambda: ensemble.ExtraTreesRegressor(40, random_state=0), "position"),
    _survey("RandomForestClassifier", lambda: ensemble.RandomForestClassifier(60, random_state=0), "floor"),
    _sentences("TfidfVectorizer, LogisticRegression", _logistic),
)

CONFIGURATIONS = (*CLASSIFIERS, *REGRESSORS, *BESIDE_A_CHECKOUT)
