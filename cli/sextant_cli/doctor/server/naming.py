"""Which servers are to be examined, and all that is known of each before anybody knocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, zip_longest

from sextant.errors import ServerUnreachable, SettingsError
from sextant_cli.fleet import servers_of
from sextant_client.address import parse
from sextant_export.settings import ServerSettings, Settings
from sextant_export.settings_problems import BY_NAME
from sextant_export.store import Store
from sextant_server.address import stored_address


@dataclass(frozen=True, kw_only=True)
class Named:
    """A server as somebody named it: the URL of each side that is known, and the *token* of its control calls."""

    grpc: str | None = None
    http: str | None = None
    metrics: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """What to call it: its gRPC side, where that is known."""
        return self.grpc or self.http or ""


def named_servers(store: Store, urls: Sequence[str], token: str | None, settings: Settings) -> tuple[Named, ...]:
    """
    The servers at *urls*, else those of the *settings*, else the one that `sextant serve` runs on *store*; or none.

    ``AddressRefused`` for what is no URL of a Triton, ``ServerUnreachable`` for a name of several that has no address.
    """
    said = tuple(urls) or tuple(server.url for server in settings.servers)
    if said:
        several = [url for url in said if url.startswith(BY_NAME)]
        pairs = paired([url for url in said if url not in several])
        behind = servers_of(store, several, token, settings) if several else ()
        return (*(_known(pair, store, token, settings) for pair in pairs), *(_told(each, store) for each in behind))
    with suppress(ServerUnreachable):
        return tuple(_told(told, store) for told in servers_of(store, (), token, settings))
    return ()


def paired(urls: Sequence[str]) -> Iterator[Named]:
    """
    The servers at *urls*, where the first HTTP side of a host belongs to its first gRPC side, and so on.

    >>> [(each.grpc, each.http) for each in paired(["grpc://a:8001", "http://a:8000", "http://b:8000"])]
    [('grpc://a:8001', 'http://a:8000'), (None, 'http://b:8000')]
    """
    addresses = sorted((parse(url).host, number, url) for number, url in enumerate(dict.fromkeys(urls)))
    for _, group in groupby(addresses, key=lambda address: address[0]):
        of_host = [url for _, _, url in group]
        sides = [[url for url in of_host if parse(url).over_http is over_http] for over_http in (False, True)]
        for grpc, http in zip_longest(*sides):
            yield Named(grpc=grpc, http=http)


def _known(pair: Named, store: Store, token: str | None, settings: Settings) -> Named:
    """*pair* with what the settings, or the store, say of a server at one of its URLs."""
    own = stored_address(store.root)
    if own and pair.grpc is None and own.http == pair.http:
        pair = Named(grpc=own.grpc, http=own.http)
    if pair.grpc is None:
        return Named(http=pair.http, token=token)
    (told,) = servers_of(store, (pair.grpc,), token, settings)
    return _told(told, store, pair.http)


def _told(told: ServerSettings, store: Store, http: str | None = None) -> Named:
    """A server of the settings, or of the store, whose HTTP side the store knows."""
    own, secret = stored_address(store.root), None
    with suppress(SettingsError):  # the check `tokens` says so
        secret = told.secret()
    beside = own.http if own and own.grpc == told.url else None
    return Named(grpc=told.url, http=http or beside, metrics=told.metrics, token=secret)
