"""The table that a model takes, written into its Triton configuration, where a client finds the names of columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sextant.columns import NUMBERS, TYPES, Column
from sextant_export.config import COLUMNS, type_word
from sextant_export.signature import Signature


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
    else:
        inputs = _as_served(signature.inputs, config.input)
    outputs = _as_served(signature.outputs, config.output)
    table = {"inputs": inputs, "outputs": outputs} | ({"missing_text": True} if missing_text else {})
    config.parameters[COLUMNS].string_value = json.dumps(table)


def _as_served(columns: Sequence[Column], tensors: Any) -> list[dict[str, Any]]:
    """Those of *columns* that have a tensor, each of the type that travels: a graph may want another."""
    dtypes = {tensor.name: type_word(tensor).replace("STRING", "BYTES") for tensor in tensors}
    present = [column for column in columns if column.tensor in dtypes]
    return [_retyped(column, dtypes[column.tensor]).to_dict() for column in present]


def _retyped(column: Column, dtype: str) -> Column:
    if column.type not in NUMBERS or TYPES[column.type] == dtype:
        return column
    return replace(column, type={TYPES[word]: word for word in NUMBERS}.get(dtype, column.type))
