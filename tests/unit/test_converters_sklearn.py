"""scikit-learn models on rows of numbers: each answers through ONNX Runtime as it does itself, on every edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern, WhiteKernel
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import ComplementNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.converters.sklearn_flavor import convert, graph_of
from sextant_export.onnx_graph import NEWEST_IR, NEWEST_OPSETS, graph_inputs, graph_outputs
from tabular_models import copied, saved

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

WINE, KIND = datasets.load_wine(return_X_y=True)
BREAST, BENIGN = datasets.load_breast_cancer(return_X_y=True)
DIABETES, PROGRESS = datasets.load_diabetes(return_X_y=True)
DIGITS, DIGIT = (part[:600] for part in datasets.load_digits(return_X_y=True))
COLOUR = np.array(["red", "green", "blue"])[KIND]
GAPS = WINE.copy()
GAPS[::5, 3] = GAPS[::3, 0] = np.nan
SEED: dict[str, Any] = {"random_state": 0}
FEW: dict[str, Any] = {"n_estimators": 8, "random_state": 0}


def scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def members() -> list[tuple[str, Any]]:
    return [("a", scaled(LogisticRegression())), ("b", RandomForestClassifier(5, **SEED))]


CLASSIFIERS: dict[str, tuple[Any, Any, Any]] = {
    "logistic regression": (scaled(LogisticRegression()), WINE, COLOUR),
    "logistic regression of truths": (LogisticRegression(max_iter=2000), BREAST / 100, BENIGN == 1),
    "logistic regression of floats": (LogisticRegression(max_iter=2000), BREAST / 100, BENIGN * 2.0),
    "forest": (RandomForestClassifier(**FEW), WINE, KIND),
    "forest with missing values": (RandomForestClassifier(**FEW), GAPS, KIND),
    "forest behind a scaler": (scaled(RandomForestClassifier(**FEW)), WINE, COLOUR),
    "forest of digits": (RandomForestClassifier(n_estimators=20, **SEED), DIGITS, DIGIT),
    "extra trees with missing values": (ExtraTreesClassifier(**FEW), GAPS, KIND),
    "tree": (DecisionTreeClassifier(**SEED), WINE, COLOUR),
    "gradient boosting": (GradientBoostingClassifier(**FEW), WINE, KIND),
    "histogram boosting": (HistGradientBoostingClassifier(max_iter=8), BREAST, BENIGN == 1),
    "histogram boosting with missing values": (HistGradientBoostingClassifier(max_iter=8), GAPS, KIND),
    "histogram boosting behind a scaler": (scaled(HistGradientBoostingClassifier(max_iter=8)), WINE, COLOUR),
    "bagging behind a scaler": (scaled(BaggingClassifier(**FEW)), WINE, KIND),
    "adaboost": (scaled(AdaBoostClassifier(**FEW)), WINE, KIND),
    "gaussian process of two classes": (GaussianProcessClassifier(), BREAST[:100, :5] / 100, BENIGN[:100]),
    "gaussian process of three classes": (GaussianProcessClassifier(), WINE[::3] / 100, COLOUR[::3]),
    "nearest": (KNeighborsClassifier(), WINE, COLOUR),
    "nearest by distance, scaled": (scaled(KNeighborsClassifier(weights="distance")), WINE, KIND),
    "perceptron": (scaled(MLPClassifier(hidden_layer_sizes=(8,), max_iter=200, **SEED)), WINE, COLOUR),
    "stochastic gradient": (scaled(SGDClassifier(loss="log_loss", **SEED)), WINE, KIND),
    "naive bayes": (GaussianNB(), WINE, COLOUR),
    "complement naive bayes": (ComplementNB(), WINE, KIND),
    "linear discriminant": (make_pipeline(StandardScaler(), PCA(5), LinearDiscriminantAnalysis()), WINE, KIND),
    "quadratic discriminant": (scaled(QuadraticDiscriminantAnalysis()), WINE, KIND),
    "soft votes": (VotingClassifier(members(), voting="soft", weights=[2, 1]), WINE, KIND),
    "stack": (StackingClassifier(members(), cv=3), WINE, KIND),
    "one against the rest": (OneVsRestClassifier(scaled(LogisticRegression())), WINE, KIND),
    "gaps filled": (make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), GAPS, KIND),
    "gaps filled and marked": (
        make_pipeline(SimpleImputer(strategy="median", add_indicator=True), RandomForestClassifier(**FEW)),
        GAPS,
        KIND,
    ),
    "union": (make_pipeline(FeatureUnion([("p", PCA(3)), ("s", StandardScaler())]), LogisticRegression()), WINE, KIND),
    "quantiles": (make_pipeline(QuantileTransformer(n_quantiles=50), LogisticRegression()), WINE, KIND),
    "power": (make_pipeline(PowerTransformer(), LogisticRegression()), WINE, KIND),
    "ranges": (make_pipeline(MinMaxScaler(), RobustScaler(), Normalizer(), GaussianNB()), WINE, KIND),
    "columns by their places": (
        make_pipeline(
            ColumnTransformer([("a", MinMaxScaler(), [0, 1]), ("b", StandardScaler(), slice(2, 6))]),
            LogisticRegression(),
        ),
        WINE,
        KIND,
    ),
    "columns by what they are not": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("a", MinMaxScaler(), np.arange(13) % 5 == 0),
                    ("b", StandardScaler(), slice(7, None)),
                    ("c", RobustScaler(), lambda rows: [place % 4 == 1 for place in range(rows.shape[1])]),
                    ("d", "passthrough", [-1, -2]),
                    ("e", StandardScaler(), slice(None, 4, 2)),
                    ("f", "passthrough", np.array([3])),
                ]
            ),
            LogisticRegression(max_iter=5000),
        ),
        WINE,
        KIND,
    ),
    "the best columns": (make_pipeline(SelectKBest(k=5), RandomForestClassifier(**FEW)), WINE, KIND),
}

LABELS: dict[str, tuple[Any, Any, Any]] = {
    "support vectors": (scaled(SVC()), WINE, COLOUR),
    "support vectors of two classes": (scaled(SVC()), BREAST, BENIGN),
    "linear support vectors": (scaled(LinearSVC()), WINE, KIND),
    "ridge": (scaled(RidgeClassifier()), WINE, KIND),
    "hard votes": (VotingClassifier([*members(), ("c", GaussianNB())]), WINE, COLOUR),
    "search": (GridSearchCV(scaled(SVC()), {"svc__C": [1, 10]}, cv=3), WINE, KIND),
    "several labels": (MultiOutputClassifier(LogisticRegression(max_iter=2000)), WINE / 100, np.c_[KIND, KIND % 2]),
    "clusters": (scaled(KMeans(3, n_init=1, **SEED)), WINE, None),
    "mixture": (scaled(GaussianMixture(3, **SEED)), WINE, None),
    "novelty": (scaled(OneClassSVM()), WINE, None),
    "isolation": (IsolationForest(n_estimators=20, **SEED), WINE, None),
    "isolation of a tenth": (IsolationForest(n_estimators=20, contamination=0.1, max_features=0.5, **SEED), WINE, None),
}

TWO = np.c_[PROGRESS, PROGRESS * 2]
PERCEPTRON: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 100, **SEED}
REGRESSORS: dict[str, tuple[Any, Any, Any]] = {
    "linear": (LinearRegression(), DIABETES * 1e6, PROGRESS),
    "poisson": (scaled(PoissonRegressor()), DIABETES, PROGRESS),
    "polynomial": (make_pipeline(PolynomialFeatures(2), StandardScaler(), Ridge()), DIABETES, PROGRESS),
    "partial least squares": (PLSRegression(), DIABETES, PROGRESS),
    "gaussian process": (GaussianProcessRegressor(RBF() + WhiteKernel(), **SEED), DIABETES[:100], PROGRESS[:100]),
    "gaussian process of products": (
        GaussianProcessRegressor(Matern(nu=1.5) + ConstantKernel() * DotProduct(), alpha=1e-3, normalize_y=True),
        DIABETES[:100],
        PROGRESS[:100],
    ),
    "support vectors": (scaled(SVR(C=10)), DIABETES, PROGRESS),
    "nu support vectors": (NuSVR(), DIABETES, PROGRESS),
    "forest": (RandomForestRegressor(**FEW), DIABETES, PROGRESS),
    "forest of two targets": (scaled(RandomForestRegressor(**FEW)), DIABETES, TWO),
    "extra trees": (ExtraTreesRegressor(**FEW), DIABETES, PROGRESS),
    "gradient boosting": (scaled(GradientBoostingRegressor(**FEW)), DIABETES, PROGRESS),
    "histogram boosting": (HistGradientBoostingRegressor(max_iter=8), DIABETES, PROGRESS),
    "histogram boosting of counts": (HistGradientBoostingRegressor(loss="poisson", max_iter=8), DIABETES, PROGRESS),
    "adaboost": (scaled(AdaBoostRegressor(**FEW)), DIABETES, PROGRESS),
    "perceptron": (scaled(MLPRegressor(**PERCEPTRON)), DIABETES, PROGRESS),
    "perceptron of two targets": (MLPRegressor(activation="tanh", **PERCEPTRON), DIABETES, TWO),
    "nearest": (scaled(KNeighborsRegressor(3, weights="distance")), DIABETES, PROGRESS),
    "nearest of two targets": (KNeighborsRegressor(3), DIABETES, TWO),
    "nearest by blocks": (scaled(KNeighborsRegressor(3, metric="manhattan")), DIABETES, PROGRESS),
    "more neighbours than candidates": (KNeighborsRegressor(420, weights="distance"), DIABETES, PROGRESS),
    "votes": (VotingRegressor([("a", Ridge()), ("b", HistGradientBoostingRegressor(max_iter=5))]), DIABETES, PROGRESS),
    "stack": (StackingRegressor([("a", Ridge()), ("b", RandomForestRegressor(5, **SEED))], cv=3), DIABETES, PROGRESS),
    "several targets": (MultiOutputRegressor(GradientBoostingRegressor(**FEW)), DIABETES, TWO),
    "a function": (make_pipeline(FunctionTransformer(np.log1p), Ridge()), DIABETES + 1, PROGRESS),
    "a target by its logarithm": (
        TransformedTargetRegressor(scaled(Ridge()), func=np.log, inverse_func=np.exp),
        DIABETES,
        PROGRESS,
    ),
    "a scaled target": (TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), DIABETES, PROGRESS),
}


def claims(cases: dict[str, tuple[Any, Any, Any]]) -> Callable[..., Any]:
    return pytest.mark.parametrize(("model", "rows", "truth"), cases.values(), ids=list(cases))


@claims(CLASSIFIERS)
def test_a_classifier_answers_labels_and_probabilities(tmp_path, model, rows, truth):
    copy = copied(tmp_path, "sklearn", model.fit(rows, truth), rows)

    assert copy.exact
    assert [tensor.name for tensor in copy.graph.outputs] == ["prediction", "probabilities"]
    assert copy.graph.outputs[1] == Tensor("probabilities", "FP32", (len(np.unique(truth)),))


@claims(LABELS)
def test_what_has_no_probabilities_answers_its_label_alone(tmp_path, model, rows, truth):
    copy = copied(tmp_path, "sklearn", model.fit(rows, truth), rows)

    assert copy.exact
    assert [tensor.name for tensor in copy.graph.outputs] == ["prediction"]


@claims(REGRESSORS)
def test_a_regressor_answers_its_number(tmp_path, model, rows, truth):
    copy = copied(tmp_path, "sklearn", model.fit(rows, truth), rows)

    assert copy.exact
    assert copy.graph.outputs[0].dims == (1 if truth.ndim == 1 else 2,)


@pytest.mark.parametrize(
    ("truth", "dtype"), [(COLOUR, "BYTES"), (KIND, "INT64"), (KIND > 0, "BOOL"), (KIND * 1.0, "FP32")], ids=str
)
def test_a_label_keeps_its_type(truth, dtype):
    graph = graph_of(DecisionTreeClassifier().fit(WINE, truth), 13)

    assert graph_outputs(graph)[0].dtype == dtype


def test_float32_rows_are_one_tensor_and_give_float32():
    graph = graph_of(scaled(Ridge()).fit(DIABETES, PROGRESS), 10)

    assert graph_inputs(graph) == (Tensor("features", "FP32", (10,)),)
    assert [tensor.dtype for tensor in graph_outputs(graph)] == ["FP32"]


@pytest.mark.parametrize(
    ("model", "dtype"),
    [(Ridge(), "FP64"), (GaussianProcessRegressor(), "FP64"), (RandomForestRegressor(2), "FP32"), (SVR(), "FP32")],
    ids=str,
)
def test_float64_rows_stay_float64_where_float32_would_be_felt(tmp_path, model, dtype):
    artifact = saved(tmp_path / "model", "sklearn", model.fit(DIABETES, PROGRESS), DIABETES)

    graph = convert(artifact, artifact.signature)

    assert graph_inputs(graph)[0].dtype == dtype


def test_large_numbers_do_not_lose_the_answer(tmp_path):
    """float32 would round the rows to 128, a thousand times the slope's reach."""
    moments = 1.7e9 + np.arange(300.0)[:, None]

    copy = copied(tmp_path, "sklearn", LinearRegression().fit(moments, moments[:, 0] - 1.7e9), moments)

    assert copy.exact
    assert copy.proof.max_abs_delta < 1e-5


