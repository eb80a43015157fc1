"""
The whole story in one run: real arrivals, three members in MLflow, a proven release on Triton, fixes that are judged.

Read it from the top: every step of :func:`tell` is a line that the example prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from arrivals import Messages, Split, frame, split
from flight_map import write_geojson, write_picture
from judging import Answers, Judged, at_its_word, conformal, inverse_variance, judge, only, unfused
from network import Network
from registering import SETTINGS, register
from sextant.answers import Fix
from sextant_cli.demo.serving import Place, promoted, serving
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_export.pipeline import Pipeline, load_pipeline
from sextant_server import EmbeddedTriton
from tdoa import Floats

NAME = "multilaterate"
CONFIDENCE_LEVELS = (0.5, 0.9, 0.95)
WEIGHTS = {"solver": 0.1, "robust": 0.4, "learned": 0.5}
BATCH = 64
EVERYWHERE = "all"


@dataclass(frozen=True)
class Outcome:
    """What was measured through Triton, *judged* by rule, then by part (``all``, ``set 3``, ``new aircraft``, ...)."""

    judged: Mapping[str, Mapping[str, Judged]]
    seconds: Mapping[str, float]
    calibration_rows: int

    @property
    def fused(self) -> Judged:
        """What a caller gets, on all rows that were held back."""
        return next(iter(self.judged.values()))[EVERYWHERE]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``run.py --json``."""
        rules = {rule: {part: one.to_dict() for part, one in parts.items()} for rule, parts in self.judged.items()}
        return {
            "rows": self.fused.rows,
            "calibration_rows": self.calibration_rows,
            "median_error_m": self.fused.median_error_m,
            "p95_error_m": self.fused.p95_error_m,
            "coverage": {level: coverage.share for level, coverage in self.fused.coverage.items()},
            "rules": rules,
            "seconds": dict(self.seconds),
        }


def tell(messages: Messages, network: Network, place: Place, narrator: Narrator) -> Outcome:
    """Run the whole story on *messages*; what an earlier run left in *place* and is still valid is used again."""
    EmbeddedTriton(place.store).require_possible()
    place.root.mkdir(parents=True, exist_ok=True)
    parts = split(messages)
    narrator.say(
        f"real: {len(messages):,} messages of {len(np.unique(messages.aircraft))} aircraft, by five receivers each"
    )
    narrator.say(
        f"{len(parts.train)} to learn from, {len(parts.calibration)} to calibrate with, "
        f"{len(parts.held_back)} held back to be judged on"
    )
    _teach(parts, network, place, narrator)
    pipeline = _write_spec(parts, place)
    with serving(place.store, narrator) as triton:
        promoted(pipeline, place.store, place.tracking_uri, triton, narrator)
        fixes = _ask(parts.held_back, triton, narrator)
        members = _ask_members(parts.held_back, triton, narrator)
    seen = np.isin(parts.held_back.aircraft, np.concatenate([parts.train.aircraft, parts.calibration.aircraft]))
    judged = {one.rule: _parts(one, parts.held_back, seen) for one in _rules(fixes, members)}
    _draw(parts.held_back, fixes, {rule: told[EVERYWHERE] for rule, told in judged.items()}, network, place, narrator)
    return Outcome(
        judged=judged,
        seconds=narrator.seconds,
        calibration_rows=len(parts.calibration),
    )


def _teach(parts: Split, network: Network, place: Place, narrator: Narrator) -> None:
    with narrator.step("teach and register three members") as step:
        members = register(
            parts.train,
            network,
            tracking_uri=place.tracking_uri,
            artifacts=place.artifacts,
            progress=step.at,
        )
        step.result(", ".join(map(str, members)))


def page() -> dict[str, Any]:
    """The pipeline's spec."""
    return {
        "name": NAME,
        "answer": "position",
        "members": {name: f"models:/aircraft-{name}@champion" for name in SETTINGS},
        "steps": [
            {"block": "scale", "with": {"at_least": 0.0, "at_most": 2_000_000.0}},
            "members",
            {
                "block": "fuse",
                "with": {"method": "moment", "weights": list(WEIGHTS.values()), "frame": "latitude_longitude"},
            },
            {"block": "ellipse", "with": {"confidence_levels": list(CONFIDENCE_LEVELS)}},
        ],
        "calibration": {"data": "calibration.parquet", "truth": ["latitude", "longitude"], "group": "aircraft"},
        "serving": {"max_batch_size": BATCH, "max_queue_delay_us": 0, "instances": 1},
        "gate": {"coverage": {"level": 0.95, "at_least": 0.9}, "median_error_m": {"at_most": 60.0}},
    }


def _write_spec(parts: Split, place: Place) -> Pipeline:
    """Write the page and its known cases, as a user would, and read it back."""
    frame(parts.calibration).to_parquet(place.root / "calibration.parquet")
    np.save(place.root / "example.npy", parts.held_back.features[:1])
    path = place.root / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump(page(), sort_keys=False), encoding="utf-8")
    return load_pipeline(path)


def _ask(messages: Messages, triton: EmbeddedTriton, narrator: Narrator) -> list[Fix]:
    with Client(triton.address.grpc) as client, narrator.step("ask for held-back fixes over gRPC") as step:
        multilaterate = client.pipeline(NAME)
        fixes: list[Fix] = []
        for begin in range(0, len(messages), BATCH):
            fixes += multilaterate(messages.features[begin : begin + BATCH])
            step.at(len(fixes), len(messages))
        step.result(f"{len(fixes)} fixes")
    return fixes


def _ask_members(messages: Messages, triton: EmbeddedTriton, narrator: Narrator) -> dict[str, Mapping[str, Floats]]:
    """What each member answers by itself, asked through Triton."""
    answers = {}
    with Client(triton.address.grpc) as client, narrator.step("ask each member alone") as step:
        for done, name in enumerate(SETTINGS):
            step.at(done, len(SETTINGS), name)
            answers[name] = client.pipeline(f"aircraft-{name}.python").tensors(messages.features)
        step.result(", ".join(answers))
    return answers


def _rules(fixes: Sequence[Fix], members: Mapping[str, Mapping[str, Floats]]) -> list[Answers]:
    """What is served, what it would have been, and each member by itself."""
    alone = [
        at_its_word(f"{name} alone, chi-square", given["position"], given["covariance"], CONFIDENCE_LEVELS)
        for name, given in members.items()
    ]
    return [
        conformal("fused, conformal", fixes),
        unfused(fixes, CONFIDENCE_LEVELS),
        inverse_variance(members, CONFIDENCE_LEVELS),
        *alone,
    ]


def _parts(answers: Answers, messages: Messages, seen: np.ndarray) -> dict[str, Judged]:
    """*answers* judged on everything, on each set, and on the aircraft that sets 1 and 2 had not *seen*."""
    chosen = {
        EVERYWHERE: np.ones(len(messages), dtype=bool),
        "set 3": messages.set_number == 3,
        "set 4": messages.set_number == 4,
        "new aircraft": ~seen,
    }
    return {part: judge(only(answers, rows), messages.take(rows), CONFIDENCE_LEVELS) for part, rows in chosen.items()}


def _draw(
    messages: Messages,
    fixes: Sequence[Fix],
    judged: Mapping[str, Judged],
    network: Network,
    place: Place,
    narrator: Narrator,
) -> None:
    with narrator.step("draw the map") as step:
        drawn = write_geojson(place.root / "fixes.geojson", messages, fixes, network)
        write_picture(place.root / "fixes.png", messages, fixes, judged, network)
        step.result(f"{drawn:,} features, one picture")
