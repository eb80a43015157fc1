"""``sextant rollback``: back to an earlier release."""

from __future__ import annotations

from pathlib import Path

import click

from sextant_cli import options
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import rollback as roll_back


@click.command()
@click.argument("pipeline", metavar="NAME")
@click.option(
    "--to",
    type=click.IntRange(min=1),
    metavar="N",
    help="The release to serve; the previous one if left out.",
)
@options.store
@options.server
@options.token
@options.as_json
def rollback(
    pipeline: str,
    to: int | None,
    store_path: Path,
    server_url: str | None,
    token: str | None,
    *,
    as_json: bool,
) -> None:
    """
    Serve an earlier release of a pipeline again.

    The release before is still loaded, so going back takes milliseconds; an older one is loaded first.
    """
    url, token = options.server_of(store_path, server_url, token)
    with Control(url, token) as control:
        done = roll_back(Store(store_path), pipeline, control, to)
    if as_json:
        options.print_json({"pipeline": pipeline, "release": done.release, "replaced": done.replaced})
    else:
        click.echo(f"{pipeline}: serves r{done.release}, r{done.replaced} before")
