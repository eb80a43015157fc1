"""
Trains the three networks and registers each in MLflow under the alias ``champion``.

A version that was trained from the same windows, by the same program and the same libraries is still valid: its
fingerprint stands in a tag, and it is not trained twice.  One thread and seeds of their own make training repeatable.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import mlflow
import numpy as np
import torch
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from numpy.typing import NDArray

from radio import members
from radio.members import MEMBERS, POSITION_SCALE_M
from radio.windows import Sizes, Windows, training
from sextant.blocks import LogMel
from sextant_cli.demo.registering import Registered, experiment, registered

EXPERIMENT = "sextant-radio"
SEED, BATCH, EXAMPLE_ROWS, PROBE_ROWS = 0, 64, 4, 32
LEARNING_RATE, WARM_UP, WEIGHT_DECAY, LONGEST_STEP = 4e-3, 0.15, 1e-2, 1.0
LOGGERS = ("torch", "torch.export")

Features = NDArray[np.float32]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Lessons:
    """Log-mel *features* ``(N, R, bands, frames)`` and *east_north* metres ``(N, 2)`` to learn from them."""

    features: Features
    east_north: NDArray[np.float32]


def train_and_register(
    sizes: Sizes, block: LogMel, tracking_uri: str, artifacts: Path, progress: Progress
) -> list[Registered]:
    """
    Every member as a version under the alias ``champion``, trained where need be on what *block* makes of windows.

    *progress* hears how many of how many epochs are done, and the name of the member.
    """
    windows = training(sizes)
    mark = fingerprint(sizes, block, windows)
    lessons = cache(lambda: _lessons(windows, block, progress))  # heard once, and only where a member is trained
    with experiment(EXPERIMENT, tracking_uri, artifacts, *LOGGERS) as experiment_id:

        def trained(name: str) -> ModelInfo:
            network = fitted(name, lessons(), sizes.epochs, progress)
            return _log(name, network, lessons(), experiment_id)

        return [registered(name, f"{name} {mark}", partial(trained, name)) for name in MEMBERS]


def fingerprint(sizes: Sizes, block: LogMel, windows: Windows) -> str:
    """A digest of everything a trained member follows from: of the windows, the first few."""
    digest = hashlib.sha256()
    programs = [inspect.getsource(members), Path(__file__).read_text(encoding="utf-8")]
    for fact in (sizes.train, sizes.epochs, torch.__version__, np.__version__, mlflow.__version__, *programs):
        digest.update(f"{fact}\n".encode())
    probe = Windows(windows.flight.part(slice(PROBE_ROWS)), windows.seed)
    digest.update(probe.log_mel(block).tobytes())
    return digest.hexdigest()


def fitted(name: str, lessons: Lessons, epochs: int, progress: Progress) -> torch.nn.Module:
    """
    The member *name*, trained by Gaussian likelihood: to be near, and to know how near.

    The same on the same machine for the same lessons, whatever was trained before it.
    """
    features, goals = torch.from_numpy(lessons.features), torch.from_numpy(lessons.east_north)
    with _alone():
        network = MEMBERS[name](*features.shape[1:])
        step = _steps(network, epochs * (len(features) // BATCH))
        for epoch in range(epochs):
            progress(epoch, epochs, name)
            for rows in torch.randperm(len(features)).split(BATCH)[: len(features) // BATCH]:
                step(loss(network(features[rows]), goals[rows]))
        progress(epochs, epochs, name)
    return network.eval()


def loss(answer: dict[str, torch.Tensor], goals: torch.Tensor) -> torch.Tensor:
    """The negative logarithm of the Gaussian likelihood of *goals* ``(B, 2)``, in square kilometres."""
    squares = ((answer["position"] - goals) / POSITION_SCALE_M) ** 2
    log_variances = answer["log_variances"] - 2 * float(np.log(POSITION_SCALE_M))
    return (squares * torch.exp(-log_variances) + log_variances).mean() / 2


def _steps(network: torch.nn.Module, steps: int) -> Callable[[torch.Tensor], None]:
    """What to do with the loss of each batch: one step downhill, its length warmed up and then cooled to nothing."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=WARM_UP)

    def step(of_batch: torch.Tensor) -> None:
        optimizer.zero_grad()
        of_batch.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), LONGEST_STEP)
        optimizer.step()
        schedule.step()

    return step


def _lessons(windows: Windows, block: LogMel, progress: Progress) -> Lessons:
    progress(0, len(windows), "windows")
    features = windows.log_mel(block)
    progress(len(windows), len(windows), "windows")
    return Lessons(features, windows.flight.east_north.astype(np.float32))


def _log(name: str, network: torch.nn.Module, lessons: Lessons, experiment_id: str) -> ModelInfo:
    """As a program of ``torch.export``: it holds its weights and its layers, and nobody needs this file to load it."""
    example = lessons.features[:EXAMPLE_ROWS]
    with torch.no_grad():
        answer = {key: tensor.numpy() for key, tensor in network(torch.from_numpy(example)).items()}
    with mlflow.start_run(experiment_id=experiment_id, run_name=name):
        return mlflow.pytorch.log_model(
            network,
            name=name,
            signature=infer_signature(example, answer),
            input_example=example,
            serialization_format="pt2",
            pip_requirements=[f"torch=={torch.__version__}", f"numpy=={np.__version__}"],
        )


@contextmanager
def _alone() -> Iterator[None]:
    """PyTorch on one thread and with a seed of its own; sums over several threads have no fixed order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            yield
    finally:
        torch.set_num_threads(threads)
