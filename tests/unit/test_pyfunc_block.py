"""A model's own Python behind tensors: what goes in, what comes out, and who is told when it breaks."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from google.protobuf.json_format import MessageToJson
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec

import fake_pb_utils
import pyfunc_models
from sextant.backend import Shell
from sextant.blocks.pyfunc import Pyfunc, share_cores
from sextant.errors import ConversionError, InputRefused, ModelFailed, ParametersError, RequestRefused
from sextant_client.dataframe import Table
from sextant_export.copies.pyfunc import own_python
from sextant_export.pipeline import Serving
from sextant_export.store import digest

WORDS = ModelSignature(inputs=Schema([ColSpec("string", "word")]), outputs=Schema([ColSpec("long")]))


@pytest.fixture(scope="module")
def census(tmp_path_factory):
    return own_python(pyfunc_models.census(tmp_path_factory.mktemp("models") / "census"))


@pytest.fixture
def words(tmp_path):
    """Makes a copy of a model of one column of text from its predict."""

    def make(function, signature=WORDS, **facts):
        return own_python(pyfunc_models.save(tmp_path / "words", function, signature, **facts))

    return make


def table(copy):
    return Table("census", copy.signature.inputs, copy.signature.outputs, missing_text=True)


def feed(copy, people):
    return table(copy).tensors(people)


def texts(*items):
    return {"word": np.array([[item] for item in items], dtype=object)}


def shell(copy, folder):
    """The copy as the store holds it, behind a stand-in for Triton."""
    (folder / "1").mkdir(parents=True)
    copy.write(folder / "1")
    args = {"model_name": "model", "model_repository": str(folder), "model_version": "1"}
    return Shell(fake_pb_utils, args, partial(Pyfunc, folder / "1" / "artifact", fake_pb_utils.Logger.log_error))


def ask(served, *requests):
    return served.respond([fake_pb_utils.InferenceRequest(tensors) for tensors in requests])


@pytest.mark.parametrize("optional", [False, True])
def test_a_table_of_every_type_is_answered_as_by_predict_itself(census, optional):
    people = pyfunc_models.people()
    if optional:
        people["bonus"] = [1.0, np.nan, 3.0, 4.0]

    answer = table(census).answer(census.answer(feed(census, people)), people.index)

    pd.testing.assert_frame_equal(answer, pyfunc_models.local(census.artifact, people))


def test_a_column_that_may_be_missing_is_an_optional_input(census):
    assert [tensor.name for tensor in census.inputs if tensor.optional] == ["bonus"]


def test_no_output_is_called_as_an_input_is(census):
    """Of an ensemble's output that is, Triton gives the input."""
    inputs, outputs = ({tensor.name for tensor in side} for side in (census.inputs, census.outputs))

    assert not inputs & outputs
    assert "rooms" in [column.name for column in census.signature.outputs]


def test_a_bad_row_fails_its_own_request_only_and_without_a_traceback(census, tmp_path):
    fine, thirteenth, mine = pyfunc_models.people(2), pyfunc_models.people(1), pyfunc_models.people(3)
    thirteenth["rooms"] = np.array([13], np.int32)

    first, broken, last = ask(shell(census, tmp_path), *(feed(census, one) for one in (fine, thirteenth, mine)))

    assert broken.error.message() == "its predict raised KeyError: 'no house has 13 rooms'"
    assert broken.error.code() == fake_pb_utils.TritonError.INTERNAL
    assert "Traceback" in fake_pb_utils.Logger.lines[-1]
    assert [len(one.arrays()["total"]) for one in (first, last)] == [2, 3]


def test_a_request_whose_rows_were_dropped_is_told_so_and_no_other(census, tmp_path):
    dropped = pyfunc_models.people(2)
    dropped["rooms"] = np.array([-1, 5], np.int32)

    broken, fine = ask(shell(census, tmp_path), feed(census, dropped), feed(census, pyfunc_models.people(1)))

    assert broken.error.message() == "its answer 'not member' has 1 row, to 2 that were asked"
    assert fine.error is None


