"""What a configuration tells a client of a table."""

from __future__ import annotations

import json

from mlflow.models.signature import ModelSignature
from mlflow.types import ColSpec, Schema

from sextant.tensors import Tensor
from sextant_export.config import onnx_config
from sextant_export.pipeline import Serving
from sextant_export.signature import Signature
from sextant_export.table import describe_table

NUMBERS = [ColSpec("double", "a b"), ColSpec("long", "n")]


def table(columns, inputs, outputs=(), answers=None):
    signature = Signature.of(ModelSignature(Schema(columns), Schema(answers) if answers else None))
    config = onnx_config("m", [Tensor(*each) for each in inputs], [Tensor(*each) for each in outputs], Serving(), [1])
    describe_table(config, signature)
    return json.loads(config.parameters["columns"].string_value or "null")


def test_columns_in_one_tensor_stand_in_its_order():
    inputs = table(NUMBERS, [("features", "FP32", (2,))])["inputs"]

    assert [(each["name"], each["tensor"], each["type"]) for each in inputs] == [
        ("a b", "features", "double"),
        ("n", "features", "long"),
    ]


def test_a_column_is_of_the_type_that_its_tensor_has():
    """A graph may want another type than was logged."""
    inputs = table(NUMBERS, [("a_b", "FP32", (1,)), ("n", "INT32", (1,))])["inputs"]

    assert [each["type"] for each in inputs] == ["float", "integer"]


def test_only_what_is_given_is_told_of():
    answers = [ColSpec("string", "label"), ColSpec("double", "score")]
    found = table([ColSpec("string", "s")], [("s", "BYTES", (1,))], [("label", "BYTES", (1,))], answers)

    assert [each["name"] for each in found["outputs"]] == ["label"]


def test_a_model_that_takes_what_a_text_becomes_takes_no_table():
    assert table([ColSpec("string", "text")], [("input_ids", "INT64", (-1,)), ("mask", "INT64", (-1,))]) is None
