"""
Error and coverage on held-back rows, through Triton: fused, the best member alone, and ellipses nobody calibrated.

`--data PATH` runs UJIIndoorLoc, whose targets count; without it ../shared/data is tried, then the simulated survey is
measured, for which there are no targets. The plain 3-nearest-neighbours on the same split gives 4.74 m and 24.9 m.
Beside the conformal ellipses: the fused covariance taken at its word (chi-square), and the members combined as if
their errors were independent (inverse variance, chi-square), by the block that could be served if a spec swore so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from report import report
from sextant.blocks import BLOCKS
from sextant.conform import mahalanobis_scores
from sextant.ellipse import mahalanobis_radius
from sextant.geodesy import to_east_north
from sextant.tensors import Floats
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY, UJIINDOORLOC, Recipe
from sextant_cli.demo.story import CONFIDENCE_LEVELS, NAME, Folder, Outcome, tell
from sextant_cli.demo.survey import Survey, split
from sextant_cli.demo.training import scaled
from sextant_cli.demo.ujiindoorloc import read
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_export.receipt import Receipt, read_receipt, releases
from sextant_export.store import Store
from sextant_server import EmbeddedTriton

BESIDE = Path(__file__).parents[2] / "shared" / "data" / "ujiindoorloc"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="nothing to shorten here")
    parser.add_argument("--data", type=Path, default=BESIDE if BESIDE.is_dir() else None, help="UJIIndoorLoc's folder")
    data = parser.parse_args().data
    if data is None:
        measure("bay", simulate(), BAY, Folder(Path("var")), targets=False)
    else:
        measure("ujiindoorloc", read(data), UJIINDOORLOC, Folder(Path("var", "ujiindoorloc")), targets=True)


def measure(name: str, survey: Survey, recipe: Recipe, folder: Folder, *, targets: bool) -> None:
    """Tell the demo's story, then ask what it served again, and each member."""
    show(name, tell(survey, recipe, folder, Narrator()), targets=targets)
    beside(name, split(survey).held_back, recipe, Store(folder.store))


def show(name: str, outcome: Outcome, *, targets: bool) -> None:
    scores = outcome.scores
    limits = {"median_error_m": (scores.median_error_m, 4.7), "p95_error_m": (scores.p95_error_m, 24.0)}
    for figure, (value, limit) in limits.items():
        given = {"target": f"<= {limit}", "ok": value <= limit} if targets else {}
        report(f"coverage.{name}.{figure}", value, "m", **given)
    report(f"coverage.{name}.best_member_median_error_m", outcome.best_member_median_error_m, "m")
    report(f"coverage.{name}.median_area_m2", scores.median_area_m2, "m2")
    for level, share in scores.coverage.items():
        given = {"target": f"{level:g} +- 0.03", "ok": abs(share - level) <= 0.03} if targets else {}
        report(f"coverage.{name}.conformal.{level:g}", share, "share", **given)
    for level, share in outcome.chi_square_coverage.items():
        report(f"coverage.{name}.chi_square.{level:g}", share, "share")


def beside(name: str, survey: Survey, recipe: Recipe, store: Store) -> None:
    """Coverage of inverse variance, its error, and the area of every rule's ellipses at every level."""
    receipt = read_receipt(store, NAME, releases(store, NAME)[-1])
    with EmbeddedTriton(store.root) as triton, Client(triton.address.grpc) as client:
        served = client.pipeline(NAME).tensors(survey.features)
        rows = scaled(recipe, survey.features)
        models = [member["model"] for member in receipt.members.values()]
        (*answers,) = (next(iter(client.pipeline(model).tensors(rows).values())) for model in models)
    position, covariance = independent(receipt, answers)
    offsets = to_east_north(position, survey.truth)
    scores = mahalanobis_scores(offsets, covariance)
    gaussian = mahalanobis_radius(np.array(CONFIDENCE_LEVELS))
    report(f"coverage.{name}.inverse_variance.median_error_m", float(np.median(np.hypot(*offsets.T))), "m")
    for level, radius in zip(CONFIDENCE_LEVELS, gaussian, strict=True):
        report(f"coverage.{name}.inverse_variance.{level:g}", float(np.mean(scores <= radius)), "share")
    areas(f"coverage.{name}.conformal", served["covariance"], np.array(receipt.blocks["ellipse"]["radii"]))
    areas(f"coverage.{name}.chi_square", served["covariance"], gaussian)
    areas(f"coverage.{name}.inverse_variance", covariance, gaussian)


def independent(receipt: Receipt, answers: list[Floats]) -> tuple[Floats, Floats]:
    """Positions and covariances of the members' *answers* as inverse variance would have them."""
    sworn = {"method": "inverse_variance", "members_are_independent": True, "weights": None, "gate": None}
    block = BLOCKS["fuse"]({**receipt.blocks["fuse"], **sworn})
    fused = block(**{f"member_{slot}": answer for slot, answer in enumerate(answers)})
    return fused["fused_position"], fused["fused_covariance"]


def areas(name: str, covariance: Floats, radii: Floats) -> None:
    """The median area of the ellipses of each level."""
    unit = np.pi * float(np.median(np.sqrt(np.linalg.det(covariance))))
    for level, radius in zip(CONFIDENCE_LEVELS, radii, strict=True):
        report(f"{name}.median_area_m2.{level:g}", unit * float(radius) ** 2, "m2")


if __name__ == "__main__":
    main()
