"""``sextant status``: what serves where, since when, and every release there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from sextant.errors import ServerUnreachable, StoreError
from sextant_cli import options, words
from sextant_cli.fleet import fleet_or_none
from sextant_export.store import Store
from sextant_promote.control import Lookups
from sextant_promote.fallback import Gpu
from sextant_promote.status import GraphStatus, MemberStatus, PipelineStatus, ReleaseStatus, ServerStatus
from sextant_promote.status import status as read_status


def _gpu(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> list[Gpu]:
    try:
        return [Gpu.parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@options.store
@options.servers
@options.token
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    metavar="X.Y[:VERSION]",
    callback=_gpu,
    help="A GPU's compute capability, like 8.9, or 8.9:10.13.3 with its server's TensorRT: "
    "would it serve the members' plans? May be given again.",
)
@options.as_json
def status(
    store_path: Path, server_urls: tuple[str, ...], token: str | None, gpus: list[Gpu], *, as_json: bool
) -> None:
    """
    Say which release of each pipeline serves, since when, of what it is made, and what became of the others.

    It tells which gates the release passed, whether a canary runs, who is at work on the pipeline, and which server
    serves something else than the store says. Of members with TensorRT plans it tells which servers fall back to ONNX
    Runtime, and why. Without a server it tells what the store holds.
    """
    if not store_path.is_dir():
        raise StoreError(f"{store_path}: there is no such folder; --store names the one that `sextant promote` filled")
    store = Store(store_path)
    with fleet_or_none(store, server_urls, token) as fleet:
        found = read_status(store, fleet, gpus)
        urls = fleet.urls if fleet else ()
    if urls and all(server.silent for each in found for server in each.servers) and found:
        raise ServerUnreachable(f"none of {', '.join(urls)} answers: {found[0].servers[0].silent}")
    if as_json:
        options.print_json({"store": store_path, "servers": urls, "pipelines": [each.to_dict() for each in found]})
    else:
        click.echo("\n".join(_words(found)) or f"{store_path} holds no release: `sextant promote` makes one")


def _words(found: tuple[PipelineStatus, ...]) -> Iterator[str]:
    if found:
        yield from _servers(found[0].servers)
    for each in found:
        yield f"{each.pipeline}: {_serving(each)}"
        yield from (f"  {line}" for line in _now(each))
        yield from (f"  {name}: {line}" for name, member in each.members.items() for line in _plans(member))
        yield from (f"  {line}" for line in _fused(each.graph))
        yield from (f"  {_release(release)}" for release in each.releases)


def _servers(servers: Sequence[ServerStatus]) -> Iterator[str]:
    for server in servers:
        yield f"server: {server.url}{f' does not answer: {server.silent}' if server.silent else ''}"
    if not servers:
        yield "server: none answers: `sextant serve` starts one"


def _now(each: PipelineStatus) -> Iterator[str]:
    """What there is to say of the release that serves, and of whoever is about to change it."""
    for server in each.drifted:
        beside = f" and tries r{server.candidate} beside it" if server.candidate else ""
        yield (
            f"drift: {server.url} serves {_numbered(server.release)}{beside}, the store says {_numbered(each.promoted)}"
        )
    if each.candidate:
        yield f"canary: r{each.candidate} is tried beside r{each.promoted}"
    if each.lease:
        yield f"at work: {each.lease}"
    if each.gate:
        yield f"gates: {words.gates(each.gate)}"
    if each.calibration:
        yield f"calibration: {each.calibration}"
    yield from (f"response cache of {server.url}: {_cache(server.cache)}" for server in each.servers if server.cache)


def _cache(lookups: Lookups) -> str:
    asked = f"{lookups.answered:,} request{'' if lookups.answered == 1 else 's'}"
    if lookups.answered and not lookups.hits + lookups.misses:
        return f"it has none, {asked} were computed: start it with --cache-config=local,size=<bytes>"
    return f"{lookups.hits / (lookups.answered or 1):.0%} of {asked}"


def _release(release: ReleaseStatus) -> str:
    outcome = "pruned" if release.pruned else release.outcome
    said = release.reason or f"{release.served_at or release.created}  {', '.join(release.members.values())}"
    return f"r{release.release:<4} {outcome:<8} {said}"


def _fused(graph: GraphStatus | None) -> Iterator[str]:
    """What a spec that asks for one graph got."""
    if graph is None:
        return
    yield f"graph {graph.model}: {', '.join(graph.steps)}" if graph.model else "graph: none, no step could be fused"
    for step, reason in graph.left.items():
        yield f"graph without {step}: {reason}"


def _plans(member: MemberStatus) -> Iterator[str]:
    """What there is to say of TensorRT: nothing of a member that never asked for it."""
    if member.why:
        yield f"{member.kind}: {member.why}"
    for plan in member.plans:
        yield f"plan for compute capability {plan['compute_capability']}, {plan['library']} {plan['version']}"
    if member.fallback:
        yield f"falls back to ONNX here: {member.fallback}"
    for gpu, why in member.fallbacks.items():
        yield f"on {gpu}: {f'would fall back to ONNX: {why}' if why else 'would serve its plan'}"


def _serving(each: PipelineStatus) -> str:
    since = f" since {words.moment(each.since)}" if each.since else ""
    if each.serving:
        return f"r{each.serving} serves{since if each.serving == each.promoted else ''}"
    if each.drifted:
        return f"r{each.promoted} is promoted{since}, not every server serves it"
    return f"r{each.promoted} is promoted, no server serves it" if each.promoted else "nothing was promoted"


def _numbered(release: int | None) -> str:
    return f"r{release}" if release else "nothing"
