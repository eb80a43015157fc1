"""One Triton as it is examined: the doors that answer, what it says it is, its process where it runs here."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sextant.errors import AccessDenied, ClientError
from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.server.doors import NOBODYS, Door, GrpcDoor, HttpDoor, door
from sextant_cli.doctor.server.naming import Named
from sextant_client.address import parse
from sextant_client.credentials import Credentials
from sextant_export.store import Store
from sextant_promote.gates.memory import local_server
from sextant_server.control import ModelState
from sextant_server.ports import USUAL


@dataclass(frozen=True, kw_only=True)
class Triton:
    """
    The server *named*: its *doors* that answer, why each of the others is *silent*, and its *version*, if it says it.

    *store* is what it is to serve, where that is known. *process* is its own, a ``psutil.Process``, where it runs on
    this machine and may be looked at.
    """

    named: Named
    doors: tuple[Door, ...]
    silent: dict[str, str]
    version: str | None = None
    metrics: str | None = None
    store: Store | None = None
    process: Any = None

    @property
    def url(self) -> str:
        """What to call it: by its door, or by its name where none answers."""
        return self.doors[0].address.url if self.doors else self.named.url

    @property
    def door(self) -> Door:
        """The door through which it is asked; ``NotMade`` where none answers."""
        if not self.doors:
            raise NotMade("; ".join(self.silent.values()))
        return self.doors[0]

    @property
    def said_version(self) -> str:
        """Which Triton it is; ``NotMade`` where it does not say so."""
        if self.door and self.version is None:
            raise NotMade("it does not say its version to whoever has no token")
        return str(self.version)

    @property
    def lost(self) -> dict[str, str]:
        """Those URLs that were named and do not answer, with the reason."""
        said = {self.named.grpc, self.named.http}
        return {url: why for url, why in self.silent.items() if url in said}

    @cached_property
    def index(self) -> list[ModelState]:
        """Every model that it knows, one entry a version; ``AccessDenied`` without its token."""
        return self.door.index()

    @cached_property
    def loaded(self) -> list[tuple[Any, int]]:
        """The configuration of each model that is READY, with how many of its versions are."""
        ready: dict[str, list[str]] = {}
        for state in self.index:
            if state.ready:
                ready.setdefault(state.name, []).append(state.version)
        return [(self.door.config(model, versions[0]), len(versions)) for model, versions in ready.items()]


def reach(named: Named, store: Store | None = None, credentials: Credentials = NOBODYS) -> Triton:
    """Knock at every door of the server *named*, and at those that Triton usually has beside them."""
    answering: dict[Door, str | None] = {}
    silent: dict[str, str] = {}
    for url in (named.grpc or _beside(named.http, GrpcDoor), named.http or _beside(named.grpc, HttpDoor)):
        if url is not None:
            opened = door(url, named.token, credentials)
            try:
                answering[opened] = _version(opened)
            except ClientError as error:
                silent[url] = str(error) if url in str(error) else f"{url}: {error}"
    return Triton(
        named=named,
        doors=tuple(answering),
        silent=silent,
        version=next(filter(None, answering.values()), None),
        metrics=named.metrics or _metrics(named.url),
        store=store,
        process=next(filter(None, (local_server(opened.address.url) for opened in answering)), None),
    )


def _version(opened: Door) -> str | None:
    with suppress(AccessDenied):
        return opened.version()
    return None


def _beside(url: str | None, kind: type[Door]) -> str | None:
    """The usual port of the other protocol, where this one has its usual port too."""
    sides = {HttpDoor: ("http", USUAL.http), GrpcDoor: ("grpc", USUAL.grpc)}
    scheme, port = sides[kind]
    address = parse(url) if url else None
    if address is None or address.secure or address.port not in {USUAL.http, USUAL.grpc}:
        return None
    return address._replace(scheme=scheme, port=port).url


def _metrics(url: str) -> str | None:
    """Where the metrics of a Triton on its usual ports usually are."""
    address = parse(url)
    if address.secure or address.port not in {USUAL.http, USUAL.grpc}:
        return None
    return f"{address._replace(scheme='http', port=USUAL.metrics).url}/metrics"