@pytest.mark.parametrize(
    ("tensor", "raw", "sentence"),
    [
        ("since", b"yesterday", "since: expected a datetime as ISO 8601"),
        ("readings", b"[1", "readings: expected JSON"),
        ("readings", b'["a"]', r"readings: expected Array\(double\), got Incompatible input types"),
        ("address", b'{"city": "Bern"}', "address: expected .*, got Missing required properties"),
        ("address", b'{"city": "Bern", "born": "x"}', "address: expected datetimes as ISO 8601 inside, got 'x'"),
        ("counts", b'{"a": "b"}', r"counts: expected Map\(str -> .*long\), got Failed"),
        ("town", b"\xc3", "town: expected UTF-8 text"),
    ],
)
def test_what_a_column_cannot_be_is_refused_by_its_name(census, tensor, raw, sentence):
    tensors = feed(census, pyfunc_models.people(1))
    tensors[tensor] = np.array([[raw]], dtype=object)

    with pytest.raises(InputRefused, match=sentence):
        census.answer(tensors)


def test_a_text_that_is_missing_reaches_the_model_as_missing(census):
    people = pyfunc_models.people(2)
    people["town"] = ["Bern", None]

    answer = table(census).answer(census.answer(feed(census, people)), people.index)

    assert answer["TOWN"].isna().tolist() == [False, True]
    pd.testing.assert_frame_equal(answer, pyfunc_models.local(census.artifact, people))


def test_a_refusal_by_the_model_is_the_callers_fault(words):
    def refuse(_):
        raise MlflowException.invalid_parameter_value("word: expected one in English")

    with pytest.raises(RequestRefused, match="word: expected one in English"):
        words(refuse).answer(texts(b"mot"))


def test_outputs_that_no_signature_says_are_learnt_from_the_example(tmp_path):
    inputs, example = Schema([ColSpec("string", "word")]), pd.DataFrame({"word": ["a", "bcd"]})
    artifact = pyfunc_models.save(tmp_path / "m", pyfunc_models.lengths, ModelSignature(inputs=inputs), example)

    copy = own_python(artifact)

    assert [(c.name, c.type) for c in copy.signature.outputs] == [("prediction", "long")]
    assert copy.answer(texts(b"ab"))["prediction"].tolist() == [[2]]
    assert copy.parameters["outputs"][0]["type"] == "long"


def test_without_outputs_or_an_example_the_model_is_refused(tmp_path):
    inputs = Schema([ColSpec("string", "word")])
    artifact = pyfunc_models.save(tmp_path / "m", pyfunc_models.lengths, ModelSignature(inputs=inputs))

    with pytest.raises(ConversionError, match="nothing says what models:/m/1 answers: log it with"):
        own_python(artifact)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda t: t["word"].str.len() / 2, "its answer 'prediction' is float64, and its signature promises long"),
        (lambda _: ["three"], "is text, and its signature promises long"),
        (lambda t: np.ones((len(t), 2), int), r"is rows of shape \[2\], and its signature promises long"),
        (lambda _: [1, 2], "has 2 rows, to 1 that were asked"),
        (lambda _: None, "is nothing, and its signature promises long"),
        (lambda t: pd.DataFrame({"a": [1] * len(t), "b": 2}), "its answer has a, b, and its signature promises"),
    ],
    ids=["type", "text", "shape", "rows", "nothing", "names"],
)
def test_an_answer_that_was_not_promised_is_no_answer(words, answer, sentence):
    with pytest.raises(ModelFailed, match=sentence):
        words(answer).answer(texts(b"abc"))


@pytest.mark.parametrize(
    "answer",
    [
        lambda t: t["word"].str.len(),
        lambda t: t["word"].str.len().to_numpy(np.int32)[:, None],
        lambda t: [len(word) for word in t["word"]],
        lambda t: t.assign(n=t["word"].str.len())[["n"]],
        lambda t: {"any": t["word"].str.len()},
        lambda t: t["word"].str.len().astype("Int64"),
    ],
    ids=["series", "array", "list", "frame", "mapping", "nullable"],
)
def test_an_answer_may_come_in_any_form(words, answer):
    assert words(answer).answer(texts(b"abc", b"d"))["prediction"].tolist() == [[3], [1]]


