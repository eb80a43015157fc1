"""``sextant status``: what serves, and every release there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sextant.errors import ServerUnreachable
from sextant_cli import options
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.fallback import Gpu
from sextant_promote.status import MemberStatus, PipelineStatus
from sextant_promote.status import status as read_status


def _gpu(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> list[Gpu]:
    try:
        return [Gpu.parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@options.store
@options.server
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
def status(store_path: Path, server_url: str | None, token: str | None, gpus: list[Gpu], *, as_json: bool) -> None:
    """
    Say which release of each pipeline serves, of what it is made, and what became of the others.

    Of members with TensorRT plans it tells which servers fall back to ONNX Runtime, and why. Without a server it tells
    what the store holds.
    """
    try:
        url, token = options.server_of(store_path, server_url, token)
        with Control(url, token) as control:
            found = read_status(Store(store_path), control, gpus)
    except ServerUnreachable:
        if server_url:
            raise
        url, found = None, read_status(Store(store_path), None, gpus)
    if as_json:
        options.print_json({"store": store_path, "server": url, "pipelines": [each.to_dict() for each in found]})
    else:
        click.echo("\n".join(_words(found, url)) or f"{store_path} holds no release: `sextant promote` makes one")


def _words(found: tuple[PipelineStatus, ...], url: str | None) -> list[str]:
    lines = [f"server: {url or 'none answers: `sextant serve` starts one'}"] if found else []
    for each in found:
        lines.append(f"{each.pipeline}: {_serving(each)}")
        lines += [f"  {name}: {words}" for name, member in each.members.items() for words in _plans(member)]
        for release in each.releases:
            members = ", ".join(release.members.values())
            said = release.reason or f"{release.served_at or release.created}  {members}"
            lines.append(f"  r{release.release:<4} {release.outcome:<8} {said}")
    return lines


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
    if each.serving:
        return f"r{each.serving} serves"
    return f"r{each.promoted} is promoted, no server serves it" if each.promoted else "nothing was promoted"
