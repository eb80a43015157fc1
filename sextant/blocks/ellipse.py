from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant.ellipse import confidence_ellipse, mahalanobis_radius
from sextant.errors import CovarianceError, InputRefused, ParametersError
from sextant.parameters import numbers, refuse_unknown, whole
from sextant.tensors import Floats, Tensor


class Ellipse:
    """
    A fix and its covariance, the position answer with an ellipse for each confidence level.

    *radii* are the Mahalanobis radii that conformal calibration found for *confidence_levels*.  Without
    them the ellipses are those of a Gaussian and the answer says that it is not calibrated.

    >>> block = Ellipse({"confidence_levels": [0.5, 0.95], "release": 7})
    >>> answer = block(
    ...     fused_position=np.array([[48.0, 11.0]]),
    ...     fused_covariance=np.array([[[30.0, 12.0], [12.0, 50.0]]]),
    ...     fused_between_share=np.zeros((1, 1)), fused_members_used=np.ones((1, 1), np.int32),
    ...     fused_multimodal=np.zeros((1, 1), bool))
    >>> answer["ellipse"].round(2).tolist(), answer["calibrated"].tolist()
    ([[[8.78, 5.81, 25.1], [18.26, 12.09, 25.1]]], [[False]])
    """

    inputs: ClassVar[tuple[Tensor, ...]] = (
        Tensor("fused_position", "FP64", (2,)),
        Tensor("fused_covariance", "FP64", (2, 2)),
        Tensor("fused_between_share", "FP64", (1,)),
        Tensor("fused_members_used", "INT32", (1,)),
        Tensor("fused_multimodal", "BOOL", (1,)),
    )
    outputs: ClassVar[tuple[Tensor, ...]] = (
        Tensor("position", "FP64", (2,)),
        Tensor("covariance", "FP64", (2, 2)),
        Tensor("confidence_level", "FP64", (-1,)),
        Tensor("ellipse", "FP64", (-1, 3)),
        Tensor("between_share", "FP64", (1,)),
        Tensor("members_used", "INT32", (1,)),
        Tensor("degenerate", "BOOL", (1,)),
        Tensor("multimodal", "BOOL", (1,)),
        Tensor("calibrated", "BOOL", (1,)),
        Tensor("release", "INT32", (1,)),
    )

    parameters: ClassVar[tuple[str, ...]] = ("confidence_levels", "radii", "release")

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        self._levels = numbers(parameters, "confidence_levels", (-1,))
        self._calibrated = parameters.get("radii") is not None
        self._radii = _radii(parameters, self._levels)
        self._release = whole(parameters, "release")

    def __call__(
        self,
        *,
        fused_position: Floats,
        fused_covariance: Floats,
        fused_between_share: Floats,
        fused_members_used: NDArray[np.int32],
        fused_multimodal: NDArray[np.bool_],
    ) -> dict[str, NDArray[Any]]:
        """The tensors of the position answer."""
        rows = len(fused_position)
        ellipse, degenerate = self._ellipses(fused_covariance)
        return {
            "position": fused_position,
            "covariance": fused_covariance,
            "confidence_level": np.tile(self._levels, (rows, 1)),
            "ellipse": ellipse,
            "between_share": fused_between_share,
            "members_used": fused_members_used,
            "degenerate": degenerate[:, None],
            "multimodal": fused_multimodal,
            "calibrated": np.full((rows, 1), self._calibrated),
            "release": np.full((rows, 1), self._release, dtype=np.int32),
        }

    def _ellipses(self, covariance: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Ellipses ``(B, L, 3)``, one calculation a row: levels differ by their radius alone."""
        try:
            unit = confidence_ellipse(covariance, 1.0)
        except CovarianceError as error:
            raise InputRefused("fused_covariance", "covariances", str(error)) from error
        ellipse = np.empty((len(covariance), len(self._radii), 3))
        ellipse[..., 0] = unit.semi_major_m[:, None] * self._radii
        ellipse[..., 1] = unit.semi_minor_m[:, None] * self._radii
        ellipse[..., 2] = unit.orientation_deg[:, None]
        return ellipse, unit.degenerate


def _radii(parameters: Mapping[str, Any], levels: Floats) -> Floats:
    gaussian = mahalanobis_radius(levels)
    if parameters.get("radii") is None:
        return gaussian
    radii = numbers(parameters, "radii", levels.shape)
    if not np.all(radii > 0):
        raise ParametersError(f"radii: expected numbers above 0, got {radii.tolist()}")
    return radii
