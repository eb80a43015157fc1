"""Where a store is served: written beside it while it is."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sextant.errors import ServerUnreachable

FILE = "server.json"
TOKEN_HEADER = "sextant-token"  # noqa: S105  (its name, not a token)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """
    A running server's URLs, the token its control APIs ask for under *header*, and its process id.

    Control calls send the token as the HTTP header *header*, or as the gRPC metadata
    ``triton-grpc-protocol-<header>``.
    """

    grpc: str
    http: str
    metrics: str
    token: str
    header: str
    pid: int

    def __repr__(self) -> str:
        """Without the token: what is printed ends in logs."""
        return f"ServerAddress(grpc={self.grpc!r}, http={self.http!r}, metrics={self.metrics!r}, pid={self.pid})"

    @property
    def alive(self) -> bool:
        """
        Whether this very server still runs.

        Its token stands on its command line: a process id given to another program since is not mistaken
        for it.
        """
        try:
            return self.token.encode() in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False

    def write(self, store: Path) -> None:
        """Put it into *store*, readable by this user alone: it holds the token."""
        partial = store / f".{FILE}.partial"
        with suppress(FileNotFoundError):
            partial.unlink()
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
        partial.replace(store / FILE)


def read_address(store: str | os.PathLike[str]) -> ServerAddress:
    """The address of the server that serves *store*; raises ServerUnreachable if none does."""
    address = stored_address(Path(store))
    if address is None or not address.alive:
        raise ServerUnreachable(f"nothing serves this store: run `sextant serve --store {store}`")
    return address


def stored_address(store: Path) -> ServerAddress | None:
    """What *store* says about its server, which may be gone; None if it says nothing readable."""
    try:
        return ServerAddress(**json.loads((store / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def remove_address(store: Path, token: str) -> None:
    """Take the address of the server with *token* out of *store*; another server's stays."""
    address = stored_address(store)
    if address is not None and address.token == token:
        (store / FILE).unlink(missing_ok=True)
