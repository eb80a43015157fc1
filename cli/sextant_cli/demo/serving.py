"""Where a story keeps its things, a Triton for as long as it runs, and the promotion of a page to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sextant.errors import ClientError
from sextant_cli.narrator import Narrator
from sextant_export.pipeline import Pipeline
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton


@dataclass(frozen=True)
class Place:
    """Where a story keeps its things: ``mlflow.db``, ``artifacts/`` and ``store/`` under *root*."""

    root: Path

    @property
    def tracking_uri(self) -> str:
        """MLflow's registry: one SQLite file, artifacts beside it."""
        return f"sqlite:///{self.root.resolve() / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """The models' files."""
        return self.root / "artifacts"

    @property
    def store(self) -> Path:
        """What Triton serves from."""
        return self.root / "store"


@contextmanager
def serving(store: Path, narrator: Narrator) -> Iterator[EmbeddedTriton]:
    """The embedded Triton on *store*, stopped at the end of the ``with``; where it died, that is what is said."""
    with narrator.step("start Triton") as step:
        triton = EmbeddedTriton(store).start()
        step.result(f"the real server of the nvidia-pytriton wheel, {triton.address.grpc}")
    try:
        yield triton
    except ClientError:
        triton.check()  # a server that died says more than a call that failed
        raise
    finally:
        triton.stop()


def promoted(pipeline: Pipeline, store: Path, tracking_uri: str, triton: EmbeddedTriton, narrator: Narrator) -> int:
    """The release that *triton* serves of *pipeline* from now on."""
    with Control(triton.address.grpc, triton.address.token) as control:
        done = promote(pipeline, Store(store), Registry(tracking_uri), control, narrator)
    if not done.changed:
        narrator.say(f"r{done.release} already serves this")
    return int(done.release)
