"""What a release changes of models that others share, and how that is undone."""

from __future__ import annotations

import pytest

from sextant.errors import StoreError
from sextant.tensors import Tensor
from sextant_export.config import Configs, onnx_config
from sextant_export.pipeline import Serving
from sextant_export.store import Candidate, Store
from sextant_promote.shared import changing, undo

X, Y = Tensor("x", "FP32", (4,)), Tensor("y", "FP32", (2,))


def configs(model, batch, versions=(1,)):
    return Configs(onnx_config(model, [X], [Y], Serving(max_batch_size=batch), versions))


def put(store, model, batch, version=1):
    store.publish(
        Candidate(
            model=model,
            version=version,
            configs=configs(model, batch, [version]),
            write=lambda folder: (folder / "model.onnx").touch(),
        )
    )


@pytest.fixture
def store(tmp_path):
    """Two models with batches of 8."""
    store = Store(tmp_path / "store").prepare()
    put(store, "ours", 8)
    put(store, "theirs", 8)
    return store


def batches(store):
    return {model: store.config(model).max_batch_size for model in store.configs()}


def test_what_was_changed_is_put_back_and_keeps_its_versions(store):
    with changing(store) as changed:
        put(store, "ours", 16, version=2)

    assert batches(store) == {"ours": 16, "theirs": 8}
    assert undo(store, changed) == ["ours"]
    assert store.twins("ours") == configs("ours", 8, [1, 2])


def test_what_others_have_written_since_is_left_alone(store):
    """Both what this release never touched, and what it changed first."""
    with changing(store) as changed:
        put(store, "ours", 16, version=2)
    store.write_configs(configs("ours", 64, [1, 2]))
    store.write_configs(configs("theirs", 64))

    assert undo(store, changed) == []
    assert batches(store) == {"ours": 64, "theirs": 64}


def test_a_block_that_fails_has_changed_nothing(store):
    def fail():
        with changing(store):
            store.write_configs(configs("ours", 16))
            raise StoreError("no room")

    with pytest.raises(StoreError, match="no room"):
        fail()

    assert batches(store) == {"ours": 8, "theirs": 8}
