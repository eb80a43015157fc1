from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant.arrays import real
from sextant.errors import InputRefused, ParametersError
from sextant.parameters import number, refuse_unknown, whole
from sextant.tensors import Tensor


class Scale:
    """
    Features of one range, checked, and brought to another: ``max(0, (x + offset) / divisor) ** power``.

    A value equal to *missing* becomes 0.  A row of another width, with NaN or infinity, or with a value
    that is not missing outside *at_least* .. *at_most*, is refused with its row and column.

    >>> scale = Scale({"width": 3, "offset": 104, "missing": 100})
    >>> scale(features=np.array([[-104, -50, 100]], np.float32))["scaled"].tolist()
    [[0.0, 54.0, 0.0]]
    """

    inputs: tuple[Tensor, ...] = (Tensor("features", "FP32", (-1,)),)
    outputs: tuple[Tensor, ...] = (Tensor("scaled", "FP32", (-1,)),)

    parameters: ClassVar[tuple[str, ...]] = (
        "width",
        "offset",
        "divisor",
        "missing",
        "power",
        "at_least",
        "at_most",
    )
    measured: ClassVar[tuple[str, ...]] = ("width",)
    validates: ClassVar[bool] = True

    @classmethod
    def settled(cls, parameters: Mapping[str, Any], dims: tuple[int, ...]) -> dict[str, Any]:
        """The complete parameters for rows of *dims*, which are the same on both sides."""
        return {**parameters, "width": dims[-1]}

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        self._width = whole(parameters, "width")
        self.inputs, self.outputs = (_of_width(side, self._width) for side in (Scale.inputs, Scale.outputs))
        self._offset = number(parameters, "offset", 0.0)
        self._divisor = number(parameters, "divisor", 1.0)
        self._power = number(parameters, "power", 1.0)
        self._missing = number(parameters, "missing", None)
        self._at_least = number(parameters, "at_least", None)
        self._at_most = number(parameters, "at_most", None)
        if not self._divisor:
            raise ParametersError("divisor: expected a number other than 0")
        if not self._power or self._power < 0:
            raise ParametersError(f"power: expected a number above 0, got {self._power}")

    def __call__(self, *, features: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The ``scaled`` features ``(B, width)``, or ``InputRefused``."""
        missing = self._checked(features)
        scaled = features + np.float32(self._offset)
        if self._divisor != 1:
            scaled /= np.float32(self._divisor)
        np.maximum(scaled, 0, out=scaled)
        if self._power != 1:
            np.power(scaled, np.float32(self._power), out=scaled)
        if missing is not None:
            scaled[missing] = 0
        return {"scaled": scaled}

    def _checked(self, features: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        real(features, partial(InputRefused, "features", "numbers"))
        if features.ndim != 2 or features.shape[1] != self._width:
            raise InputRefused("features", f"rows of {self._width} numbers", f"shape {list(features.shape)}")
        _refuse(~np.isfinite(features), features, "finite numbers")
        missing = None if self._missing is None else features == np.float32(self._missing)
        if self._at_least is not None:
            low = features < np.float32(self._at_least)
            _refuse(low if missing is None else low & ~missing, features, f"numbers from {self._at_least:g} on")
        if self._at_most is not None:
            high = features > np.float32(self._at_most)
            _refuse(high if missing is None else high & ~missing, features, f"numbers up to {self._at_most:g}")
        return missing


def _of_width(tensors: tuple[Tensor, ...], width: int) -> tuple[Tensor, ...]:
    return tuple(tensor._replace(dims=(width,)) for tensor in tensors)


def _refuse(bad: NDArray[np.bool_], features: NDArray[np.float32], expected: str) -> None:
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        raise InputRefused("features", expected, f"{features[row, column]:g} in row {row}, column {column}")
