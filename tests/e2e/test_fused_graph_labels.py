"""``fuse_graph`` of classifiers that vote: label, probabilities and sets out of one graph."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from label_world import MEMBERS, make_label_world, numbers, zones
from sextant.errors import RequestRefused
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton
from small_world import draw

pytestmark = pytest.mark.e2e

SERVING = {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": 1}
FUSED = {**SERVING, "fuse_graph": True}


class Stage:
    """A label world with a Triton on its store."""

    def __init__(self, world):
        self.world, self.triton = world, EmbeddedTriton(world.store.prepare().root)

    def __enter__(self):
        self.triton.start()
        self.control = Control(self.triton.address.grpc, self.triton.address.token)
        self.client = Client(self.triton.address.grpc)
        return self

    def __exit__(self, *exception):
        self.client.close()
        self.control.close()
        self.triton.stop()

    def promote(self, vote, serving, **page):
        self.world.write_labels(vote, changes={"serving": serving}, **page)
        return promote(load_pipeline(self.world.spec), self.world.store, self.world.registry, self.control)


@pytest.fixture(scope="module")
def first_label_world(tmp_path_factory):
    return make_label_world(tmp_path_factory.mktemp("labels"))


def staged(world, root):
    """A stage of its own, with the models of *world*."""
    shutil.copyfile(world.root / "mlflow.db", root / "mlflow.db")
    return Stage(replace(world, root=root))


@pytest.fixture
def stage(first_label_world, tmp_path):
    with staged(first_label_world, tmp_path) as stage:
        yield stage


@pytest.fixture(scope="module", params=[zones, numbers], ids=["text", "numbers"])
def voting(request, first_label_world, tmp_path_factory):
    """One stage and kind of labels for every vote: each is two releases, and members are exported once."""
    with staged(first_label_world, tmp_path_factory.mktemp("voting")) as stage:
        yield stage, request.param


@pytest.mark.parametrize(
    "vote",
    [
        {"method": "plurality"},
        {"method": "soft", "pool": "geometric", "weights": [1, 2, 3]},
        {"method": "dawid_skene"},
    ],
    ids=lambda vote: vote["method"],
)
def test_a_fused_vote_is_the_ensemble_s(voting, vote):
    """Calibrated by known cases, with prediction sets; classes of text and of whole numbers."""
    stage, labels = voting
    names = MEMBERS if labels is zones else [f"{name}_number" for name in MEMBERS]
    page = {"members": {name: f"models:/{name}@champion" for name in names}, "truth": labels}
    rows = draw(300, seed=9).features
    stage.promote({**vote, "confidence_levels": [0.9]}, serving=SERVING, **page)
    before = stage.client.pipeline("zone").tensors(rows)

    done = stage.promote({**vote, "confidence_levels": [0.9]}, serving=FUSED, **page)
    fused = stage.client.pipeline("zone").tensors(rows)

    assert (done.receipt.fused["steps"], done.receipt.fused["left"]) == (["scale", "members", "vote"], {})
    assert fused.keys() == before.keys()
    for name in before.keys() - {"release"}:
        if before[name].dtype.kind == "f":
            assert fused[name] == pytest.approx(before[name], abs=1e-4)
        else:
            assert fused[name].tolist() == before[name].tolist(), name


def test_a_bad_row_has_no_label(stage):
    """Its neighbours have theirs; the raw tensors say nothing of it."""
    stage.promote({"method": "soft"}, serving=FUSED)
    rows = draw(5, seed=9).features
    good = [label.label for label in stage.client.pipeline("zone")(rows)]
    rows[2, 1] = np.nan

    given = stage.client.pipeline("zone").tensors(rows)
    with pytest.raises(RequestRefused, match=r"row 2 \(features: nan at \[1\]\)$"):
        stage.client.pipeline("zone")(rows)

    assert given["label"].ravel().tolist() == [
        *[word.encode() for word in good[:2]],
        b"",
        *[w.encode() for w in good[3:]],
    ]
    assert np.isnan(given["probabilities"][2]).all()
