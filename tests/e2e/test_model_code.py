"""The code of registered models runs in a child process with limits, announced where it is a pickle, or not at all."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from hostile_models import Sum
from sextant.errors import ModelStopped, PickleRefused
from sextant_export.pipeline import Pipeline
from sextant_export.release import export
from sextant_export.workshop import Limits
from sextant_promote.prove import prove

pytestmark = pytest.mark.e2e


class Listener:
    """A narrator that keeps the titles of steps, in order."""

    def __init__(self):
        self.titles = []

    @contextmanager
    def step(self, title):
        self.titles.append(title)
        yield self

    def result(self, text):
        """Nothing to keep."""


def page(name, **member):
    decided = {"model_uri": f"models:/{name}@champion", **member}
    return Pipeline.from_mapping(
        {"name": "only", "answer": "tensors", "members": {name: decided}, "steps": ["members"]}
    )


@pytest.fixture
def own_python(world, tmp_path):
    """Registers Python that does something *odd*; gives its page, and where it writes down where it ran."""

    def register(odd):
        note = tmp_path / "note.json"
        model = Sum(odd, note)
        as_asked = SimpleNamespace(predict=lambda rows: model.predict(None, rows))
        world.log(
            "own", lambda mlflow, **facts: mlflow.pyfunc.log_model(python_model=model, **facts), as_asked, "champion"
        )
        note.unlink(missing_ok=True)
        return page("own"), note

    return register


def test_it_runs_in_a_child_that_is_gone_and_knows_no_secret(world, own_python, monkeypatch):
    pipeline, note = own_python("nothing")
    monkeypatch.setenv("SEXTANT_TOKEN", "a secret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", world.registry.tracking_uri)
    listener = Listener()

    receipt = export(pipeline, world.store, world.registry, listener)

    ran = json.loads(note.read_text())
    assert ran["pid"] != os.getpid()
    assert not os.path.exists(f"/proc/{ran['pid']}")  # noqa: PTH110
    assert not {"SEXTANT_TOKEN", "MLFLOW_TRACKING_URI"} & ran["environment"].keys()
    assert receipt.members["own"]["pickled"] == ["python_model.pkl"]
    assert listener.titles == [
        "resolve members in the registry",
        "fetch",
        "unpickle python_model.pkl of own version 1",
        "convert own version 1",
        "prove parity of own version 1",
        "calibrate",
        "stage only.r1",
    ]


@pytest.mark.parametrize(
    ("odd", "limits", "limit", "sentence"),
    [
        ("leave", Limits(), None, r"models:/own/1: its code ended the process that ran it, with code 0"),
        ("loop", Limits(cpu_s=2.0), "cpu", r"models:/own/1: it used more than 2 s of processor time"),
    ],
)
def test_one_that_goes_too_far_publishes_nothing(world, own_python, odd, limits, limit, sentence):
    pipeline, _ = own_python(odd)

    with pytest.raises(ModelStopped, match=sentence) as caught:
        export(pipeline, world.store, world.registry, limits=limits)

    assert caught.value.limit == limit
    assert not any(world.store.models.iterdir())


def test_where_pickles_are_refused_not_one_byte_of_it_is_run(world, own_python):
    pipeline, note = own_python("nothing")

    with pytest.raises(PickleRefused, match=r"own/1: python_model.pkl is a pickle.*python_model='model.py'"):
        export(pipeline, world.store, world.registry, pickle=False)

    assert not note.exists()


def test_what_was_made_with_pickles_is_refused_where_they_are(world, own_python):
    """What serves it would load them; a member that was converted is served by its copy."""
    pipeline, note = own_python("nothing")
    export(pipeline, world.store, world.registry)
    converted = world.write_spec()
    made = export(converted, world.store, world.registry)
    note.unlink()

    with pytest.raises(PickleRefused, match=r"only\.r1 was made before, and serves models:/own/1 by its own Python"):
        export(pipeline, world.store, world.registry, pickle=False)

    assert not note.exists()
    assert export(converted, world.store, world.registry, pickle=False).release == made.release


def test_where_pickles_are_refused_a_proof_is_none_either(world):
    with pytest.raises(PickleRefused, match=r"ridge/1: model.pkl is a pickle.*serialization_format='skops'"):
        prove("models:/ridge@champion", world.registry, pickle=False)


def test_what_is_no_pickle_is_served_where_pickles_are_refused(world):
    """A skops file, and an ONNX graph made of it."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import Ridge

    ridge = Ridge().fit(world.training.scaled, world.training.east_north)
    graph = to_onnx(ridge, world.training.scaled[:1])
    as_asked = SimpleNamespace(predict=lambda rows: ridge.predict(rows).astype(np.float32))
    world.log(
        "safe",
        lambda mlflow, **f: mlflow.sklearn.log_model(ridge, serialization_format="skops", **f),
        ridge,
        "champion",
    )
    world.log("graph", lambda mlflow, **facts: mlflow.onnx.log_model(graph, **facts), as_asked, "champion")

    for name in ("safe", "graph"):
        receipt = export(page(name), world.store, world.registry, pickle=False)

        assert receipt.members[name]["pickled"] == []
