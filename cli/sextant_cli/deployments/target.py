"""
What a target URI means: the store, and the Triton that serves it.

The URI says either or both, Sextant's settings say what it leaves out, and NVIDIA's MLflow plugin's settings what those
leave out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sextant.errors import AddressRefused, ServerUnreachable, StoreError
from sextant_cli.options import DEFAULT_STORE, server_of
from sextant_client.address import parse
from sextant_export.store import Store, writing
from sextant_server.address import ServerAddress, read_address

SUFFIX = ".sextant"
USUAL_URL = "localhost:8000"


@dataclass(frozen=True)
class Target:
    """A *store*, and where its Triton answers: *named*, or found beside the store; *token* opens its control calls."""

    store: Store
    named: str | None = None
    token: str | None = None

    @property
    def server(self) -> tuple[str, str | None]:
        """The gRPC URL and the token; ServerUnreachable where nothing serves the store."""
        return server_of(self.store.root, self.named, self.token)


def find_target(uri: str) -> Target:
    """
    The target of ``triton``, ``triton:/path/to/store``, ``triton://host:port`` or ``triton://host:port/path/to/store``.

    The port is gRPC's. ``AddressRefused`` or ``StoreError`` says what is wrong with a setting.
    """
    parts = urlsplit(uri)
    store = _store(parts.path if parts.scheme else "")
    token = os.environ.get("SEXTANT_TOKEN")
    named = f"grpc://{parts.netloc}" if parts.netloc else os.environ.get("SEXTANT_SERVER")
    if named:
        return Target(store, named, token)
    return _incumbents(store, token)


def _store(path: str) -> Store:
    if path or "SEXTANT_STORE" in os.environ or not os.environ.get("TRITON_MODEL_REPO"):
        return Store(Path(path or os.environ.get("SEXTANT_STORE", DEFAULT_STORE)))
    return _around(os.environ["TRITON_MODEL_REPO"])


def _around(repository: str) -> Store:
    """
    The store whose ``models/`` is *repository*, a folder that some Triton serves already.

    A folder of another name gets its store as a neighbour, so that nothing but models comes into it.
    """
    if "://" in repository:
        raise StoreError(f"TRITON_MODEL_REPO={repository} is a URL: this version publishes to folders only")
    folder = Path(repository).absolute()
    if folder.name == "models":
        return Store(folder.parent)
    store = Store(folder.with_name(folder.name + SUFFIX))
    if folder.is_dir() and not store.models.exists():
        with writing(store.root):
            store.root.mkdir(mode=0o700, exist_ok=True)
            store.models.symlink_to(Path("..") / folder.name)
    return store


def _incumbents(store: Store, token: str | None) -> Target:
    """As ``TRITON_URL`` says, which is HTTP's; without it the server beside the store, or the plugin's default."""
    beside = _beside(store)
    url = os.environ.get("TRITON_URL", "" if beside or "TRITON_MODEL_REPO" not in os.environ else USUAL_URL)
    if not url:
        return Target(store, None, token)
    if beside and urlsplit(beside.http).netloc == url.removeprefix("http://").rstrip("/"):
        return Target(store, beside.grpc, token or beside.token)
    return Target(store, _grpc(url), token)


def _beside(store: Store) -> ServerAddress | None:
    with suppress(ServerUnreachable):
        return read_address(store.root)
    return None


def _grpc(url: str) -> str:
    """
    Where the Triton whose HTTP answers at *url* listens for gRPC, by Triton's habit: one port further.

    >>> _grpc("localhost:8000")
    'grpc://localhost:8001'
    """
    address = parse(url if "://" in url else f"http://{url}")
    if address.secure:
        raise AddressRefused(
            f"{url}: models are loaded over plain gRPC: name the Triton itself, not the proxy before it"
        )
    return address._replace(scheme="grpc", port=address.port + address.over_http).url
