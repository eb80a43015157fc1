"""Which Tritons a verb is about: those that were named, else those of ``sextant.toml``, else the store's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sextant.errors import ServerUnreachable
from sextant_cli import options
from sextant_export.settings import ServerSettings, Settings
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.copies import StoreCopy
from sextant_promote.fleet import Fleet, Server
from sextant_promote.names import servers_behind
from sextant_server.address import ServerAddress, read_address, stored_address


@contextmanager
def fleet_of(store: Store, urls: Sequence[str], token: str | None) -> Iterator[Fleet]:
    """The fleet at *urls*, its connections closed at the end; ``ServerUnreachable`` where none is known."""
    with made_fleet(store, servers_of(store, urls, token, options.settings())) as fleet:
        yield fleet


@contextmanager
def fleet_or_none(store: Store, urls: Sequence[str], token: str | None) -> Iterator[Fleet | None]:
    """The same; None where nobody named a server and none serves the store."""
    settings = options.settings()
    try:
        told = _told(store, urls, settings)
    except ServerUnreachable:
        yield None
        return
    with made_fleet(store, _found(told, token)) as fleet:
        yield fleet


def made_fleet(store: Store, servers: Sequence[ServerSettings]) -> Fleet:
    """The Tritons that *servers* describe, each with its copy of *store* where it has one."""
    return Fleet(store, [_server(each) for each in servers])


def servers_of(store: Store, urls: Sequence[str], token: str | None, settings: Settings) -> tuple[ServerSettings, ...]:
    """
    What is known of the servers at *urls*, or of those that serve *store*; *token* is stronger than a file's.

    A name that stands for several servers is looked up at each call; ``ServerUnreachable`` where it has no address.
    """
    return _found(_told(store, urls, settings), token)


def _told(store: Store, urls: Sequence[str], settings: Settings) -> tuple[ServerSettings, ...]:
    """The servers as they were said, or written down."""
    known = {server.url: server for server in settings.servers}
    named = tuple(known.get(url) or _named(store, url) for url in urls)
    return named or settings.servers or (_own(store),)


def _found(told: Sequence[ServerSettings], token: str | None) -> tuple[ServerSettings, ...]:
    """The servers that those stand for."""
    found = tuple(server for each in told for server in servers_behind(each))
    return tuple(replace(server, token=token, token_file=None, token_env=None) for server in found) if token else found


def _server(told: ServerSettings) -> Server:
    copy = StoreCopy(told.copy, told.storage_options) if told.copy else None
    return Server(Control(told.url, told.secret()), told.metrics, copy)


def _named(store: Store, url: str) -> ServerSettings:
    """A server of which only the URL was said; where it is the store's own, its metrics and its token are known."""
    own = stored_address(store.root)
    return _settings(own) if own and own.grpc == url else ServerSettings(url=url)


def _own(store: Store) -> ServerSettings:
    """The server that ``sextant serve`` runs on the store."""
    return _settings(read_address(store.root))


def _settings(address: ServerAddress) -> ServerSettings:
    return ServerSettings(url=address.grpc, metrics=_metrics(address), token=address.token)


def _metrics(address: ServerAddress) -> str:
    return f"{address.metrics}/metrics"
