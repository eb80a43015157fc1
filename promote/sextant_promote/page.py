"""A pipeline's page on disk, read anew whenever it changes there."""

from __future__ import annotations

import time
from pathlib import Path

from sextant.errors import PipelineError
from sextant_export.pipeline import Pipeline, load_pipeline

STILL_S = 1.0
Stamp = tuple[int, int, int]


class Page:
    """
    The page at *path*: its *pipeline* as it last was sound, None before, and the *problem* it has now, None without.

    A page is edited while it is watched: what was sound in it goes on being known while it is not, and half a page,
    which may be sound and mean something else, is not read: it has to lie still for ``STILL_S`` first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pipeline: Pipeline | None = None
        self.problem: PipelineError | None = None
        self._stamp: Stamp | None = None
        self.reread()

    @property
    def name(self) -> str:
        """The pipeline's name, or the file's while it was never sound."""
        return self.pipeline.name if self.pipeline else self.path.stem

    def reread(self) -> None:
        """Read it, unless it is the file that was read last."""
        stamp = self._looked_at()
        if stamp is not None and (stamp == self._stamp or (self._stamp and _is_being_written(stamp))):
            return
        self._stamp = stamp
        try:
            self.pipeline, self.problem = load_pipeline(self.path), None
        except PipelineError as error:
            self.problem = error

    def _looked_at(self) -> Stamp | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _is_being_written(stamp: Stamp) -> bool:
    """Whether it was written within the last moments; a time stamp of the future says nothing."""
    return 0 <= time.time() - stamp[1] / 1e9 < STILL_S
