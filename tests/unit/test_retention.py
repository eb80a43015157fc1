"""What is taken out of a store is what a pipeline put there, whatever other models are called."""

from __future__ import annotations

import pytest

from sextant.tensors import Tensor
from sextant_export.config import Configs, ensemble_config, onnx_config
from sextant_export.pipeline import Serving
from sextant_export.store import Candidate, Store
from sextant_export.wiring import EnsembleStep
from sextant_promote.retention import present_releases

pytestmark = pytest.mark.models

X, Y = Tensor("x", "FP32", (4,)), Tensor("y", "FP32", (2,))


def test_a_model_that_is_called_like_a_release_is_none(tmp_path):
    store = Store(tmp_path / "store").prepare()
    config = Configs(onnx_config("locate.r1", [X], [Y], Serving(), [1]))
    store.publish(Candidate(model="locate.r1", version=1, configs=config, write=lambda d: (d / "model.onnx").touch()))
    step = EnsembleStep("locate.r1", 1, {"x": "x"}, {"y": "y"})
    store.write_ensemble(ensemble_config("locate.r2", 2, [step], [X], [Y], 8))

    assert present_releases(store, "locate") == {2}
