"""
Teaches the members on set 1 and registers each in MLflow under the alias ``champion``.

A version that bears the fingerprint of the same code, settings, libraries and rows is still valid, and is used again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import Schema, TensorSpec

from arrivals import Messages
from delays import pressure, surveyed
from lateness import Lateness
from network import COLUMNS, Network
from sextant.geodesy import to_east_north
from sextant_cli.demo.registering import Registered, experiment, registered
from tdoa import solve_robustly

EXPERIMENT = "aircraft"
HERE = Path(__file__).parent
MODEL, CODE = HERE / "locator.py", [HERE / name for name in ("tdoa.py", "network.py", "lateness.py")]
EXAMPLE_ROWS = 64

LARGEST_M = 10.0
SETTINGS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "solver": {"sigma_m": 30.0},
        "robust": {"sigma_m": 15.0, "largest_m": LARGEST_M},
        "learned": {"sigma_m": 15.0, "largest_m": LARGEST_M},
    }
)
"""
By how much each member says that arrivals err: 100 ns, as people say who have not measured, and 50 ns, of who has.

Neither knows how late the aircraft's report is, so all are too sure of themselves; calibration will say by how much.
"""

SIGNATURE = ModelSignature(
    inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(COLUMNS)))]),
    outputs=Schema(
        [
            TensorSpec(np.dtype(np.float64), (-1, 2), "position"),
            TensorSpec(np.dtype(np.float64), (-1, 2, 2), "covariance"),
        ]
    ),
)


@dataclass(frozen=True)
class Taught:
    """What set 1 taught: the network as it is drawn, the same with its delays, and how late reports are."""

    drawn: Network
    surveyed: Network
    lateness: Lateness

    @classmethod
    def by(cls, messages: Messages, network: Network) -> Taught:
        """*messages*, whose truth is known, heard by *network*."""
        drawn = pressure(network, messages.features, messages.geometric_m)
        better = surveyed(drawn, messages.features, messages.truth)
        position = solve_robustly(better.heard(messages.features), LARGEST_M).position
        error_m = to_east_north(messages.truth, position)
        return cls(drawn, better, Lateness.learned(position, messages.features[:, -1].astype(float), error_m))

    def write(self, name: str, folder: Path) -> dict[str, str]:
        """The files of member *name*, by the words under which it finds them again."""
        network = self.drawn if name == "solver" else self.surveyed
        (folder / "network.json").write_text(json.dumps(network.to_dict()), encoding="utf-8")
        files = {"network": str(folder / "network.json")}
        if name == "learned":
            self.lateness.write(folder / "lateness.npz")
            files["lateness"] = str(folder / "lateness.npz")
        return files


def register(
    messages: Messages,
    network: Network,
    *,
    tracking_uri: str,
    artifacts: Path,
    progress: Callable[[int, int, str], None],
) -> list[Registered]:
    """
    Every member as a version under the alias ``champion``, taught by *messages* where need be.

    *progress* hears how many of how many are done, and which comes next.
    """
    taught = Taught.by(messages, network)
    members = []
    with experiment(EXPERIMENT, tracking_uri, artifacts) as number:
        for done, name in enumerate(SETTINGS):
            progress(done, len(SETTINGS), name)
            members.append(_register(name, taught, messages, number))
    progress(len(SETTINGS), len(SETTINGS), "")
    return members


def fingerprint(name: str, messages: Messages, network: Network) -> str:
    """A digest of everything a member follows from."""
    digest = hashlib.sha256()
    for path in (MODEL, *CODE, HERE / "delays.py", Path(__file__)):
        digest.update(path.read_bytes())
    for fact in (name, json.dumps(network.to_dict()), np.__version__, mlflow.__version__):
        digest.update(fact.encode())
    for rows in (messages.features, messages.truth, messages.geometric_m):
        digest.update(rows.tobytes())
    return digest.hexdigest()


def _register(name: str, taught: Taught, messages: Messages, number: str) -> Registered:
    called, mark = f"aircraft-{name}", fingerprint(name, messages, taught.drawn)
    return registered(called, mark, lambda: _log(name, called, taught, messages, number))


def _log(name: str, called: str, taught: Taught, messages: Messages, number: str) -> ModelInfo:
    with TemporaryDirectory() as folder, mlflow.start_run(experiment_id=number, run_name=called):
        return mlflow.pyfunc.log_model(
            name=called,
            python_model=str(MODEL),
            code_paths=[str(path) for path in CODE],
            artifacts=taught.write(name, Path(folder)),
            model_config=dict(SETTINGS[name]),
            signature=SIGNATURE,
            input_example=messages.features[:EXAMPLE_ROWS],
            pip_requirements=[f"numpy=={np.__version__}", f"mlflow=={mlflow.__version__}"],
        )
