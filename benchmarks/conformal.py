"""
What ellipses of over-confident, heavy-tailed members hold: by Gaussian rules, and conformal ones of 200 known cases.

Five members share most of their errors (correlation 0.6), say covariances three times too small, are surer on some rows
than on others without knowing on which, and err with the tails of a Student t of five degrees of freedom. Each of 1,000
recalibrations draws 200 rows of its own; all are counted on the same 200,000 fresh rows.

    python benchmarks/conformal.py [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from report import report
from sextant.conform import conformal_radius, coverage, group_conformal_radii, mahalanobis_scores
from sextant.covariance import eigenvalues
from sextant.ellipse import mahalanobis_radius
from sextant.plane import covariance_intersection, inverse_variance, moment_match
from sextant_export.calibration.folds import judged, ordered_folds

MEMBERS, CORRELATION, TOO_SMALL, HIDDEN = 5, 0.6, 3.0, 0.5
LEVELS = (0.5, 0.9, 0.95)
ROWS = 200


class Rows(NamedTuple):
    """Members' errors (N, M, 2) in metres and the covariances (N, M, 2, 2) they say."""

    errors: np.ndarray
    said: np.ndarray


class Fused(NamedTuple):
    """Of each row how many deviations out the truth is, and the area of its ellipse of one deviation."""

    scores: np.ndarray
    area: np.ndarray


def draw(rows: int, rng: np.random.Generator, *, stretch: float = 1.0) -> Rows:
    """Rows whose errors are *stretch* times as large as the members were made for."""
    turn = rng.uniform(0, np.pi, rows)
    axes = 15 * np.exp(0.3 * rng.normal(size=(rows, 2)))
    rotation = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], axis=-1).reshape(-1, 2, 2)
    root = rotation * axes[:, None, :]
    true = root @ np.swapaxes(root, 1, 2)
    tails = np.sqrt(5 / rng.chisquare(5, (rows, 1, 1)))
    hidden = stretch * np.exp(HIDDEN * rng.normal(size=(rows, 1, 1)))
    shared, own = rng.normal(size=(rows, 1, 2)), rng.normal(size=(rows, MEMBERS, 2))
    unit = np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * own
    errors = hidden * tails * np.einsum("nij,nmj->nmi", root, unit)
    return Rows(errors, np.repeat(true[:, None] / TOO_SMALL, MEMBERS, axis=1))


def by_moments(rows: Rows) -> Fused:
    moments = moment_match(rows.errors, rows.said, np.full(MEMBERS, 1 / MEMBERS))
    return fused(moments.mean, moments.within + moments.between)


def fused(mean: np.ndarray, covariance: np.ndarray) -> Fused:
    larger, smaller = eigenvalues(covariance)
    return Fused(mahalanobis_scores(mean, covariance), np.pi * np.sqrt(larger * smaller))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--quick", action="store_true", help="a tenth of the recalibrations")
    times = 100 if parser.parse_args().quick else 1000
    rng = np.random.default_rng(2026)
    fresh = draw(200_000, rng)
    gaussian_rules(fresh)
    recalibrated(fresh, times, rng)
    silent_members(times, rng)
    groups(times, rng)
    folds(times, rng)


def gaussian_rules(fresh: Rows) -> None:
    """Ellipses taken at the word of what each rule makes of the members' covariances."""
    rules: dict[str, Callable[[Rows], Fused]] = {
        "inverse_variance": lambda rows: fused(*inverse_variance(*rows)),
        "covariance_intersection": lambda rows: fused(*covariance_intersection(*rows)),
        "moment": by_moments,
    }
    for name, rule in rules.items():
        found = rule(fresh)
        for level in LEVELS:
            radius = float(mahalanobis_radius(level))
            show(f"{name}.chi_square", level, [coverage(found.scores, [radius])[0]], [radius], found.area)


def recalibrated(fresh: Rows, times: int, rng: np.random.Generator) -> None:
    """What 200 rows make of the moment rule: a scale for its covariance, a quantile of NumPy's, a conformal radius."""
    found, worse = by_moments(fresh), by_moments(draw(200_000, rng, stretch=1.5))
    calibration = [by_moments(draw(ROWS, rng)).scores for _ in range(times)]
    ways: dict[str, Callable[[np.ndarray, float], float]] = {
        "scaled": lambda scores, level: float(mahalanobis_radius(level) * np.sqrt(np.mean(scores**2) / 2)),
        "numpy_quantile": lambda scores, level: float(np.quantile(scores, level)),
        "conformal": conformal_radius,
    }
    for name, way in ways.items():
        for level in LEVELS:
            radii = [way(scores, level) for scores in calibration]
            shares = held(found.scores, radii)
            show(f"moment.{name}", level, shares, radii, found.area, promised=name == "conformal")
            if name == "conformal" and level == LEVELS[-1]:
                report(f"conformal.shifted.moment.{name}.{level:g}", float(held(worse.scores, radii).mean()), "share")


def held(scores: np.ndarray, radii: list[float]) -> np.ndarray:
    """The share of very many *scores* within each of very many *radii*."""
    return np.searchsorted(np.sort(scores), radii, side="right") / scores.size


