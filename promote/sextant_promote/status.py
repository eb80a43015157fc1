"""What serves where, since when: the store's word, each server's word, and every release there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sextant.errors import ClientError, ReceiptError
from sextant_export.calibration_summary import calibration_summary
from sextant_export.config import candidate_of
from sextant_export.journal import pruned
from sextant_export.receipt import Receipt, pipelines, read_receipt, releases
from sextant_export.store import Store
from sextant_promote.control import Control, Lookups
from sextant_promote.fallback import Gpu, fallback_of, fallback_on
from sextant_promote.fleet import Fleet
from sextant_promote.history import since
from sextant_promote.lease import holder


@dataclass(frozen=True, kw_only=True)
class ReleaseStatus:
    """
    One release: its *outcome* (``staged``, ``served``, ``refused``, ``edited``), since when, made of what; *pruned*
    where it cannot be gone back to.
    """

    release: int
    outcome: str
    created: str | None = None
    served_at: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    pruned: bool = False


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """
    What the front at *url* is wired to, None where there is none, and the *candidate* that it tries beside that.

    *silent* says why it does not answer, if so. *cache* is how requests to the promoted release fared with the response
    cache since they are answered from there, None where they are not.
    """

    url: str
    release: int | None = None
    candidate: int | None = None
    silent: str | None = None
    cache: Lookups | None = None


@dataclass(frozen=True, kw_only=True)
class MemberStatus:
    """
    One member of the promoted release: its *kind* of copy, *why* it is no other, its *plans* with their fingerprints.

    *backend* is what the server serves it by, None without one. *fallback* says why that is not the plans, and
    *fallbacks* the same for each GPU that was asked about, None where its plan serves. *inside* is the fused graph that
    it is served in, where it is.
    """

    model: str
    version: int
    kind: str
    why: str | None = None
    plans: tuple[Mapping[str, Any], ...] = ()
    backend: str | None = None
    fallback: str | None = None
    fallbacks: Mapping[str, str | None] = field(default_factory=dict)
    inside: str | None = None


@dataclass(frozen=True, kw_only=True)
class GraphStatus:
    """
    What became of ``fuse_graph`` in the promoted release: the Triton *model* that holds *steps*, None where none could
    be fused, and for each step that was *left* as it is the reason.
    """

    model: str | None
    steps: tuple[str, ...]
    left: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class PipelineStatus:
    """
    *promoted* is the release the store's front is wired to, *serving* what the *servers* that answer agree on; None:
    none. *since* is when it was flipped to, *gate* what it passed, *candidate* the release that a canary tries beside
    it, *lease* who is at work on the pipeline.

    *members* are those of the promoted release, by their names in the spec, *calibration* what its known cases came to,
    in words, and *graph* its fused graph, where its spec asks for one.
    """

    pipeline: str
    promoted: int | None
    serving: int | None
    releases: tuple[ReleaseStatus, ...]
    members: Mapping[str, MemberStatus] = field(default_factory=dict)
    calibration: str | None = None
    graph: GraphStatus | None = None
    servers: tuple[ServerStatus, ...] = ()
    since: str | None = None
    gate: tuple[Mapping[str, Any], ...] = ()
    candidate: int | None = None
    lease: str | None = None

    @property
    def drifted(self) -> tuple[ServerStatus, ...]:
        """The servers that answer, and serve another release, or try another beside it, than the store says."""
        said = self.promoted, self.candidate
        return tuple(each for each in self.servers if not each.silent and (each.release, each.candidate) != said)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        said = asdict(self)
        for server, each in zip(said["servers"], self.servers, strict=True):
            server["cache"] = None if each.cache is None else each.cache._asdict()
        return said | {"drifted": [server.url for server in self.drifted]}


def status(
    store: Store, controls: Fleet | Control | Sequence[Control] | None, gpus: Sequence[Gpu] = ()
) -> tuple[PipelineStatus, ...]:
    """
    Every pipeline of *store*, newest release first; *serving* is None without a server to ask.

    One server that does not answer is a ``ClientError``; of several, it is said of those that do not. *gpus* are kinds
    of GPU somewhere else: each member says whether a server with one could serve its plans.
    """
    asked = _asked(controls)
    return tuple(_pipeline(store, asked, name, gpus) for name in pipelines(store))


def _asked(controls: Fleet | Control | Sequence[Control] | None) -> dict[Control, str | None]:
    """The servers, and of each why it does not answer."""
    if isinstance(controls, Fleet):
        controls = [server.control for server in controls.servers]
    several = [controls] if isinstance(controls, Control) else list(controls or ())
    return {control: _silent(control) if len(several) > 1 else None for control in several}


def _silent(control: Control) -> str | None:
    try:
        control.ready()
    except ClientError as error:
        return str(error)
    return None


def _pipeline(store: Store, asked: Mapping[Control, str | None], name: str, gpus: Sequence[Gpu]) -> PipelineStatus:
    receipt = _promoted(store, name)
    servers = tuple(_server(control, name, silent, receipt) for control, silent in asked.items())
    released = {server.release for server in servers if not server.silent}
    first = next((control for control, silent in asked.items() if not silent), None)
    front, gone = store.config(name), pruned(store, name)
    return PipelineStatus(
        pipeline=name,
        promoted=store.served_release(name),
        serving=released.pop() if len(released) == 1 else None,
        releases=tuple(_release(store, name, number, gone) for number in reversed(releases(store, name))),
        members=_members(receipt, first, gpus) if receipt else {},
        calibration=calibration_summary(receipt.spec["answer"], receipt.calibration) if receipt else None,
        graph=_graph(receipt.fused) if receipt and receipt.fused else None,
        servers=servers,
        since=since(store, name, receipt.release) if receipt else None,
        gate=tuple(receipt.gate) if receipt else (),
        candidate=candidate_of(front) if front is not None else None,
        lease=holder(store, name),
    )


def _server(control: Control, pipeline: str, silent: str | None, receipt: Receipt | None) -> ServerStatus:
    if silent:
        return ServerStatus(url=control.url, silent=silent)
    return ServerStatus(
        url=control.url,
        release=control.release(pipeline),
        candidate=control.candidate(pipeline),
        cache=control.lookups(receipt.ensembles[-1]) if receipt and receipt.cached else None,
    )


def _promoted(store: Store, pipeline: str) -> Receipt | None:
    promoted = store.served_release(pipeline)
    try:
        return read_receipt(store, pipeline, promoted) if promoted else None
    except ReceiptError:  # the release itself says so
        return None


def _graph(fused: Mapping[str, Any]) -> GraphStatus:
    return GraphStatus(model=fused.get("model"), steps=tuple(fused["steps"]), left=fused["left"])


def _members(receipt: Receipt, control: Control | None, gpus: Sequence[Gpu]) -> Mapping[str, MemberStatus]:
    fused = receipt.fused or {}
    inside = fused.get("members", ())
    return {
        name: _within(control, fact, fused) if name in inside else _member(control, fact, gpus)
        for name, fact in receipt.members.items()
    }


def _within(control: Control | None, fact: Mapping[str, Any], fused: Mapping[str, Any]) -> MemberStatus:
    """A member that is served in the graph of its pipeline, and not by itself."""
    return MemberStatus(
        model=fact["model"],
        version=fact["version"],
        kind=fact["kind"],
        backend=control.backend(fused["model"], fused["version"]) if control else None,
        inside=fused["model"],
    )


def _member(control: Control | None, fact: Mapping[str, Any], gpus: Sequence[Gpu]) -> MemberStatus:
    plans = tuple(fact.get("plans", ()))
    backend = control.backend(fact["model"], fact["version"]) if control else None
    return MemberStatus(
        model=fact["model"],
        version=fact["version"],
        kind=fact["kind"],
        why=fact.get("why"),
        plans=plans,
        backend=backend,
        fallback=fallback_of(backend, plans),
        fallbacks={str(gpu): fallback_on(gpu, plans) for gpu in gpus if plans},
    )


def _release(store: Store, pipeline: str, number: int, gone: set[int]) -> ReleaseStatus:
    try:
        receipt = read_receipt(store, pipeline, number)
    except ReceiptError as error:
        return ReleaseStatus(release=number, outcome="edited", reason=str(error), pruned=number in gone)
    return ReleaseStatus(
        release=number,
        outcome=receipt.outcome,
        created=receipt.created,
        served_at=receipt.served_at,
        members={name: f"{m['model']} version {m['version']}" for name, m in receipt.members.items()},
        reason=receipt.reason,
        pruned=number in gone,
    )
