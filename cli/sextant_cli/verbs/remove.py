"""``sextant remove``: a pipeline is served no more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from sextant_cli import options
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.removal import remove as remove_pipeline


@click.command()
@click.argument("pipeline", metavar="NAME")
@options.store
@options.server
@options.token
@options.as_json
def remove(pipeline: str, store_path: Path, server_url: str | None, token: str | None, *, as_json: bool) -> None:
    """
    Stop serving a pipeline, and take what only it needs out of the store.

    Its receipts stay, as history. Promoting it again makes a new release; removing it twice changes nothing.
    """
    url, token = options.server_of(store_path, server_url, token)
    with Control(url, token) as control:
        done = remove_pipeline(Store(store_path), pipeline, control)
    if as_json:
        options.print_json(dataclasses.asdict(done))
    else:
        gone = ", ".join(done.models)
        click.echo(f"{pipeline}: removed {gone}" if gone else f"{pipeline}: was removed before")