@pytest.mark.parametrize("named", [False, True])
def test_arrays_go_in_and_out_as_arrays(tmp_path, named):
    name = "x" if named else None
    schemas = [Schema([TensorSpec(np.dtype("float64"), (-1, 2), side)]) for side in (name, None)]
    predict = (lambda x: 2 * x["x"]) if named else (lambda x: 2 * x)
    artifact = pyfunc_models.save(tmp_path / "m", predict, ModelSignature(*schemas))

    copy = own_python(artifact)

    given = {copy.inputs[0].name: np.array([[1.0, 2.0]])}
    assert copy.inputs[0][1:3] == ("FP64", (2,))
    assert copy.answer(given)["prediction"].tolist() == [[2.0, 4.0]]


def test_numbers_can_travel_as_the_one_tensor_that_members_share(tmp_path):
    numbers = ModelSignature(
        Schema([ColSpec("long", "a"), ColSpec("double", "b (m)")]), Schema([TensorSpec(np.dtype("float64"), (-1,))])
    )
    artifact = pyfunc_models.save(tmp_path / "m", lambda t: t["a"] * t["b (m)"], numbers)

    copy = own_python(artifact, matrix=True)

    assert copy.inputs == (("features", "FP32", (2,), False),)
    assert copy.answer({"features": np.array([[3, 0.5]], np.float32)})["prediction"].tolist() == [[1.5]]
    assert {column["tensor"] for column in pyfunc_models.description(copy)["inputs"]} == {"features"}


def test_requests_are_joined_only_where_a_rows_answer_is_its_own(tmp_path):
    example = np.array([[1.0, 2.0], [3.0, 5.0]])
    facts = {"signature": infer_signature(example, example), "example": example}
    centred = own_python(pyfunc_models.save(tmp_path / "a", lambda x: x - x.mean(axis=0), **facts))
    doubled = own_python(pyfunc_models.save(tmp_path / "b", lambda x: 2 * x, **facts))

    configs = [copy.configs("m", Serving(), [1]).main for copy in (centred, doubled)]

    assert [config.HasField("dynamic_batching") for config in configs] == [False, True]
    assert centred.facts()["row_wise"] is False


def test_a_package_that_is_missing_or_too_old_stops_the_load_and_is_named(tmp_path):
    page = json.loads(json.dumps({"form": "columns", "inputs": [], "outputs": [], "requirements": ["nowhere==1.2"]}))
    page["requirements"].append("numpy==99.0")
    page["inputs"] = [{"name": "a", "tensor": "a", "type": "long", "dims": [1]}]

    with pytest.raises(ParametersError, match=r"missing: nowhere==1.2 \(not installed\); numpy==99.0 wanted, .* there"):
        Pyfunc(tmp_path, print, page)


def test_another_version_is_remarked_and_served(tmp_path):
    remarks = []
    artifact = pyfunc_models.save(tmp_path / "m", pyfunc_models.lengths, WORDS)
    parameters = {**own_python(artifact).parameters, "python": "2.7.18", "requirements": ["mlflow>=3.99"]}

    Pyfunc(artifact.path, remarks.append, parameters)

    assert "mlflow>=3.99 wanted" in remarks[0]
    assert "logged with Python 2.7.18" in remarks[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"colour": 1}, "colour: unknown"),
        ({"form": "cube"}, "form: expected one of array, tensors, columns, got 'cube'"),
        ({"inputs": []}, "inputs: expected a column, got none"),
        ({"outputs": [{"tensor": "a"}]}, "outputs: expected a list of columns, got"),
    ],
)
def test_parameters_that_describe_no_model_stop_the_load(tmp_path, changes, sentence):
    column = {"name": "a", "tensor": "a", "type": "long", "dims": [1]}
    page = {"form": "columns", "inputs": [column], "outputs": [column], **changes}

    with pytest.raises(ParametersError, match=sentence):
        Pyfunc(tmp_path, print, page)


def test_a_model_that_cannot_be_loaded_is_named_with_the_reason(tmp_path):
    artifact = pyfunc_models.save(tmp_path / "m", pyfunc_models.lengths, WORDS)
    (artifact.path / "python_model.pkl").write_bytes(b"not a pickle")

    with pytest.raises(ConversionError, match="models:/m/1 cannot be served by its own Python: the model cannot"):
        own_python(artifact)


