"""The columns that a ColumnTransformer selects, of which skl2onnx knows names and counted places alone."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from skl2onnx._parse import _parse_sklearn_column_transformer


def parse_selection(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """skl2onnx's own reading of a fitted ColumnTransformer whose columns are :func:`selected`."""
    told = copy(model)
    told.transformers_ = [(name, part, selected(model, name, columns)) for name, part, columns in model.transformers_]
    return _parse_sklearn_column_transformer(scope, told, inputs, custom_parsers=custom_parsers)


def selected(model: Any, name: str, columns: Any) -> Any:
    """
    The *columns* of the part *name*: the name or names that they were selected by, or else their places.

    A slice, a mask and a place counted from the end are places; a slice from one name to another is names.
    """
    named = selects_by_name(columns)
    if named and not isinstance(columns, slice):
        return columns
    places = [int(place) for place in model._transformer_to_input_indices[name]]  # noqa: SLF001 - told nowhere else
    return [str(model.feature_names_in_[place]) for place in places] if named else places


def selects_by_name(columns: Any) -> bool:
    """Whether *columns* are named, rather than counted or asked for one by one."""
    if isinstance(columns, slice):
        return isinstance(columns.start, str) or isinstance(columns.stop, str)
    return isinstance(columns, str) or (np.size(columns) > 0 and isinstance(np.ravel(columns)[0], str))
