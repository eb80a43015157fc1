"""What a registered model takes, per its MLflow signature: one tensor, or number columns that make one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_ADVICE = "log the model with signature=mlflow.models.infer_signature(inputs, outputs), inputs being one float32 array"
_NUMBERS = ("integer", "long", "float", "double")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSignature:
    """
    One input tensor: its dtype and its dims, without the batch.

    *name* is set where the model wants its input by name, *columns* where it wants a table.
    """

    dtype: str
    dims: tuple[int, ...]
    name: str | None = None
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, signature: Any) -> TensorSignature:
        """The one tensor of an MLflow signature; ValueError says what to log instead."""
        if signature is None or signature.inputs is None:
            raise ValueError(f"it was logged without a signature: {_ADVICE}")
        if signature.inputs.is_tensor_spec():
            return cls._of_tensors(signature.inputs.inputs)
        return cls._of_columns(signature.inputs.inputs)

    @classmethod
    def _of_tensors(cls, specs: list[Any]) -> TensorSignature:
        if len(specs) != 1:
            raise ValueError(f"its signature has {len(specs)} tensors and this version serves models of one: {_ADVICE}")
        dtype, shape = np.dtype(specs[0].type), tuple(int(size) for size in specs[0].shape)
        if dtype.kind not in "fiub" or len(shape) < 2:
            raise ValueError(f"its signature is {dtype} {list(shape)}; wanted numbers [-1, width]: {_ADVICE}")
        return cls(dtype=dtype.name, dims=shape[1:], name=specs[0].name)

    @classmethod
    def _of_columns(cls, columns: list[Any]) -> TensorSignature:
        """A table of numbers is one float32 tensor, a column each."""
        for column in columns:
            if getattr(column.type, "name", str(column.type)) not in _NUMBERS or not column.name:
                raise ValueError(f"its column {column.name!r} is {column.type} and one tensor holds numbers: {_ADVICE}")
        names = tuple(str(column.name) for column in columns)
        return cls(dtype="float32", dims=(len(names),), columns=names)

    def to_dict(self) -> dict[str, Any]:
        """As the receipt keeps it."""
        return {
            "dtype": self.dtype,
            "dims": list(self.dims),
            "name": self.name,
            "columns": list(self.columns),
        }
