"""
The whole story in one run: a survey, three models in MLflow, a proven release on Triton, and fixes with their ellipses.

Read it from the top: every line of :func:`tell` is a line that the demo prints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sextant.answers import Fix
from sextant.geodesy import to_east_north, to_latitude_longitude
from sextant.scores import Scores, chi_square_coverage, evaluate
from sextant_cli.demo.figure import write_figure
from sextant_cli.demo.geojson import write_geojson
from sextant_cli.demo.members import Recipe
from sextant_cli.demo.serving import Place, promoted, serving
from sextant_cli.demo.survey import Split, Survey, split
from sextant_cli.demo.training import Features, open_registry, scaled, train_and_register
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_export.pipeline import Pipeline, load_pipeline
from sextant_server import EmbeddedTriton

NAME = "locate"
CONFIDENCE_LEVELS = (0.5, 0.9, 0.95)
LATENCY_CALLS = 500


class Folder(Place):
    """The place of a demo, with ``demo/`` in it."""

    @property
    def demo(self) -> Path:
        """The spec, the known cases, the map and the picture."""
        return self.root / "demo"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the demo measured on held-back rows, through Triton."""

    data: str
    scores: Scores
    p50_ms: float
    p95_ms: float
    best_member: str
    best_member_median_error_m: float
    chi_square_coverage: Mapping[float, float]
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``sextant demo --json``."""
        return {
            "data": self.data,
            **self.scores.to_dict(),
            "p50_ms": round(self.p50_ms, 3),
            "p95_ms": round(self.p95_ms, 3),
            "best_member": self.best_member,
            "best_member_median_error_m": self.best_member_median_error_m,
            "chi_square_coverage": {f"{level:g}": share for level, share in self.chi_square_coverage.items()},
            "seconds": dict(self.seconds),
        }


def tell(survey: Survey, recipe: Recipe, folder: Folder, narrator: Narrator) -> Outcome:
    """Run the whole story on *survey*; whatever an earlier run left in *folder* and is still valid is used again."""
    EmbeddedTriton(folder.store).require_possible()
    folder.demo.mkdir(parents=True, exist_ok=True)
    parts = split(survey)
    narrator.say(survey.description)
    narrator.say(
        f"{len(parts.train):,} rows to train on, {len(parts.calibration):,} to calibrate with, "
        f"{len(parts.held_back):,} held back to be judged on"
    )
    _train(parts.train, recipe, folder, narrator)
    pipeline = _write_spec(parts, recipe, folder)
    with serving(folder.store, narrator) as triton:
        promoted(pipeline, folder.store, folder.tracking_uri, triton, narrator)
        fixes, times_ms = _ask(parts.held_back, triton, narrator)
        members = _member_errors(pipeline, parts.held_back, recipe, triton, narrator)
    scores = evaluate(fixes, parts.held_back.truth)
    _draw(parts.held_back, fixes, folder, narrator)
    best = min(members, key=lambda name: members[name])
    return Outcome(
        data=survey.name,
        scores=scores,
        p50_ms=float(np.quantile(times_ms, 0.5)),
        p95_ms=float(np.quantile(times_ms, 0.95)),
        best_member=best,
        best_member_median_error_m=members[best],
        chi_square_coverage=chi_square_coverage(fixes, parts.held_back.truth),
        seconds=narrator.seconds,
    )


def _train(survey: Survey, recipe: Recipe, folder: Folder, narrator: Narrator) -> None:
    with narrator.step("open the MLflow registry") as step:
        open_registry(folder.tracking_uri, folder.artifacts)
        step.result(f"{folder.root / 'mlflow.db'}, artifacts in {folder.artifacts}")
    with narrator.step("train and register three regressors") as step:
        members = train_and_register(
            recipe,
            survey,
            tracking_uri=folder.tracking_uri,
            artifacts=folder.artifacts,
            progress=step.at,
        )
        step.result(", ".join(map(str, members)))


def _write_spec(parts: Split, recipe: Recipe, folder: Folder) -> Pipeline:
    """Write the pipeline's page and its known cases, as a user would, and read it back."""
    _write_cases(parts.calibration, folder.demo / "calibration.parquet")
    np.save(folder.demo / "example.npy", parts.held_back.features[:1])
    page = {
        "name": NAME,
        "answer": "position",
        "members": {name.removeprefix("locator-"): f"models:/{name}@champion" for name in recipe.members},
        "steps": [
            {"block": "scale", "with": dict(recipe.scale)},
            "members",
            {
                "block": "fuse",
                "with": {**recipe.fuse, "frame": "east_north_m", "origin": list(parts.train.origin)},
            },
            {"block": "ellipse", "with": {"confidence_levels": list(CONFIDENCE_LEVELS)}},
        ],
        "calibration": {"data": "calibration.parquet", "truth": ["latitude", "longitude"]},
        "serving": {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": 1},
        "gate": {"coverage": {"level": 0.95, "at_least": 0.93}, "median_error_m": {"at_most": recipe.enough_m}},
    }
    path = folder.demo / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    return load_pipeline(path)


def _write_cases(survey: Survey, path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame(survey.features, columns=[f"receiver_{i}" for i in range(survey.width)])
    table.assign(latitude=survey.latitude, longitude=survey.longitude).to_parquet(path)


def _ask(survey: Survey, triton: EmbeddedTriton, narrator: Narrator) -> tuple[list[Fix], list[float]]:
    """Fixes for every row, in batches, and the milliseconds of single calls."""
    with Client(triton.address.grpc) as client, narrator.step("ask for held-back fixes over gRPC") as step:
        locate = client.pipeline(NAME)
        times_ms = [_timed_ms(locate, row) for row in survey.features[:LATENCY_CALLS]]
        fixes: list[Fix] = []
        for begin in range(0, len(survey), 256):
            fixes += locate(survey.features[begin : begin + 256])
            step.at(len(fixes), len(survey))
        step.result(f"{len(fixes):,} fixes; a single one takes {np.median(times_ms):.1f} ms")
    return fixes, times_ms


def _timed_ms(locate: Any, row: Features) -> float:
    begun = time.perf_counter()
    locate(row)
    return (time.perf_counter() - begun) * 1000


def _member_errors(
    pipeline: Pipeline, survey: Survey, recipe: Recipe, triton: EmbeddedTriton, narrator: Narrator
) -> dict[str, float]:
    """The median error of each member alone, asked through Triton, in metres."""
    rows = scaled(recipe, survey.features)
    errors = {}
    with Client(triton.address.grpc) as client, narrator.step("compare with each member alone") as step:
        for member in pipeline.members.values():
            (answers,) = client.pipeline(str(member.uri.name)).tensors(rows).values()
            places = to_latitude_longitude(survey.origin, answers.astype(float))
            errors[member.name] = float(np.median(np.hypot(*to_east_north(places, survey.truth).T)))
        step.result(", ".join(f"{name} {error:.1f} m" for name, error in errors.items()))
    return errors


def _draw(survey: Survey, fixes: Sequence[Fix], folder: Folder, narrator: Narrator) -> None:
    with narrator.step("draw the map") as step:
        drawn = write_geojson(folder.demo / "fixes.geojson", fixes, survey)
        write_figure(folder.demo / "fixes.png", fixes, survey)
        step.result(f"{drawn:,} fixes with their ellipses, one picture")