@pytest.mark.parametrize("forest", [RandomForestRegressor, ExtraTreesRegressor])
def test_a_forest_far_from_zero_is_as_near_as_float32_can_say(tmp_path, forest):
    """40 leaves of 4.86e6, summed in float32, would be off by several of its last places of 0.5; one target is near."""
    metres = np.c_[4.8649e6 + 0.8 * PROGRESS, PROGRESS - 7500, PROGRESS]

    copy = copied(tmp_path, "sklearn", forest(40, **SEED).fit(DIABETES, metres), DIABETES)

    assert copy.exact
    assert copy.proof.max_abs_delta <= 0.25


def test_an_answer_near_zero_stays_as_it_was():
    """Leaves would lose their last places by their distance from a middle that is further away than they are."""
    counts = np.where(PROGRESS > 100, np.floor(PROGRESS), 0.0)
    model = RandomForestRegressor(**FEW).fit(DIABETES, counts)

    session = ort.InferenceSession(graph_of(model, 10).SerializeToString())
    rows = DIABETES.astype(np.float32)
    (given,) = session.run(None, {"features": rows})

    assert np.array_equal(given[:, 0], model.predict(rows).astype(np.float32))


@pytest.mark.parametrize("method", ["predict_proba", "transform"])
def test_a_model_answers_with_the_method_it_was_logged_with(tmp_path, method):
    model = scaled(PCA(3)) if method == "transform" else scaled(LogisticRegression())

    copy = copied(tmp_path, "sklearn", model.fit(WINE, KIND), WINE, pyfunc_predict_fn=method)

    assert copy.exact
    assert copy.graph.outputs == (Tensor("prediction", "FP32", (3,)),)


