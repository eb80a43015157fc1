"""Two-by-two covariances as columns of a graph: the arithmetic of ``sextant.covariance``, a member a column."""

from __future__ import annotations

from typing import NamedTuple

from sextant.covariance import LARGEST_VARIANCE, REGULAR
from sextant.outliers import WIDER
from sextant.tensors import Floats
from sextant_export.fusing.graph import Value, where
from sextant_export.fusing.trigonometry import hypotenuse


class Spread(NamedTuple):
    """Variances to the *east* and the *north* and what they share, *cross*: each ``(B, M)``, or one row for all."""

    east: Value
    cross: Value
    north: Value

    def total(self, weights: Value) -> Spread:
        """The weighted sum of the members' covariances; *weights* ``(M, 1)``."""
        return Spread(self.east @ weights, self.cross @ weights, self.north @ weights)

    def plus(self, other: Spread) -> Spread:
        """The sum of both."""
        return Spread(self.east + other.east, self.cross + other.cross, self.north + other.north)

    def inverse(self) -> tuple[Spread, Value]:
        """The inverse, and where there is one."""
        determinant = self.determinant
        inverted = Spread(self.north / determinant, -self.cross / determinant, self.east / determinant)
        return inverted, self.regular

    def widened(self) -> Spread:
        """As the gate takes those that have no inverse."""
        wider = where(self.regular, self.east * 0.0, (self.east + self.north + 1.0) * WIDER)
        return Spread(self.east + wider, self.cross, self.north + wider)

    def turned(self, along: Value, across: Value) -> Spread:
        """As it reads once every bearing has grown by the angle whose cosine and sine are *along* and *across*."""
        half, mean = (self.north - self.east) * 0.5, (self.north + self.east) * 0.5
        twice_along, twice_across = along * along - across * across, along * across * 2.0
        ahead = twice_along * half - twice_across * self.cross
        return Spread(mean - ahead, twice_across * half + twice_along * self.cross, mean + ahead)

    def eigenvalues(self) -> tuple[Value, Value]:
        """The larger and the smaller one."""
        largest = (self.east + self.north + hypotenuse(self.east - self.north, self.cross * 2.0)) * 0.5
        least = where(self.east < self.north, self.east, self.north)
        return largest, where(largest > 0.0, self.determinant / largest, least)

    @property
    def regular(self) -> Value:
        """Which have an inverse that is no rounding."""
        product = self.east * self.north
        return (product > 0.0) & (self.determinant > product * REGULAR)

    @property
    def determinant(self) -> Value:
        """The determinant."""
        return self.east * self.north - self.cross * self.cross


def checked(flat: Value, members: int, rounding: Floats) -> tuple[Spread, Value]:
    """
    Covariances ``(B, 4 * M)``, all of one place of the matrix after another, and which rows ``(B, 1)`` admit them.

    What rounding explains is mended, as ``checked_covariance`` does; *rounding* ``(M,)`` is how much that is.
    """
    finite = (abs(flat) <= LARGEST_VARIANCE).all()
    east, cross, again, north = flat.split(*[members] * 4)
    symmetric = (abs(cross - again) <= abs(east + north) * rounding).all()
    spread = Spread(east, (cross + again) * 0.5, north)
    largest, smallest = spread.eigenvalues()
    admitted = finite & symmetric & (smallest >= largest * -rounding).all()
    lacking = where(smallest < 0.0, -smallest, 0.0)
    return Spread(east + lacking, spread.cross, north + lacking), admitted