def test_a_reason_does_not_name_the_folder_that_is_gone_when_it_is_read(tmp_path):
    artifact = pyfunc_models.save(tmp_path / "m", pyfunc_models.lengths, WORDS)
    (artifact.path / "python_model.pkl").unlink()

    with pytest.raises(ConversionError, match=r"python_model\.pkl") as refusal:
        own_python(artifact)

    assert str(artifact.path) not in str(refusal.value)


def test_mlflow_may_speak_again_after_a_load(tmp_path):
    """The lines of `mlflow deployments create` stopped at the first model that was served by its own Python."""
    before = logging.getLogger("mlflow").level

    own_python(pyfunc_models.save(tmp_path / "m", pyfunc_models.lengths, WORDS))

    assert logging.getLogger("mlflow").level == before


def test_the_files_of_a_version_are_whole_and_its_own(census, tmp_path):
    census.write(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "__pycache__",
        "artifact",
        "model.py",
        "parameters.json",
    ]
    assert (tmp_path / "artifact" / "MLmodel").read_bytes() == (census.artifact.path / "MLmodel").read_bytes()
    assert (census.converted, census.kind) == (False, "pyfunc")


def test_an_environment_of_its_own_is_for_the_container_and_never_for_the_embedded_server(census, tmp_path):
    archive = tmp_path / "made.tar.gz"
    archive.write_bytes(b"packages")
    copy = replace(census, archive=archive)

    configs = copy.configs("census.v7", Serving(), [7])
    (tmp_path / "7").mkdir()
    copy.write(tmp_path / "7")

    said = configs.main.parameters["EXECUTION_ENV_PATH"].string_value
    assert said == "$$TRITON_MODEL_DIRECTORY/7/environment.tar.gz"
    assert "EXECUTION_ENV_PATH" not in configs.embedded.parameters
    assert configs.embedded.input == configs.main.input
    assert (tmp_path / "7" / "environment.tar.gz").read_bytes() == b"packages"


def test_an_archive_that_is_in_the_store_is_not_built_again(census, tmp_path):
    (tmp_path / "environment.tar.gz").write_bytes(b"packages")

    copy = own_python(census.artifact, archive=True, stored=tmp_path)

    assert copy.archive == tmp_path / "environment.tar.gz"


def stored(copy, folder):
    """*copy* in a store, behind the shell of an earlier Sextant."""
    folder.mkdir()
    copy.write(folder)
    (folder / "model.py").write_text("# an earlier shell\n")
    return folder


def test_what_a_store_holds_already_stays_as_it_is_whatever_shell_it_has(census, tmp_path):
    """A version is written once, and a newer Sextant must be able to promote it again."""
    there = stored(census, tmp_path / "there")
    (tmp_path / "again").mkdir()

    fetched = replace(census.artifact, digest=digest(census.artifact.path))
    own_python(fetched, stored=there).write(tmp_path / "again")

    assert digest(tmp_path / "again") == digest(there)


def test_another_model_under_the_same_number_is_not_taken_for_the_stored_one(census, tmp_path):
    there = stored(census, tmp_path / "there")
    (there / "artifact" / "conda.yaml").unlink()

    fetched = replace(census.artifact, digest=digest(census.artifact.path))
    assert own_python(fetched, stored=there).stored is None


def test_an_example_that_mlflow_cannot_read_again_is_no_example(tmp_path):
    """An Object's datetime is logged as a number, which MLflow then refuses to read as a datetime."""
    copy = own_python(pyfunc_models.census(tmp_path / "census", example=pyfunc_models.people(2)))

    assert copy.row_wise


@pytest.mark.parametrize(("already", "threads"), [(None, "3"), ("8", "8")])
def test_its_libraries_compute_in_the_threads_that_the_spec_gives_it(census, monkeypatch, already, threads):
    """With all cores for each of its copies, XGBoost answers a tenth of the requests."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if already:
        monkeypatch.setenv("OMP_NUM_THREADS", already)
    config = census.configs("census", Serving(intra_op_thread_count=3), [1]).main

    share_cores(MessageToJson(config, preserving_proto_field_name=True))

    assert os.environ["OMP_NUM_THREADS"] == threads
