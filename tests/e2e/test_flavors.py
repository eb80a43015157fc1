"""Each kind of registered model goes the whole way: logged with MLflow, exported, served by a Triton, proven there."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from configurations import named
from configurations.own_python import patients
from configurations.serving import Workshop
from sextant.errors import RequestRefused
from sextant_client import Client
from sextant_export.mlflow_calls import quiet_mlflow

pytestmark = pytest.mark.e2e

WORDS = "sklearn-breast-cancer-words-columntransformer-onehotencoder-logisticregression"
HOME_MADE = "python-function-breast-cancer-words-home-made-mixed-columns"
CONVERTED = (
    WORDS,
    "sklearn-breast-cancer-10-missing-histgradientboostingclassifier",
    "xgboost-breast-cancer-10-missing-xgbclassifier",
    "lightgbm-wine-lgbmclassifier",
    "pytorch-digits-convolutional-network",
    "onnx-digits-perceptron-weights-beside-the-graph",
)
OWN_PYTHON = (HOME_MADE, "sklearn-diabetes-functiontransformer-of-one-s-own-ridge")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def triton(workshop):
    with workshop.triton() as (server, control):
        yield server, control


@pytest.fixture(scope="module")
def served(workshop, triton):
    """Logs a configuration and serves it, once; gives its receipt."""

    @cache
    def serve(name):
        workshop.log(named(name))
        return workshop.serve(named(name), triton[1])

    return serve


def ask(triton, name, table):
    with Client(triton[0].address.grpc) as client:
        return client.pipeline(name)(table)


def own_predict(workshop, name, table):
    with quiet_mlflow() as mlflow:
        mlflow.set_tracking_uri(workshop.registry.tracking_uri)
        return mlflow.pyfunc.load_model(f"models:/{name}/1").predict(table)


def require_proven(receipt, *, converted):
    member, through_triton = receipt.members["model"], receipt.proof["model"]

    assert member["converted"] is converted
    assert member["proof"]["rows"] >= 1000
    assert member["proof"]["causes"]["unexplained"] == 0
    assert through_triton["rows"] == member["proof"]["rows"] - len(member["proof"]["edges"])


@pytest.mark.parametrize("name", [name for name in CONVERTED if name != WORDS])
def test_a_flavour_is_converted_and_proven_twice(served, name):
    require_proven(served(name), converted=True)


def test_what_no_converter_can_read_is_served_by_its_own_python_and_the_receipt_says_why(served):
    receipt = served(OWN_PYTHON[1])

    require_proven(receipt, converted=False)
    assert "FunctionTransformer" in receipt.members["model"]["refused"]["onnx"]


def test_a_table_with_words_is_asked_as_a_table(served, workshop, triton):
    receipt = served(WORDS)
    table = named(WORDS).fit().example[::3]

    answer = ask(triton, WORDS, table)

    require_proven(receipt, converted=True)
    np.testing.assert_array_equal(np.ravel(answer["prediction"]), own_predict(workshop, WORDS, table))


def test_a_home_made_model_takes_and_gives_a_table_of_every_kind(served, workshop, triton):
    require_proven(served(HOME_MADE), converted=False)
    table = patients().set_index(pd.Index([f"patient {i}" for i in range(48)]))

    answer = ask(triton, HOME_MADE, table)

    pd.testing.assert_frame_equal(answer, own_predict(workshop, HOME_MADE, table), check_dtype=False)


def test_a_column_that_is_no_column_of_it_is_refused_with_a_guess(served, triton):
    served(HOME_MADE)

    with pytest.raises(RequestRefused, match=r"visit: .* did you mean 'visits'\?"):
        ask(triton, HOME_MADE, patients().rename(columns={"visits": "visit"}))
