"""
How often a fused 95 % ellipse holds the truth, and how large it is, where members share more or less of their errors.

Five members, each with an error of 10 m and each right about it, every pair with the same correlation. Beside the
default rule, with its gate: covariance intersection, inverse variance (the rule that is right for independent members
alone) and the spread of the members on the F scale. Areas are relative to the least possible ellipse, that of one who
knows the correlation. Then one member in five goes ten deviations astray.
Run: ``python benchmarks/fusion_coverage.py``, half a minute; ``--quick`` draws a tenth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import pi, sqrt

import numpy as np

from report import report
from sextant.covariance import mahalanobis_squared
from sextant.ellipse import mahalanobis_radius, small_sample_radius
from sextant.fuse import Fused, fuse_about
from sextant.geodesy import to_east_north

LEVEL, MEMBERS, SIGMA_M, ASTRAY = 0.95, 5, 10.0, 10.0
CORRELATIONS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
DRAWS, PIECE = 400_000, 20_000
HERE = (0.0, 0.0)
COVARIANCES = np.tile(SIGMA_M**2 * np.eye(2), (MEMBERS, 1, 1))
CHI2 = float(mahalanobis_radius(LEVEL))
RULES = {
    "moment": ({}, CHI2),
    "covariance_intersection": ({"method": "covariance_intersection"}, CHI2),
    "inverse_variance": ({"method": "inverse_variance", "gate": None}, CHI2),
    "spread": ({"method": "spread"}, float(small_sample_radius(LEVEL, MEMBERS))),
}
# Rules that promise never to be too sure; the others are there to show what it would cost to trust them.
CAUTIOUS = ("moment", "covariance_intersection")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws")
    draws = DRAWS // 10 if parser.parse_args().quick else DRAWS
    for correlation in CORRELATIONS:
        for rule in RULES:
            covers(rule, correlation, draws)
    stands_an_outlier(draws)


def covers(rule: str, correlation: float, draws: int) -> None:
    """Report coverage and area of a *rule*."""
    options, radius = RULES[rule]
    held, area = 0, []
    for offsets in drawn(correlation, draws):
        fix = fuse_about(HERE, offsets, None if rule == "spread" else COVARIANCES, **options)
        held += int(np.sum(within(fix, radius)))
        area.append(pi * radius**2 * deviations(fix))
    least = pi * CHI2**2 * SIGMA_M**2 * (correlation + (1 - correlation) / MEMBERS)
    name, share = f"fusion.rho_{correlation:g}.{rule}", held / draws
    ok = share >= LEVEL - 3 * sqrt(LEVEL * (1 - LEVEL) / draws)
    given = {"target": f">= {LEVEL}, within 3 standard errors", "ok": ok} if rule in CAUTIOUS else {}
    report(f"{name}.coverage", round(share, 4), "share", **given)
    report(f"{name}.area", round(float(np.median(np.concatenate(area)) / least), 3), "of the least possible")


def stands_an_outlier(draws: int) -> None:
    """Report error and area with one member astray, gated and not, relative to those of members that are not."""
    four, five, gated, plain = np.zeros((4, 2))
    for offsets in drawn(0.5, draws):
        astray = offsets.copy()
        astray[:, -1, 0] += ASTRAY * SIGMA_M
        four += errors(fuse_about(HERE, offsets[:, :-1], COVARIANCES[:-1]))
        five += errors(fuse_about(HERE, offsets, COVARIANCES))
        gated += errors(fuse_about(HERE, astray, COVARIANCES))
        plain += errors(fuse_about(HERE, astray, COVARIANCES, gate=None))
    against = {"the_four_others": four, "five_clean": five}
    ratios = {name: sqrt(gated[0] / clean[0]) for name, clean in against.items()}
    for name, clean in against.items():
        given = {"target": "<= 1.05", "ok": ratios[name] <= 1.05}
        report(f"fusion.outlier.gated.rmse.of_{name}", round(ratios[name], 4), "x", **given)
        report(f"fusion.outlier.gated.area.of_{name}", round(float(gated[1] / clean[1]), 3), "x")
    report("fusion.outlier.plain.rmse.of_five_clean", round(sqrt(plain[0] / five[0]), 3), "x")
    report("fusion.outlier.plain.area.of_five_clean", round(float(plain[1] / five[1]), 3), "x")


def drawn(correlation: float, draws: int) -> Iterator[np.ndarray]:
    """Members' errors ``(PIECE, MEMBERS, 2)`` in metres, a piece at a time."""
    rng = np.random.default_rng(1)
    for _ in range(draws // PIECE):
        shared, own = rng.normal(0, SIGMA_M, (PIECE, 1, 2)), rng.normal(0, SIGMA_M, (PIECE, MEMBERS, 2))
        yield sqrt(correlation) * shared + sqrt(1 - correlation) * own


def within(fix: Fused, radius: float) -> np.ndarray:
    apart = to_east_north(HERE, fix.position)
    return mahalanobis_squared(apart, fix.covariance) <= radius**2


def deviations(fix: Fused) -> np.ndarray:
    """The product of each fix's two standard deviations; none where members agree to the last bit."""
    return np.sqrt(np.maximum(np.linalg.det(fix.covariance), 0))


def errors(fix: Fused) -> np.ndarray:
    """Sums over the rows: of the squared error, and of the area's measure."""
    squared = np.sum(to_east_north(HERE, fix.position) ** 2)
    return np.array([squared, np.sum(deviations(fix))])


if __name__ == "__main__":
    main()
