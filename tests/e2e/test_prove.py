"""``sextant prove``: the flavour's own predict against ONNX Runtime against a real Triton, told in full."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sextant.errors import MissingExtra
from sextant_cli.command import run
from sextant_export.pipeline import Pipeline
from sextant_export.release import export
from sextant_promote.prove import prove
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.e2e


@pytest.fixture
def sextant(world, capsys, monkeypatch):
    """The command in this process: its exit code, what it printed, what it narrated."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", world.registry.tracking_uri)

    def typed(*words):
        code = run(["prove", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return typed


@pytest.fixture
def loans(world):
    """A table of words, whole numbers and truths, and a model of it in the registry."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "town of birth": random.choice(["Ulm", "Bonn", "Trier"], 300),
            "age": random.integers(18, 90, 300),
            "income": random.normal(40e3, 9e3, 300),
        }
    )
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["town of birth"]), (StandardScaler(), ["age", "income"])
    )
    model = make_pipeline(encode, LogisticRegression())
    model.fit(table, np.where(table["income"] + 500 * table["age"] > 65e3, "yes", "no"))

    def log(mlflow, **facts):
        facts["signature"] = mlflow.models.infer_signature(table, model.predict(table))
        return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", input_example=table[:3], **facts)

    world.log("loan", log, model, "champion", signature=False)
    return table


def test_a_registered_model_is_proven_here_and_through_a_triton_of_its_own(sextant, tmp_path):
    page, report = tmp_path / "report.html", tmp_path / "report.json"

    code, out, told = sextant("models:/forest@champion", "--html", page, "--report", report, "--json")

    facts = json.loads(out)
    assert code == 0, told
    assert facts == json.loads(report.read_text())
    assert (facts["proven"], facts["version"], facts["flavor"], facts["kind"]) == (True, 1, "sklearn", "onnx")
    assert [comparison["by"].split()[0] for comparison in facts["comparisons"]] == ["ONNX", "Triton"]
    assert facts["asked"]["logged example"] == 4
    assert facts["asked"]["seeded"] >= 1000
    assert facts["asked"]["tree thresholds"] == 300
    assert all(comparison["proof"]["causes"]["unexplained"] == 0 for comparison in facts["comparisons"])
    assert "<title>models:/forest@champion: Proven</title>" in page.read_text()
    assert "ask the original: 4 logged example, 1,024 seeded" in told


def test_a_table_with_words_is_proven_on_the_ranges_of_a_file(sextant, loans, tmp_path):
    loans.assign(truth=1).to_parquet(tmp_path / "loans.parquet")

    code, out, told = sextant("models:/loan@champion", "--data", tmp_path / "loans.parquet", "--rows", 1500, "--json")

    facts = json.loads(out)
    assert code == 0, told
    assert facts["asked"]["seeded"] == 1500
    assert facts["asked"]["words"] == 3 + 2, "each town, then one that nobody saw, and none"
    assert facts["comparisons"][1]["proof"]["outputs"]["prediction"]["flips"] == 0
    assert facts["comparisons"][1]["worst"][0]["inputs"].keys() == {"town_of_birth", "age", "income"}


def test_what_is_not_proven_is_told_row_by_row_and_exits_1(sextant, tmp_path):
    page = tmp_path / "report.html"

    code, out, told = sextant("models:/forest@champion", "--no-server", "--tolerance", 1e-9, "--html", page)

    assert code == 1
    assert out.startswith("models:/forest@champion: NOT proven, version 1, by ONNX Runtime")
    assert "rows differ" in told
    assert "Not proven" in page.read_text()
    assert "<details open>" in page.read_text()


def test_a_model_that_is_not_converted_is_proven_through_triton(sextant):
    code, out, told = sextant("models:/ridge@champion", "--flavor", "python_function")

    assert code == 0, told
    assert "proven, version 1" in out
    assert "not converted: it was asked for as it is" in told


def test_a_triton_that_serves_the_version_is_asked_as_it_stands(sextant, world):
    page = {"name": "only", "answer": "tensors", "members": {"ridge": "models:/ridge@champion"}, "steps": ["members"]}
    receipt = export(Pipeline.from_mapping(page), world.store, world.registry)

    with EmbeddedTriton(world.store.root, models=[receipt.name]):
        served, out, told = sextant("models:/ridge@champion", "--store", world.store.root)
        absent, _, missing = sextant("models:/knn@champion", "--store", world.store.root)

    assert served == 0, told
    assert "Triton 2" in out
    assert "start a Triton" not in told
    assert absent == 1
    assert "does not serve knn version 1" in missing


def test_where_no_triton_can_be_had_the_report_says_so(world):
    def absent(store):
        raise MissingExtra("server", "an embedded Triton")

    report = prove("models:/ridge@champion", world.registry, serve=absent)

    assert report.proven
    assert len(report.comparisons) == 1
    assert report.skipped.startswith("No Triton was asked: an embedded Triton needs an extra: pip install")


def test_a_file_of_another_table_is_refused_in_words(sextant, loans, tmp_path):
    loans.rename(columns={"age": "years"}).to_csv(tmp_path / "loans.csv", index=False)

    code, _, told = sextant("models:/loan@champion", "--data", tmp_path / "loans.csv", "--no-server")

    assert code == 1
    assert "loans.csv: expected a column 'age', got none" in told


@pytest.mark.parametrize(
    ("option", "code", "sentence"),
    [
        (("--data", "absent.csv"), 1, "absent.csv: expected a file of rows, got no such file"),
        (("--html", "absent/page.html"), 2, "absent/page.html: there is no folder absent; make it first"),
        (("--tolerance", "0"), 2, "0.0 is not in the range x>0"),
    ],
)
def test_what_would_fail_at_the_end_is_said_before_anything_is_fetched(
    sextant, tmp_path, monkeypatch, option, code, sentence
):
    monkeypatch.chdir(tmp_path)

    found, _, told = sextant("models:/forest@champion", *option)

    assert (found, "fetch" in told) == (code, False)
    assert sentence in told


def test_a_server_out_of_reach_is_found_before_anything_is_fetched(sextant):
    code, _, told = sextant("models:/forest@champion", "--server", "grpc://127.0.0.1:9")

    assert code == 3
    assert "no Triton answers at grpc://127.0.0.1:9" in told
    assert "fetch" not in told
