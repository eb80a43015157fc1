"""
How exactly the arithmetic reaches the science vectors: the largest relative error of each section.

The vectors were computed once with SciPy and geographiclib and lie beside a checkout, not in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import sextant
from report import report
from sextant.geodesy import to_latitude_longitude

FILE = Path(__file__).parents[2] / "shared" / "reference" / "science_vectors.json"
Pairs = Iterator[tuple[Any, Any]]


def read_vectors() -> dict[str, Any] | None:
    """The vectors, or nothing where they are not at hand."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else None


def chi2_scale(entries: Any) -> Pairs:
    for entry in entries:
        yield sextant.mahalanobis_radius(entry["p"]), entry["k"]


def coverage_of_k_sigma_2d(entries: Any) -> Pairs:
    for entry in entries:
        yield sextant.probability_within(entry["k"]), entry["p"]


def ellipse(entries: Any) -> Pairs:
    for entry in entries:
        drawn = sextant.confidence_ellipse(entry["cov_enu"], sextant.mahalanobis_radius(entry["p"]))
        unit = sextant.confidence_ellipse(entry["cov_enu"], 1.0)
        yield drawn.semi_major_m, entry["semi_major_m"]
        yield drawn.semi_minor_m, entry["semi_minor_m"]
        yield drawn.orientation_deg, entry["orientation_deg_cw_from_north"]
        yield unit.semi_major_m, entry["sd_major_m"]
        yield unit.semi_minor_m, entry["sd_minor_m"]


def circular(entries: Any) -> Pairs:
    for entry in entries:
        axes = entry["sd_major"], entry["sd_minor"]
        for level, name in ((0.5, "cep50"), (0.9, "r90"), (0.95, "r95"), (0.99, "r99")):
            yield sextant.circular_radius(level, *axes), entry[name]
        yield sextant.drms(*axes), entry["drms"]
        yield sextant.circular_probability(entry["drms"], *axes), entry["p_drms"]
        yield sextant.circular_probability(2 * entry["drms"], *axes), entry["p_2drms"]


def geodesic_vertices(entries: Any) -> Pairs:
    for entry in entries:
        major, minor, bearing = (
            entry["semi_major_m"],
            entry["semi_minor_m"],
            np.deg2rad(entry["orientation_deg"]),
        )
        along = np.deg2rad([float(t) for t in entry["vertices_at_param_deg"]])
        u, v = major * np.cos(along), minor * np.sin(along)
        east, north = u * np.sin(bearing) - v * np.cos(bearing), u * np.cos(bearing) + v * np.sin(bearing)
        # As a ring of many, for a few points take another way.
        offsets = np.tile(np.column_stack([east, north]), (8, 1))
        places = to_latitude_longitude(entry["center"][::-1], offsets)[: len(along)]
        yield places[:, ::-1], np.array(list(entry["vertices_at_param_deg"].values()))


def fusion(entry: Any) -> Pairs:
    means, covariances = np.array(entry["means"]), np.array(entry["covs"])
    equal = np.full(3, 1 / 3)
    moments = sextant.moment_match(means, covariances, equal)
    yield moments.mean, entry["moment"]["mean"]
    yield moments.within, entry["moment"]["within"]
    yield moments.between, entry["moment"]["between"]
    yield moments.within + moments.between, entry["moment"]["total"]
    for name, estimate in (
        ("inverse_variance", sextant.inverse_variance(means, covariances)),
        ("ci_det", sextant.covariance_intersection(means, covariances)),
        ("ci_equal", sextant.covariance_intersection(means, covariances, equal)),
    ):
        yield estimate.mean, entry[name]["mean"]
        yield estimate.covariance, entry[name]["cov"]


def geometric_median(entry: Any) -> Pairs:
    told = entry["geometric_median"]
    yield sextant.geometric_median(np.array(told["points"], dtype=float), np.full(5, 0.2)), told["value"]


def conformal_rank(entries: Any) -> Pairs:
    for entry in entries:
        rank = sextant.conformal_rank(entry["n"], entry["p"])
        yield (rank, entry["rank"]) if entry["rank"] else (rank > entry["n"], True)


def gaussian_scores(entry: Any) -> Pairs:
    told = entry["gaussian"]
    residual, covariance = np.subtract(told["y"], told["mean"]), told["cov"]
    yield sextant.mahalanobis_scores(residual, covariance) ** 2, told["d2"]
    yield sextant.probability_integral(residual, covariance), told["pit"]
    yield sextant.negative_log_likelihood(residual, covariance), told["nll"]
    # That one was drawn, not computed: within its own tolerance it is reached.
    energy = sextant.energy_score(residual, covariance)
    within = abs(energy - told["energy_score"]) <= told["energy_score_tol"]
    yield told["energy_score"] if within else energy, told["energy_score"]
    yield sextant.energy_score([0.0, 0.0], np.eye(2)), entry["es_isotropic_sigma1_at_mean"]


class Section(NamedTuple):
    """The *key* of its vectors, the *pairs* of what is found and wanted, and how far they may be apart."""

    key: str
    pairs: Callable[[Any], Pairs]
    target: float


SECTIONS: Mapping[str, Section] = {
    "chi2_scale": Section("chi2_scale", chi2_scale, 1e-12),
    "circular": Section("circular", circular, 1e-9),
    "conformal_rank": Section("conformal_rank", conformal_rank, 0.0),
    "coverage_of_k_sigma_2d": Section("coverage_of_k_sigma_2d", coverage_of_k_sigma_2d, 1e-12),
    "ellipse": Section("ellipse", ellipse, 1e-9),
    "fusion": Section("fusion", fusion, 1e-9),
    "gaussian_scores": Section("scores", gaussian_scores, 1e-9),
    "geodesic_vertices": Section("geodesic_vertices", geodesic_vertices, 1e-9),
    # Its vector has eight digits.
    "geometric_median": Section("fusion", geometric_median, 1e-8),
}


def worst_relative_error(section: str, vectors: Mapping[str, Any]) -> float:
    """The largest error of a section, relative to the vector; absolute where that is zero."""
    worst = 0.0
    for found, wanted in SECTIONS[section].pairs(vectors[SECTIONS[section].key]):
        exact = np.abs(np.asarray(wanted, dtype=float))
        error = np.abs(np.asarray(found, dtype=float) - np.asarray(wanted, dtype=float))
        worst = max(worst, float(np.max(error / np.where(exact > 0, exact, 1.0))))
    return worst


def main() -> int:
    """Report each section; 3 where there are no vectors."""
    vectors = read_vectors()
    if vectors is None:
        print(f"no vectors: {FILE.name} lies beside a checkout, in shared/reference/", file=sys.stderr)
        return 3
    for name, section in SECTIONS.items():
        error = worst_relative_error(name, vectors)
        report(f"vectors.{name}", error, "relative error", target=f"<= {section.target:g}", ok=error <= section.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
