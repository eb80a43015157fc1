"""Models served by their own Python, on a real Triton: a table goes there and comes back as predict would give it."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

import client_doors
import pyfunc_models
from served_blocks import copy_committed
from sextant import errors
from sextant_client import Client
from sextant_export.config import write_config
from sextant_export.copies.pyfunc import own_python
from sextant_export.pipeline import Serving

pytestmark = pytest.mark.server

SERVING = Serving(max_batch_size=8)


@pytest.fixture(scope="module")
def census(tmp_path_factory):
    return own_python(pyfunc_models.census(tmp_path_factory.mktemp("mlflow") / "census"))


@pytest.fixture(scope="module")
def lengths(tmp_path_factory):
    """Says nothing of what it answers; that is learnt."""
    signature = ModelSignature(inputs=Schema([ColSpec("string", "word")]))
    example = pd.DataFrame({"word": ["a", "bcd"]})
    folder = tmp_path_factory.mktemp("mlflow") / "lengths"
    return own_python(pyfunc_models.save(folder, pyfunc_models.lengths, signature, example))


@pytest.fixture(scope="module")
def triton_store(triton_store, census, lengths):
    models = triton_store / "models"
    for name, copy in {"census": census, "lengths": lengths}.items():
        place(models / name, copy)
    copy_committed("pyfunc", models / "pyfunc")
    return triton_store


def place(folder, copy):
    (folder / "1").mkdir(parents=True)
    copy.write(folder / "1")
    write_config(copy.configs(folder.name, SERVING, [1]).main, folder / "config.pbtxt")


@pytest.fixture(params=["grpc", "http"])
def url(request, triton):
    return getattr(triton.address, request.param)


@pytest.fixture(params=client_doors.DOORS)
def door(request):
    return client_doors.DOORS[request.param]


@pytest.mark.parametrize("rows", [1, 30])
def test_a_table_of_every_type_comes_back_as_from_predict_itself(url, door, census, rows):
    people = pyfunc_models.people(rows)

    answer = door("census", people[sorted(people)], client={"url": url})

    pd.testing.assert_frame_equal(answer, pyfunc_models.local(census.artifact, people))


def test_a_column_that_may_be_missing_may_come(url, door, census):
    people = pyfunc_models.people().assign(bonus=[1.0, np.nan, 2.0, 3.0])

    answer = door("census", people, client={"url": url})

    pd.testing.assert_frame_equal(answer, pyfunc_models.local(census.artifact, people))


def test_a_missing_text_is_missing_there_too(url, door, census):
    people = pyfunc_models.people(2).assign(town=["Bern", None])

    answer = door("census", people, client={"url": url})

    pd.testing.assert_frame_equal(answer, pyfunc_models.local(census.artifact, people))


def test_a_table_without_rows_gives_one_without_rows(url, door):
    answer = door("census", pyfunc_models.people(4)[:0], client={"url": url})

    assert (len(answer), answer["population"].dtype) == (0, np.int64)


def test_an_answer_that_was_learnt_is_a_column(url, door):
    answer = door("lengths", pd.DataFrame({"word": ["Zürich", ""]}, index=["a", "b"]), client={"url": url})

    assert answer["prediction"].to_dict() == {"a": 6, "b": 0}


def test_an_exception_of_the_model_is_a_sentence_without_a_traceback(url, door, triton_store):
    people = pyfunc_models.people(1).assign(rooms=np.array([13], np.int32))

    with pytest.raises(errors.ModelFailed) as failed:
        door("census", people, client={"url": url})

    assert str(failed.value) == "its predict raised KeyError: 'no house has 13 rooms'"
    assert _comes(lambda: "Traceback" in (triton_store / "triton.log").read_text()), (
        "the log tells what the caller is not told"
    )


def _comes(true, within_s=10.0):
    """Triton's log is written beside the answer, not before it."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_rows_that_the_model_loses_are_no_answer(url, door):
    people = pyfunc_models.people(3).assign(rooms=np.array([1, -1, 1], np.int32))

    with pytest.raises(errors.ModelFailed, match="its answer 'not member' has 2 rows, to 3 that were asked"):
        door("census", people, client={"url": url})


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("readings", ["a"], r"readings: expected Array\(double\), got Incompatible input types"),
        ("address", {"city": "Bern"}, "address: expected .*, got Missing required properties: {'born'}"),
    ],
)
def test_what_the_signature_refuses_is_the_callers_to_mend(url, door, column, value, sentence):
    people = pyfunc_models.people(1)
    people[column] = [value]

    with pytest.raises(errors.RequestRefused, match=sentence):
        door("census", people, client={"url": url})


def test_one_bad_request_fails_none_that_came_with_it(url):
    """Sixteen callers at once, so that Triton joins them; every fourth asks for a house that breaks the model."""

    def ask(number):
        people = pyfunc_models.people(2).assign(population=number)
        if number % 4 == 0:
            people["rooms"] = np.array([13, 1], np.int32)
        try:
            return pipeline(people)["population"].tolist()
        except errors.ModelFailed:
            return "failed"

    with Client(url) as client, ThreadPoolExecutor(16) as threads:
        pipeline = client.pipeline("census")
        answers = list(threads.map(ask, range(64), timeout=60))

    assert answers == ["failed" if number % 4 == 0 else [number + 1] * 2 for number in range(64)]


def test_a_server_without_the_models_packages_does_not_load_it_and_says_which(triton, triton_store, lengths):
    place(triton_store / "models" / "elsewhere", lengths)
    page = triton_store / "models" / "elsewhere" / "1" / "parameters.json"
    wanted = {"requirements": ["nowhere==1.2", "mlflow==1.30.0"]}
    page.write_text(json.dumps(json.loads(page.read_text()) | wanted))

    with pytest.raises(errors.ServerError, match=r"missing: nowhere==1.2 \(not installed\); mlflow==1.30.0 wanted"):
        triton.load("elsewhere")


def test_the_committed_shell_is_loadable_as_it_stands(url, door):
    answer = door("pyfunc", x=[[1.0], [2.5]], client={"url": url})

    assert answer["doubled"].tolist() == [[2.0], [5.0]]


def test_nothing_is_written_beside_a_model(triton, triton_store):
    """Triton would take it for another version of the model and load it again."""
    with Client(triton.address.grpc) as client:
        client.pipeline("lengths")(pd.DataFrame({"word": ["a"]}))

    written = [path for path in (triton_store / "models" / "lengths").rglob("*") if path.suffix == ".pyc"]
    assert not written
