"""Several Tritons on one store, as several machines would have it that mount the same folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sextant_client import Client
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.fleet import Server
from sextant_server import EmbeddedTriton
from small_world import draw


class Host:
    """A folder of a server's own whose ``models`` is that of the shared *store*."""

    def __init__(self, store: Store, folder: Path) -> None:
        folder.mkdir()
        (folder / "models").symlink_to(store.models, target_is_directory=True)
        self.folder = folder

    def start(self) -> None:
        """Start its Triton, which loads what the store holds."""
        self.triton = EmbeddedTriton(self.folder).start()
        self.server = Server(Control(self.triton.address.grpc, self.triton.address.token))

    def stop(self) -> None:
        """Stop it, or clear away after it was killed."""
        self.server.control.close()
        self.triton.stop()

    def kill(self) -> None:
        """End its Triton as a power cut would."""
        os.kill(self.triton.address.pid, signal.SIGKILL)

    def release(self) -> int:
        """Which release answers a caller."""
        with Client(self.triton.address.grpc) as client:
            return int(client.pipeline("locate")(draw(1, seed=9).features[0]).release)
