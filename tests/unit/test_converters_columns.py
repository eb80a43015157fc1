"""scikit-learn models on tables: columns stay apart where the model needs them apart, each of its own type."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.converters.sklearn_flavor import convert
from sextant_export.onnx_graph import graph_inputs
from tabular_models import copied, saved

pytestmark = pytest.mark.models

WINE, KIND = datasets.load_wine(return_X_y=True)
COLOUR = np.array(["red", "green", "blue"])[KIND]
TABLE = pd.DataFrame(
    {
        "grape, by name": np.array(["albana", "barbera", "corvina"])[(WINE[:, 9] * 1.3).astype(int) % 3],
        "bottle": np.array(["S", "M", "L"])[(WINE[:, 0] * 10).astype(int) % 3],
        "year": 1990 + (WINE[:, 4] % 20).astype("int64"),
        "alcohol %": WINE[:, 0],
        "phenols": WINE[:, 6].astype(np.float32),
        "sweet": WINE[:, 11] > 2.5,
        "proline": WINE[:, 12].astype(np.int32),
    }
)
NUMBERS = ["year", "alcohol %", "phenols"]


def encoded(*others: Any, **options: Any) -> ColumnTransformer:
    """Words one-hot, numbers scaled."""
    words = ("words", OneHotEncoder(handle_unknown="ignore"), ["grape, by name", "bottle"])
    return ColumnTransformer([words, ("numbers", StandardScaler(), NUMBERS), *others], **options)


UNSEEN: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
FILLED = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
PIPELINES: dict[str, Any] = {
    "logistic regression": make_pipeline(encoded(), LogisticRegression()),
    "all other columns as they are": make_pipeline(encoded(remainder="passthrough"), LogisticRegression(max_iter=5000)),
    "forest": make_pipeline(encoded(), RandomForestClassifier(5, random_state=0)),
    "histogram boosting": make_pipeline(encoded(sparse_threshold=0), HistGradientBoostingClassifier(max_iter=5)),
    "support vectors": make_pipeline(encoded(), SVC()),
    "whole numbers as categories": make_pipeline(
        encoded(("o", OrdinalEncoder(**UNSEEN), ["proline"]), ("b", OneHotEncoder(), ["sweet"])),
        RandomForestClassifier(5, random_state=0),
    ),
    "words as numbers": make_pipeline(
        ColumnTransformer([("o", OrdinalEncoder(**UNSEEN), ["bottle", "grape, by name"])], remainder="passthrough"),
        RandomForestClassifier(5, random_state=0),
    ),
    "filled before it is encoded": make_pipeline(
        ColumnTransformer(
            [("n", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS), ("w", FILLED, ["bottle"])]
        ),
        LogisticRegression(),
    ),
    "columns by their places": make_pipeline(
        ColumnTransformer([("w", OneHotEncoder(handle_unknown="ignore"), [0, 1]), ("n", StandardScaler(), [2, 3, 4])]),
        LogisticRegression(),
    ),
    "columns by their types": make_pipeline(
        ColumnTransformer([("n", StandardScaler(), make_column_selector(dtype_include=np.floating))]),
        LogisticRegression(),
    ),
    "columns by slices and masks": make_pipeline(
        ColumnTransformer(
            [
                ("w", OneHotEncoder(handle_unknown="ignore"), slice(None, 2)),
                ("n", StandardScaler(), [False, False, True, True, False, False, False]),
                ("m", StandardScaler(), slice(-1, None)),
            ]
        ),
        LogisticRegression(),
    ),
    "columns from one name to another": make_pipeline(
        ColumnTransformer(
            [
                ("w", OneHotEncoder(handle_unknown="ignore"), slice("grape, by name", "bottle")),
                ("n", StandardScaler(), slice("alcohol %", None)),
                ("y", StandardScaler(), lambda table: table.columns == "year"),
            ]
        ),
        LogisticRegression(),
    ),
    "columns inside a member": CalibratedClassifierCV(
        make_pipeline(
            ColumnTransformer(
                [("w", OneHotEncoder(handle_unknown="ignore"), slice(2)), ("n", StandardScaler(), slice(2, None))]
            ),
            LogisticRegression(),
        ),
        method="isotonic",
        cv=3,
    ),
    "lightgbm": make_pipeline(encoded(sparse_threshold=0), lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)),
    "stack": make_pipeline(encoded(), StackingClassifier([("a", LogisticRegression())], cv=3)),
}


@pytest.mark.parametrize("model", PIPELINES.values(), ids=list(PIPELINES))
def test_a_table_of_words_and_numbers_answers_the_same(tmp_path, model):
    copy = copied(tmp_path, "sklearn", model.fit(TABLE, COLOUR), TABLE)

    assert copy.exact
    assert len(copy.graph.inputs) == len(TABLE.columns)


def test_xgboost_behind_a_column_transformer_answers_the_same(tmp_path):
    model = make_pipeline(encoded(sparse_threshold=0), xgboost.XGBClassifier(n_estimators=5))

    assert copied(tmp_path, "sklearn", model.fit(TABLE, KIND), TABLE).exact


def test_each_column_is_a_tensor_of_its_own_type(tmp_path):
    artifact = saved(tmp_path / "model", "sklearn", PIPELINES["logistic regression"].fit(TABLE, COLOUR), TABLE)

    assert graph_inputs(convert(artifact, artifact.signature)) == (
        Tensor("grape_by_name", "BYTES", (1,)),
        Tensor("bottle", "BYTES", (1,)),
        Tensor("year", "INT64", (1,)),
        Tensor("alcohol", "FP64", (1,)),
        Tensor("phenols", "FP32", (1,)),
        Tensor("sweet", "BOOL", (1,)),
        Tensor("proline", "INT32", (1,)),
    )


def test_numbers_that_are_selected_by_name_stay_apart(tmp_path):
    model = make_pipeline(ColumnTransformer([("n", StandardScaler(), NUMBERS)]), RandomForestClassifier(5))

    copy = copied(tmp_path, "sklearn", model.fit(TABLE[NUMBERS], KIND), TABLE[NUMBERS])

    assert copy.exact
    assert [tensor.name for tensor in copy.graph.inputs] == ["year", "alcohol", "phenols"]


@pytest.mark.parametrize("columns", [slice(1, None), [False, True, True], lambda table: table.dtypes == "float64"])
def test_numbers_that_are_counted_are_one_matrix(tmp_path, columns):
    model = make_pipeline(ColumnTransformer([("n", StandardScaler(), columns)]), LogisticRegression())

    copy = copied(tmp_path, "sklearn", model.fit(TABLE[NUMBERS], KIND), TABLE[NUMBERS])

    assert copy.exact
    assert copy.graph.inputs == (Tensor("features", "FP32", (3,)),)


def test_numbers_without_names_are_one_matrix(tmp_path):
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5))

    copy = copied(tmp_path, "sklearn", model.fit(TABLE[NUMBERS], KIND), TABLE[NUMBERS])

    assert copy.exact
    assert copy.graph.inputs == (Tensor("features", "FP32", (3,)),)


@pytest.mark.parametrize("words", [TABLE.iloc[:, :2], TABLE.iloc[:, :2].to_numpy().astype(str)], ids=["table", "array"])
def test_words_alone_need_no_column_transformer(tmp_path, words):
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())

    assert copied(tmp_path, "sklearn", model.fit(words, KIND), words).exact


def test_text_is_counted_word_by_word(tmp_path):
    """ONNX Runtime lowers text by a locale: the one that is asked for is there in every container."""
    text = pd.DataFrame({"text": [f"The {a} wine, size {b}" for a, b in zip(COLOUR, TABLE["bottle"], strict=True)]})
    model = make_pipeline(ColumnTransformer([("t", TfidfVectorizer(), "text")]), LogisticRegression())

    assert copied(tmp_path, "sklearn", model.fit(text, KIND), text).exact


def test_a_column_that_no_operator_reads_is_named(tmp_path):
    table = TABLE.assign(bottled=pd.to_datetime(TABLE["year"], format="%Y"))
    artifact = saved(tmp_path / "model", "sklearn", PIPELINES["logistic regression"].fit(TABLE, KIND), table)

    with pytest.raises(ConversionError, match="the column 'bottled' is datetime, which no ONNX operator reads"):
        convert(artifact, artifact.signature)


def test_named_tensors_are_refused(tmp_path):
    model = LogisticRegression(max_iter=5000).fit(WINE / 100, KIND)
    artifact = saved(tmp_path / "model", "sklearn", model, {"a": WINE, "b": WINE})

    with pytest.raises(ConversionError, match="takes rows of one array, or a table, and its signature is of a float64"):
        convert(artifact, artifact.signature)
