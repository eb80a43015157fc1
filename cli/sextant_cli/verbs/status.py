"""``sextant status``: what serves, and every release there is."""

from __future__ import annotations

from pathlib import Path

import click

from sextant.errors import ServerUnreachable
from sextant_cli import options
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.status import PipelineStatus
from sextant_promote.status import status as read_status


@click.command()
@options.store
@options.server
@options.token
@options.as_json
def status(store_path: Path, server_url: str | None, token: str | None, *, as_json: bool) -> None:
    """
    Say which release of each pipeline serves, of what it is made, and what became of the others.

    Without a server it tells what the store holds.
    """
    try:
        url, token = options.server_of(store_path, server_url, token)
        with Control(url, token) as control:
            found = read_status(Store(store_path), control)
    except ServerUnreachable:
        if server_url:
            raise
        url, found = None, read_status(Store(store_path), None)
    if as_json:
        options.print_json({"store": store_path, "server": url, "pipelines": [each.to_dict() for each in found]})
    else:
        click.echo("\n".join(_words(found, url)) or f"{store_path} holds no release: `sextant promote` makes one")


def _words(found: tuple[PipelineStatus, ...], url: str | None) -> list[str]:
    lines = [f"server: {url or 'none answers: `sextant serve` starts one'}"] if found else []
    for each in found:
        lines.append(f"{each.pipeline}: {_serving(each)}")
        for release in each.releases:
            members = ", ".join(release.members.values())
            said = release.reason or f"{release.served_at or release.created}  {members}"
            lines.append(f"  r{release.release:<4} {release.outcome:<8} {said}")
    return lines


def _serving(each: PipelineStatus) -> str:
    if each.serving:
        return f"r{each.serving} serves"
    return f"r{each.promoted} is promoted, no server serves it" if each.promoted else "nothing was promoted"
