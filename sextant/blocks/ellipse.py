from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import starmap
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant import ellipse
from sextant.errors import CovarianceError, InputRefused, ParametersError
from sextant.groups import Groups
from sextant.measures import ELLIPSE_AREA, Series, ellipse_areas
from sextant.parameters import numbers, one_of, read_levels, refuse_unknown, whole
from sextant.tensors import Floats, Tensor
from sextant.values import level_text


class Ellipse:
    """
    A fix and its covariance, the position answer with an ellipse for each confidence level.

    *radii* are the Mahalanobis radii that conformal calibration found for *confidence_levels*, and *groups*
    those of each group of fixes (see ``sextant.groups``); where the caller says the group, it is the input
    ``group``.  Without either the ellipses are those of a Gaussian, by *scale_method* one whose covariance is
    known (``chi2``) or is the spread of the members used (``f``), and the answer says that it is not
    calibrated.

    >>> block = Ellipse({"confidence_levels": [0.5, 0.95], "release": 7})
    >>> answer = block(
    ...     fused_position=np.array([[48.0, 11.0]]),
    ...     fused_covariance=np.array([[[30.0, 12.0], [12.0, 50.0]]]),
    ...     fused_between_share=np.zeros((1, 1)), fused_members_used=np.ones((1, 1), np.int32),
    ...     fused_multimodal=np.zeros((1, 1), bool))
    >>> answer["ellipse"].round(2).tolist(), answer["calibrated"].tolist()
    ([[[8.78, 5.81, 25.1], [18.26, 12.09, 25.1]]], [[False]])
    """

    inputs: tuple[Tensor, ...] = (
        Tensor("fused_position", "FP64", (2,)),
        Tensor("fused_covariance", "FP64", (2, 2)),
        Tensor("fused_between_share", "FP64", (1,)),
        Tensor("fused_members_used", "INT32", (1,)),
        Tensor("fused_multimodal", "BOOL", (1,)),
        Tensor("fused_members_rejected", "BYTES", (1,), optional=True),
    )
    outputs: tuple[Tensor, ...] = (
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
        Tensor("scale_method", "BYTES", (1,)),
        Tensor("members_rejected", "BYTES", (1,)),
    )

    parameters: ClassVar[tuple[str, ...]] = ("confidence_levels", "radii", "release", "scale_method", "groups")
    measured: ClassVar[tuple[str, ...]] = ("radii", "release", "scale_method", "groups")
    asks: ClassVar[tuple[str, ...]] = ("group",)

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        self._levels = read_levels(parameters)
        self._gaussian = ellipse.mahalanobis_radius(self._levels)
        method = one_of(parameters, "scale_method", ("chi2", "f"))
        self._groups, self._radii = _calibrated(parameters, len(self._levels))
        self._method = method if self._radii is None else "conformal"
        self._release = whole(parameters, "release")
        self.series = tuple(starmap(_area, enumerate(self._levels.tolist())))
        if self._groups is not None and self._groups.by == "column":
            self.inputs = (*Ellipse.inputs, Tensor("group", "BYTES", (1,)))

    def __call__(
        self,
        *,
        fused_position: Floats,
        fused_covariance: Floats,
        fused_between_share: Floats,
        fused_members_used: NDArray[np.int32],
        fused_multimodal: NDArray[np.bool_],
        fused_members_rejected: NDArray[np.object_] | None = None,
        group: NDArray[np.object_] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """The tensors of the position answer."""
        rows = len(fused_position)
        unit = _unit_ellipses(fused_covariance)
        radii = self._scaled(fused_position, fused_covariance, fused_members_used, group)
        axes = [unit.semi_major_m[:, None] * radii, unit.semi_minor_m[:, None] * radii]
        bearing = np.broadcast_to(unit.orientation_deg[:, None], radii.shape)
        if fused_members_rejected is None:
            fused_members_rejected = np.full((rows, 1), b"", dtype=np.object_)
        return {
            "position": fused_position,
            "covariance": fused_covariance,
            "confidence_level": np.tile(self._levels, (rows, 1)),
            "ellipse": np.stack([*axes, bearing], axis=-1),
            "between_share": fused_between_share,
            "members_used": fused_members_used,
            "degenerate": unit.degenerate[:, None],
            "multimodal": fused_multimodal,
            "calibrated": np.full((rows, 1), self._radii is not None),
            "release": np.full((rows, 1), self._release, dtype=np.int32),
            "scale_method": np.full((rows, 1), self._method.encode(), dtype=np.object_),
            "members_rejected": fused_members_rejected,
        }

    def _scaled(
        self,
        position: Floats,
        covariance: Floats,
        members_used: NDArray[np.int32],
        group: NDArray[np.object_] | None,
    ) -> Floats:
        """The Mahalanobis radii ``(B, L)`` of each row's ellipses."""
        if self._groups is not None and self._radii is not None:
            return self._radii[self._groups.of(position, covariance, group)]
        if self._method == "f":
            return _of_spread(self._levels, members_used)
        radii = self._gaussian if self._radii is None else self._radii
        return np.broadcast_to(radii, (len(position), len(radii)))


def _area(place: int, level: float) -> Series:
    """The areas of the ellipses of one *level*, which is the one at this *place*."""
    return Series(ELLIPSE_AREA, "ellipse", partial(ellipse_areas, place), {"confidence_level": level_text(level)})


def _unit_ellipses(covariance: Floats) -> ellipse.Ellipse:
    try:
        return ellipse.confidence_ellipse(covariance, 1.0)
    except CovarianceError as error:
        raise InputRefused("fused_covariance", "covariances", str(error)) from error


def _of_spread(levels: Floats, members_used: NDArray[np.int32]) -> Floats:
    try:
        return ellipse.small_sample_radius(levels, members_used.reshape(-1, 1))
    except ParametersError as error:
        few = "3 members or more, as the ellipses come from their spread (scale_method f)"
        came = f"{members_used.min()} in row {int(members_used.argmin())}"
        raise InputRefused("fused_members_used", few, came) from error


def _calibrated(parameters: Mapping[str, Any], levels: int) -> tuple[Groups | None, Floats | None]:
    """The groups, if there are any, and the radii that known cases gave: ``(L,)``, with groups ``(G, L)``."""
    page = parameters.get("groups")
    if page is None:
        return None, None if parameters.get("radii") is None else _above_zero(parameters, "radii", (levels,))
    if parameters.get("radii") is not None:
        raise ParametersError("radii: expected none beside groups, which have their own")
    groups = Groups(page)
    return groups, _above_zero({"groups.radii": page.get("radii")}, "groups.radii", (len(groups), levels))


def _above_zero(parameters: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> Floats:
    radii = numbers(parameters, key, shape)
    if not np.all(radii > 0):
        raise ParametersError(f"{key}: expected numbers above 0, got {radii.tolist()}")
    return radii
