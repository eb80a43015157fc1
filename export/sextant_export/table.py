"""The table that a model takes, written into its Triton configuration, where a client finds the names of columns."""

from __future__ import annotations

import json
from typing import Any

from sextant_export.signature import Signature

COLUMNS = "columns"


def describe_table(config: Any, signature: Signature | None, *, missing_text: bool = False) -> None:
    """
    Say in the parameters of *config*, an MLflow table's column for column, which tensor each travels in.

    Where one tensor of numbers holds them all, they stand in its order.  *missing_text* says that the model can tell a
    text that is missing from any that is there, which no graph can.
    """
    if signature is None or signature.form != "columns":
        return
    taken = [tensor.name for tensor in config.input]
    inputs = [column.to_dict() for column in signature.inputs]
    if not {column.tensor for column in signature.inputs} & set(taken):
        if len(taken) != 1 or list(config.input[0].dims) != [len(inputs)]:
            return  # it takes what a text or an image becomes, and no table
        inputs = [column | {"tensor": taken[0]} for column in inputs]
    given = {tensor.name for tensor in config.output}
    outputs = [column.to_dict() for column in signature.outputs if column.tensor in given]
    table = {"inputs": inputs, "outputs": outputs} | ({"missing_text": True} if missing_text else {})
    config.parameters[COLUMNS].string_value = json.dumps(table)
