"""What a new release may change of a model that older ones use: add to it, never take away."""

from __future__ import annotations

import pytest

from sextant.errors import BreakingChange
from sextant.tensors import Tensor
from sextant_export.config import CLASSES, COLUMNS, GROUP_COLUMN, Configs, ensemble_config, onnx_config
from sextant_export.joining import merged, refuse_breaking
from sextant_export.pipeline import Serving
from sextant_export.wiring import EnsembleStep

X, Y, EXTRA = Tensor("x", "FP32", (4,)), Tensor("y", "FP32", (2,)), Tensor("method", "BYTES", (1,))
STEP = EnsembleStep("locate.ellipse", 1, {"x": "x"}, {"y": "y"})


def front(inputs=(X,), outputs=(Y,)):
    return ensemble_config("locate", 1, [STEP], inputs, outputs, 8)


@pytest.mark.parametrize(
    "later", [front(outputs=(Y, EXTRA)), front(inputs=(X, EXTRA._replace(optional=True))), front()], ids=str
)
def test_what_only_grows_breaks_nobody(later):
    refuse_breaking(front(), later)


@pytest.mark.parametrize(
    "later", [front(outputs=(EXTRA,)), front(inputs=(X, EXTRA)), front(outputs=(Y._replace(dtype="FP64"),))], ids=str
)
def test_what_goes_changes_or_is_demanded_breaks_callers(later):
    with pytest.raises(BreakingChange, match="locate: its .* would change"):
        refuse_breaking(front(), later)


def test_a_graph_cannot_grow_because_its_older_versions_would_not_load():
    was, becomes = (onnx_config("forest", [X], outputs, Serving(), [1]) for outputs in ((Y,), (Y, EXTRA)))

    with pytest.raises(BreakingChange, match="its outputs would change"):
        refuse_breaking(was, becomes)


def test_an_older_release_placed_again_takes_no_tensor_from_the_newer():
    newer, older = (Configs(front(outputs=outputs)) for outputs in ((Y, EXTRA), (Y,)))

    assert [tensor.name for tensor in merged(newer, older, 1).main.output] == ["y", "method"]


def test_another_meaning_of_the_callers_group_is_a_breaking_change():
    """The tensor is called ``group`` whatever it means: floor "1" must not silently become stock "1"."""
    was, becomes = front(), front()
    was.parameters[GROUP_COLUMN].string_value, becomes.parameters[GROUP_COLUMN].string_value = "floor", "stock"

    refuse_breaking(was, was)
    with pytest.raises(BreakingChange, match="its group would change from 'floor' to 'stock'"):
        refuse_breaking(was, becomes)


def saying(**words):
    config = front()
    for name, word in words.items():
        config.parameters[name].string_value = word
    return config


TWO_COLUMNS = '{"inputs": [{"name": "a", "tensor": "x"}, {"name": "b", "tensor": "x"}]}'


@pytest.mark.parametrize(
    ("name", "word", "sentence"),
    [
        (CLASSES, '["a", "b"]', r"its classes would change from \['a', 'b'\] to \[\], and callers know"),
        (COLUMNS, TWO_COLUMNS, r"its columns would change from \['a', 'b'\] to \[\], and callers that send arrays"),
    ],
)
def test_what_callers_rely_on_may_not_go(name, word, sentence):
    refuse_breaking(front(), saying(**{name: word}))

    with pytest.raises(BreakingChange, match=sentence):
        refuse_breaking(saying(**{name: word}), front())


def test_a_group_that_nobody_asks_for_any_more_breaks_nobody():
    """Whoever goes on sending it is not answered for another."""
    refuse_breaking(saying(**{GROUP_COLUMN: "floor"}), front())


def test_asking_a_configuration_changes_nothing_in_it():
    """A parameter that is read where there is none would be written with it."""
    config = front()

    refuse_breaking(config, config)

    assert set(config.parameters) == {"release"}
