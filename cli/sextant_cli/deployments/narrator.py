"""What a deployment tells while it is made: a line of MLflow's log for each step."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("mlflow.deployments.triton")


class Log:
    """The narrator of ``mlflow deployments``."""

    @contextmanager
    def step(self, title: str) -> Iterator[LoggedStep]:
        """Announce a step; its line is written when it says what came of it."""
        yield LoggedStep(title)


class LoggedStep:
    """One step under way."""

    def __init__(self, title: str) -> None:
        self._title = title

    def result(self, text: str) -> None:
        """Write down what came of it."""
        LOGGER.info("%s: %s", self._title, text)