def show(
    name: str, level: float, shares: np.ndarray, radii: list[float], area: np.ndarray, *, promised: bool = False
) -> None:
    share = float(np.mean(shares))
    most = level + 1 / (ROWS + 1)
    wanted = {"target": f"{level:g} to {most:.3f}, +- 0.003", "ok": level - 0.003 <= share <= most + 0.003}
    report(f"conformal.{name}.{level:g}.coverage", share, "share", **(wanted if promised else {}))
    if len(radii) > 1:
        report(f"conformal.{name}.{level:g}.coverage_sd", float(np.std(shares)), "share")
    report(f"conformal.{name}.{level:g}.median_area", float(np.median(area) * np.mean(np.square(radii))), "m2")


def silent_members(times: int, rng: np.random.Generator) -> None:
    """Members that say nothing, their covariances measured on the very rows that set the radii."""
    for rows in (20, 50, 200):
        shares: dict[str, list[float]] = {"with_itself": [], "left_out": []}
        for _ in range(2 * times):
            errors, fresh = draw(rows, rng).errors, draw(500, rng).errors
            outer = errors[..., :, None] * errors[..., None, :]
            measured = outer.mean(axis=0)
            others = (rows * measured - outer) / (rows - 1)
            served = by_moments(Rows(fresh, np.broadcast_to(measured, (500, *measured.shape)))).scores
            for name, said in (("with_itself", np.broadcast_to(measured, outer.shape)), ("left_out", others)):
                radius = conformal_radius(by_moments(Rows(errors, said)).scores, 0.95)
                shares[name].append(coverage(served, [radius])[0])
        for name, each in shares.items():
            report(f"conformal.silent.{rows}_rows.{name}.0.95.coverage", float(np.mean(each)), "share")


def groups(times: int, rng: np.random.Generator) -> None:
    """A hall and a yard where errors are three times as large: one radius for both, and one for each."""
    fresh = [by_moments(draw(10_000, rng, stretch=stretch)).scores for stretch in (1.0, 3.0)]
    counted: dict[str, list[list[float]]] = {"together": [], "apart": []}
    for _ in range(times):
        drawn = [by_moments(draw(ROWS, rng, stretch=stretch)).scores for stretch in (1.0, 3.0)]
        scores, place = np.concatenate(drawn), np.repeat([0, 1], ROWS)
        both = conformal_radius(scores, 0.95)
        apart = group_conformal_radii(scores, place, ("hall", "yard"), [0.95])[:, 0]
        for name, radii in (("together", (both, both)), ("apart", apart)):
            counted[name].append([coverage(each, [radius])[0] for each, radius in zip(fresh, radii, strict=True)])
    for name, shares in counted.items():
        for place, share in zip(("hall", "yard"), np.mean(shares, axis=0), strict=True):
            given = {"target": "0.95 +- 0.003", "ok": bool(0.947 <= share <= 0.958)} if name == "apart" else {}
            report(f"conformal.groups.{name}.{place}.0.95.coverage", float(share), "share", **given)


def folds(times: int, rng: np.random.Generator) -> None:
    """
    What 500 known cases show of themselves at 95 %, in ten folds, which are the walks where there are any, and in two.

    *next* is what their radius then holds of new rows, be they like the last of the file or of walks of their own.
    """
    rows = 500
    order, walk = np.arange(rows), np.arange(rows) * 10 // rows
    last_tenth = np.where(walk == 9, 3.0, 1.0)
    files: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
        "alike": lambda: (drawn(rng, np.ones(rows)), drawn(rng, np.ones(rows))),
        "errors_double": lambda: (drawn(rng, 1 + order / rows), drawn(rng, np.full(rows, 2.0))),
        "last_tenth_triples": lambda: (drawn(rng, last_tenth), drawn(rng, np.full(rows, 3.0))),
        "ten_walks": lambda: (drawn(rng, np.ones(rows), walk), drawn(rng, np.ones(rows), walk)),
    }
    place = np.zeros(rows, dtype=np.intp)
    ways = {"ten_folds": ordered_folds(place, walk), "halves": ordered_folds(place)}
    for name, file in files.items():
        counted: dict[str, list[float]] = {way: [] for way in (*ways, "next")}
        for _ in range(times):
            scores, fresh = file()
            counted["next"].append(coverage(fresh, [conformal_radius(scores, 0.95)])[0])
            for way, fold in ways.items():
                crossed = np.broadcast_to(scores, (int(fold.max()) + 1, rows))
                counted[way].append(judged(crossed, [0.95], fold, place, order).coverage(0)["coverage"])
        for way, shares in counted.items():
            report(f"conformal.folds.{name}.{way}.0.95.coverage", float(np.mean(shares)), "share")


def drawn(rng: np.random.Generator, stretch: np.ndarray, walk: np.ndarray | None = None) -> np.ndarray:
    """The scores of a member that is as sure on every row; errors are so many times as large, and walks astray."""
    errors = stretch[:, None] * rng.standard_t(5, (stretch.size, 2))
    offset = np.zeros((1, 2)) if walk is None else rng.normal(0, 1.5, (int(walk.max()) + 1, 2))[walk]
    return mahalanobis_scores(errors + offset, np.eye(2))


if __name__ == "__main__":
    main()
