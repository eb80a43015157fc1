"""
Several Tritons, controlled as if they were one: what is asked of the fleet is asked of each server.

A fleet of one is the common case and costs nothing. Servers either load from the store itself or from a copy of their
own (:mod:`sextant_promote.copies`), which is brought up to date before each load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sextant.errors import AddressRefused, ClientError, SextantError
from sextant_export.store import Store
from sextant_promote.control import Control

if TYPE_CHECKING:
    from typing_extensions import Self

    from sextant_promote.copies import StoreCopy

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """One Triton of a fleet: its *control*, the URL of its *metrics*, and its own *copy* of the store, if any."""

    control: Control
    metrics: str | None = None
    copy: StoreCopy | None = None

    @property
    def url(self) -> str:
        """Where it answers, ``grpc://host:port``."""
        return self.control.url


class Fleet:
    """
    The Tritons that serve *store*.

    Each method does to all servers what :class:`~sextant_promote.control.Control` does to one, at the same time, and
    waits for all of them before it raises the first error. So a step that returned was taken everywhere.
    """

    def __init__(self, store: Store, servers: Sequence[Server]) -> None:
        if not servers:
            raise AddressRefused("a fleet needs a server: name one by --server, or in sextant.toml")
        self.store, self.servers = store, tuple(servers)

    @classmethod
    def of(cls, store: Store, controlled: Control | Fleet) -> Fleet:
        """One Triton as a fleet of one; a fleet as it is."""
        return controlled if isinstance(controlled, Fleet) else cls(store, [Server(controlled)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to all servers."""
        for server in self.servers:
            server.control.close()

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the servers answer."""
        return tuple(server.url for server in self.servers)

    def require_live(self) -> None:
        """Raise ``ServerUnreachable`` or ``AccessDenied`` unless every server answers and takes our token."""
        self._each(lambda server: server.control.require_live())

    def load(self, model: str) -> None:
        """Load what the store now holds of *model* on every server, each copy brought up to date first."""
        self._each(partial(self._load, model))

    def unload(self, model: str) -> None:
        """Stop serving *model* everywhere; requests under way are answered first."""
        self._each(lambda server: server.control.unload(model))

    def touch(self, model: str) -> None:
        """Make the configuration of *model* look newer to every server, for those that compare time stamps."""
        self.store.touch(model)
        self._each(lambda server: server.copy.touch(model) if server.copy else None)

    def align(self) -> None:
        """Bring every copy to what the store holds, and take out of it what the store holds no more."""
        self._each(self._align)

    def ready(self) -> dict[str, set[int]]:
        """The versions that are READY on every server, by model."""
        first, *others = self._each(lambda server: server.control.ready())
        return {
            model: versions.intersection(*(other.get(model, set()) for other in others))
            for model, versions in first.items()
        }

    def draining(self, model: str) -> set[int]:
        """The versions of *model* that only have requests under way, on any server that answers."""
        return set().union(*self.answering(lambda control: control.draining(model)))

    def require_ready(self, models: Iterable[tuple[str, int]]) -> None:
        """Raise ``LoadFailed`` unless every server serves every model's version."""
        wanted = list(models)
        self._each(lambda server: server.control.require_ready(wanted))

    def release(self, pipeline: str) -> int | None:
        """The release that the front of *pipeline* is wired to on all servers; None where they disagree, or none is."""
        released = set(self._each(lambda server: server.control.release(pipeline)))
        return released.pop() if len(released) == 1 else None

    def candidates(self, pipeline: str) -> set[int]:
        """The releases that the front of *pipeline* tries, on any server that answers: its callers are sent there."""
        tried = self.answering(lambda control: control.candidate(pipeline))
        return {candidate for candidate in tried if candidate is not None}

    def answering(self, ask: Callable[[Control], T]) -> list[T]:
        """What *ask* gives for each server that answers; of those that do not, nothing."""
        given = []
        for server in self.servers:
            with suppress(ClientError):
                given.append(ask(server.control))
        return given

    def _load(self, model: str, server: Server) -> None:
        if server.copy is not None:
            server.copy.bring(self.store, model)
        server.control.load(model)

    def _align(self, server: Server) -> None:
        if server.copy is None:
            return
        held = self.store.configs()
        for model in server.copy.differing(self.store):
            if model in held:
                server.copy.bring(self.store, model)
            else:
                server.copy.remove(model)

    def _each(self, ask: Callable[[Server], T]) -> list[T]:
        """What *ask* gives for each server, in their order; the first error only after all have ended."""
        if len(self.servers) == 1:
            return [ask(self.servers[0])]
        with ThreadPoolExecutor(len(self.servers)) as pool:
            futures = [pool.submit(ask, server) for server in self.servers]
        failed = [future.exception() for future in futures if future.exception()]
        if failed:
            raise _first(failed)
        return [future.result() for future in futures]


def _first(errors: Sequence[BaseException | None]) -> BaseException:
    """The error that says most: one of ours before a bug."""
    return next(error for error in (*(e for e in errors if isinstance(e, SextantError)), *errors) if error is not None)
