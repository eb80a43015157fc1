"""Calibrated classifiers: each map from score to probability is scikit-learn's, on its points and between them."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.converters.sklearn_flavor import graph_of
from tabular_models import copied

pytestmark = pytest.mark.models

WINE, KIND = datasets.load_wine(return_X_y=True)
BREAST, BENIGN = datasets.load_breast_cancer(return_X_y=True)
COLOUR = datasets.load_wine().target_names[KIND]
SEED: dict[str, Any] = {"random_state": 0}


def scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


CASES: dict[str, tuple[Any, Any, Any]] = {
    "by a sigmoid": (CalibratedClassifierCV(scaled(LinearSVC()), cv=3), WINE, KIND),
    "isotonic": (
        CalibratedClassifierCV(RandomForestClassifier(5, **SEED), method="isotonic", cv=3),
        BREAST,
        BENIGN,
    ),
    "by a sigmoid, two classes": (CalibratedClassifierCV(scaled(LinearSVC()), cv=3), BREAST, BENIGN),
    "by the scores of a pipeline": (CalibratedClassifierCV(scaled(SVC()), cv=3), BREAST, BENIGN),
    "by the scores of boosting": (
        CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=8), cv=3),
        WINE,
        COLOUR,
    ),
    "after it was fitted": (
        CalibratedClassifierCV(FrozenEstimator(scaled(LogisticRegression()).fit(WINE, KIND))),
        WINE,
        KIND,
    ),
    "one against the rest": (
        CalibratedClassifierCV(OneVsRestClassifier(scaled(LogisticRegression())), cv=3),
        WINE,
        KIND,
    ),
    "isotonic between its points": (
        CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=3),
        WINE,
        COLOUR,
    ),
    "isotonic by scores": (
        CalibratedClassifierCV(scaled(LogisticRegression()), method="isotonic", cv=3, ensemble=False),
        BREAST,
        BENIGN == 1,
    ),
    "isotonic where no class is likely": (
        CalibratedClassifierCV(RandomForestClassifier(30, **SEED), method="isotonic", cv=3),
        WINE,
        KIND,
    ),
}


@pytest.mark.parametrize(("model", "rows", "truth"), CASES.values(), ids=list(CASES))
def test_a_calibrated_classifier_answers_as_it_does_itself(tmp_path, model, rows, truth):
    copy = copied(tmp_path, "sklearn", model.fit(rows, truth), rows)

    assert copy.exact
    assert copy.graph.outputs[1] == Tensor("probabilities", "FP32", (len(model.classes_),))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            CalibratedClassifierCV(GaussianNB(), method="temperature", cv=2),
            "CalibratedClassifierCV of temperature is not known: fit it with sigmoid or isotonic",
        ),
        (
            CalibratedClassifierCV(QuadraticDiscriminantAnalysis(reg_param=0.1), cv=2),
            "of the scores of a QuadraticDiscriminantAnalysis is not known: calibrate an estimator without",
        ),
        (
            CalibratedClassifierCV(GaussianNB(), cv=KFold(3)),
            "with a part that has not seen every class is not known: fit it with folds",
        ),
    ],
    ids=["temperature", "scores", "folds"],
)
def test_what_no_graph_calibrates_is_named_with_advice(model, said):
    with pytest.raises(ConversionError, match=said):
        graph_of(model.fit(WINE, KIND), 13)
