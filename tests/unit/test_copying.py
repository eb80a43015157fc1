"""Which copy is made: a flavour whose graph cannot be mended gives way, and every reason is kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from mlflow.models import infer_signature
from onnx import TensorProto, helper

import pyfunc_models
from sextant.errors import ConversionError
from sextant_export import converters
from sextant_export.copying import copied
from sextant_export.member import PreparedMember, original_of
from sextant_export.parity import prove
from sextant_export.pipeline import Pipeline
from sextant_export.registry import Artifact, RegisteredVersion

pytestmark = pytest.mark.models


def graph(*shape: object) -> onnx.ModelProto:
    """One that gives its input back."""
    described = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("features", "prediction")]
    node = helper.make_node("Identity", ["features"], ["prediction"])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(helper.make_graph([node], "g", described[:1], described[1:]), opset_imports=opset)


def pipeline(**decided: object) -> Pipeline:
    member = {"model_uri": "models:/m/1", **decided}
    page = {"name": "p", "answer": "tensors", "members": {"m": member}, "steps": ["members"]}
    return Pipeline.from_mapping({**page, "serving": {"max_batch_size": 100}})


def made(artifact, folder, stored=None, **decided):
    asked = pipeline(**decided)
    return copied(artifact, asked, asked.members["m"], folder, lambda own_python: None if own_python else stored)


@pytest.fixture
def artifact(tmp_path, monkeypatch):
    """Saved in two flavours, and as Python without a signature."""
    modules = {
        "flat": SimpleNamespace(convert=lambda *_: graph(), EXACTNESS=100),
        "good": SimpleNamespace(convert=lambda *_: graph("b", 2)),
    }
    entries = {name: SimpleNamespace(name=name, load=lambda module=module: module) for name, module in modules.items()}
    monkeypatch.setattr(converters, "converters", lambda: entries)
    flavors = {"flat": {}, "good": {}, "python_function": {}}
    version = RegisteredVersion(name="m", version=1, run_id=None, source="", flavors=flavors, signature=None)
    return Artifact(version=version, path=tmp_path, digest="")


def test_a_flavour_whose_graph_cannot_be_mended_gives_way_to_the_next(artifact, tmp_path):
    copy = made(artifact, tmp_path / "copy")

    assert copy.source.flavor == "good"
    assert "batch axis" in copy.refused["flat"]


def test_why_a_graph_cannot_be_made_is_said_where_own_python_cannot_serve_either(artifact, tmp_path):
    del converters.converters()["good"]

    with pytest.raises(ConversionError, match=r"batch axis.*; and .*logged without a signature"):
        made(artifact, tmp_path / "copy")


def test_a_version_in_the_store_is_not_made_again_of_another_flavour(artifact, tmp_path):
    made(artifact, tmp_path / "copy").graph.write(tmp_path / "7")

    assert made(artifact, tmp_path / "again", tmp_path / "7", flavor="good").source.flavor == "good"
    with pytest.raises(ConversionError, match=r"was made of the flavour good before, and `flavor: flat` asks"):
        made(artifact, tmp_path / "other", tmp_path / "7", flavor="flat")


ROWS = np.random.default_rng(0).normal(size=(250, 2))


@pytest.fixture
def centring(tmp_path):
    """Python that answers each row less the mean of those it is asked with."""
    return pyfunc_models.save(
        tmp_path / "m", lambda x: x - x.mean(axis=0), signature=infer_signature(ROWS, ROWS), example=ROWS
    )


def test_python_whose_answer_depends_on_the_rows_beside_it_is_proven_in_batches_as_they_are_served(centring, tmp_path):
    copy = made(centring, tmp_path / "copy", flavor="python_function")

    proof, expected = prove(copy.answer, original_of(copy), {"features": ROWS}, batch=copy.batch)

    assert proof.proven
    assert np.allclose(expected["prediction"][:100], ROWS[:100] - ROWS[:100].mean(axis=0))


def test_known_cases_are_asked_in_batches_as_they_are_served(centring, tmp_path):
    copy = made(centring, tmp_path / "copy", flavor="python_function")
    member = PreparedMember(name="m", model_name="m", artifact=centring, copied=copy, proof=None, feed={}, expected={})

    answered = member.answer(ROWS)["prediction"]

    assert np.allclose(answered[:100], ROWS[:100] - ROWS[:100].mean(axis=0))
    assert np.allclose(answered[200:], ROWS[200:] - ROWS[200:].mean(axis=0))
