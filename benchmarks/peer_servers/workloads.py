"""
What every peer computes, without any server: ONNX Runtime in one thread, and NumPy around it.

This file runs in each peer's own environment, which has NumPy, ONNX Runtime and pyproj and nothing of ours: the
formulas of ``locate`` are written out here, as whoever has no Sextant would, and their answers are compared with
Sextant's before anything is measured. What stands still, as the files, the covariances that calibration measured and
the radii of the ellipses, is read from ``facts.json`` beside the models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from pyproj import Geod

Rows = Any
Answer = Callable[[Rows], Rows]
WGS84 = Geod(ellps="WGS84")
TWO_PEAKS = 2 / 3
"""Above this share of the variance, the members' disagreement says that they see two places."""


def load(workload: str, folder: Path) -> Answer:
    """What answers rows of *workload*, FP32 (N, ...), by one array (N, width); its facts lie in *folder*."""
    facts = facts_of(workload, folder)
    if workload == "locate":
        return Locate(facts, folder)
    run = session(folder / facts["model"])
    return lambda rows: run(rows)[0]


def facts_of(workload: str, folder: Path) -> dict[str, Any]:
    """What stands still of *workload*; ``dims`` is the shape of one row."""
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())[workload]
    return facts


def asked_for() -> tuple[Answer, tuple[int, ...]]:
    """What the environment asks this process to serve, and the shape of one row of it."""
    workload, folder = os.environ["PEER_WORKLOAD"], Path(os.environ["PEER_FOLDER"])
    return load(workload, folder), tuple(facts_of(workload, folder)["dims"])


def session(path: Path) -> Callable[[Rows], list[Rows]]:
    """The ONNX file at *path* in one thread, which never spins."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    opened = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given, asked = opened.get_inputs()[0].name, [output.name for output in opened.get_outputs()]
    return lambda rows: opened.run(asked, {given: rows})


class Locate:
    """
    Signal strengths (N, 8) in; (N, 19) out.

    Latitude, longitude; the covariance; half axes and bearing of the ellipse of each of three confidence levels; the
    members' share of the variance; how many count; whether the ellipse is none, and whether there are two places.
    """

    def __init__(self, facts: dict[str, Any], folder: Path) -> None:
        self.members = [session(folder / member) for member in facts["members"]]
        self.origin = tuple(facts["origin"])
        self.offset, self.divisor, self.missing = (np.float32(value) for value in facts["scale"])
        covariances = np.array(facts["covariances"])
        self.within = covariances.mean(axis=0)
        self.pairs = np.triu_indices(len(covariances), 1)
        both = np.linalg.inv(covariances[self.pairs[0]] + covariances[self.pairs[1]])
        self.together = (both[:, 0, 0], 2 * both[:, 0, 1], both[:, 1, 1])
        self.gate = -2 * np.log1p(-facts["gate"])
        self.radii = np.array(facts["radii"])

    def __call__(self, rows: Rows) -> Rows:
        """The answers to *rows*."""
        features = self.scaled(rows)
        places = np.stack([member(features)[0] for member in self.members], axis=1).astype(np.float64)
        mean = places.mean(axis=1)
        residual = places - mean[:, None]
        between = residual.transpose(0, 2, 1) @ residual / places.shape[1]
        apart = between[:, 0, 0] + between[:, 1, 1]
        share = apart / (apart + self.within[0, 0] + self.within[1, 1])
        position, covariance = self.on_the_map(mean, self.within + between)
        return np.concatenate(
            [
                position,
                covariance.reshape(-1, 4),
                self.ellipses(covariance),
                np.stack([share, np.full(len(rows), places.shape[1]), ~(covariance[:, 0, 0] > 0)], axis=1),
                ((share > TWO_PEAKS) | self.contested(places))[:, None],
            ],
            axis=1,
        )

    def scaled(self, rows: Rows) -> Rows:
        """What the members take; ValueError for what is no row."""
        if rows.shape[1:] != (8,) or not np.isfinite(rows).all():
            raise ValueError("expected rows of 8 finite numbers")
        return np.where(rows == self.missing, np.float32(0), np.maximum((rows + self.offset) / self.divisor, 0))

    def contested(self, places: Rows) -> Rows:
        """Whether any two members contradict each other beyond the gate."""
        east, north = (places[:, self.pairs[0]] - places[:, self.pairs[1]]).transpose(2, 0, 1)
        a, b, c = self.together
        return (east * east * a + east * north * b + north * north * c > self.gate).any(axis=1)

    def on_the_map(self, mean: Rows, covariance: Rows) -> tuple[Rows, Rows]:
        """Where the geodesic from the origin ends, and the covariance in the east and north of that place."""
        bearing, distance = np.degrees(np.arctan2(mean[:, 0], mean[:, 1])), np.hypot(mean[:, 0], mean[:, 1])
        here = (np.full(len(mean), self.origin[1]), np.full(len(mean), self.origin[0]))
        longitude, latitude, back = WGS84.fwd(*here, bearing, distance)
        turn = np.radians((back - bearing) % 360 - 180)
        cosine, sine = np.cos(turn), np.sin(turn)
        rotation = np.stack([cosine, sine, -sine, cosine], axis=1).reshape(-1, 2, 2)
        return np.stack([latitude, longitude], axis=1), rotation @ covariance @ rotation.transpose(0, 2, 1)

    def ellipses(self, covariance: Rows) -> Rows:
        """Half axes in metres and the bearing in degrees of each confidence level, (N, 9)."""
        east, cross, north = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
        largest = (east + north + np.hypot(east - north, 2 * cross)) / 2
        smallest = (east * north - cross * cross) / largest
        bearing = np.degrees(np.arctan2(2 * cross, north - east)) / 2 % 180
        axes = np.sqrt(np.stack([largest, smallest], axis=1))[:, None, :] * self.radii[:, None]
        whole = np.concatenate([axes, np.broadcast_to(bearing[:, None, None], (*axes.shape[:2], 1))], axis=2)
        return whole.reshape(len(covariance), -1)