def test_a_method_that_no_graph_answers_is_refused(tmp_path):
    model = LogisticRegression(max_iter=2000).fit(WINE / 100, KIND)
    artifact = saved(tmp_path / "model", "sklearn", model, WINE, pyfunc_predict_fn="decision_function")

    with pytest.raises(ConversionError, match="it answers with decision_function, and a graph can with predict,"):
        convert(artifact, artifact.signature)


@pytest.mark.parametrize("model", [RandomForestClassifier(**FEW), scaled(KNeighborsClassifier())], ids=str)
def test_the_same_estimator_gives_the_same_bytes(model):
    """A version in a store is written once; making it again must change nothing."""
    model.fit(WINE, KIND)

    once, again = (graph_of(model, 13).SerializeToString(deterministic=True) for _ in range(2))

    assert once == again


@pytest.mark.parametrize("model", [scaled(RandomForestClassifier(**FEW)), GaussianProcessClassifier()], ids=str)
def test_a_graph_is_written_for_the_oldest_target(model):
    graph = graph_of(model.fit(WINE, KIND), 13)

    assert graph.ir_version <= NEWEST_IR
    assert {opset.domain for opset in graph.opset_import} <= {"", "ai.onnx.ml"}
    assert all(opset.version <= NEWEST_OPSETS[opset.domain] for opset in graph.opset_import)
    assert "ZipMap" not in {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (DummyRegressor(), "skl2onnx cannot translate DummyRegressor: .*`flavor: python_function`"),
        (make_pipeline(FunctionTransformer(np.tan), Ridge()), "FunctionTransformer of tan is not known: known are np"),
        (make_pipeline(KNNImputer(), Ridge()), "KNNImputer is not known.*use a SimpleImputer"),
        (
            HistGradientBoostingRegressor(categorical_features=[0], max_iter=2),
            "with categorical_features is not known: put an",
        ),
        (
            TransformedTargetRegressor(Ridge(), func=np.sqrt, inverse_func=np.cbrt, check_inverse=False),
            "undoes FunctionTransformer is not known",
        ),
    ],
    ids=["dummy", "function", "imputer", "categories", "target"],
)
def test_what_nobody_translates_is_named_with_advice(model, said):
    model.fit(np.abs(WINE[:, :3] // 1 % 7), PROGRESS[: len(WINE)])

    with pytest.raises(ConversionError, match=said):
        graph_of(model, 3)


def test_one_class_alone_is_refused():
    model = DecisionTreeClassifier().fit(WINE, np.zeros(len(WINE)))

    with pytest.raises(ConversionError, match="DecisionTreeClassifier was trained on one class"):
        graph_of(model, 13)


def test_a_file_that_is_no_estimator_is_refused(tmp_path):
    artifact = saved(tmp_path / "model", "sklearn", Ridge().fit(DIABETES, PROGRESS), DIABETES)
    (artifact.path / "model.pkl").write_bytes(b"not a pickle")

    with pytest.raises(ConversionError, match="models:/table/3: its model cannot be loaded"):
        convert(artifact, artifact.signature)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("after", [[PCA(2)], []], ids=["float64", "float32"])
def test_a_row_without_length_stays_as_it_is(norm, after):
    """skl2onnx divides it by zero, and takes the largest value for the largest size."""
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    model = make_pipeline(Normalizer(norm), *after, KNeighborsRegressor(3)).fit(rows, rows[:, 0])
    asked = np.concatenate([np.zeros((1, 4), np.float32), -rows])

    session = ort.InferenceSession(graph_of(model, 4).SerializeToString())
    (given,) = session.run(None, {"features": asked})
    assert np.allclose(given.reshape(-1), model.predict(asked), atol=1e-5)
