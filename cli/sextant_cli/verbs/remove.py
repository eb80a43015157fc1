"""``sextant remove``: a pipeline is served no more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from sextant_cli import options
from sextant_cli.fleet import fleet_of
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.removal import remove as remove_pipeline


@click.command()
@click.argument("pipeline", metavar="NAME")
@options.store
@options.registry
@options.servers
@options.token
@options.as_json
def remove(
    pipeline: str,
    store_path: Path,
    tracking_uri: str,
    server_urls: tuple[str, ...],
    token: str | None,
    *,
    as_json: bool,
) -> None:
    """
    Stop serving a pipeline, and take what only it needs out of the store.

    Its receipts stay, as history. Promoting it again makes a new release; removing it twice changes nothing. MLflow is
    told that its versions serve no more; where it is away, that is said, and the pipeline is removed all the same.
    """
    store, registry = Store(store_path), Registry(options.tracking(tracking_uri))
    with fleet_of(store, server_urls, token) as fleet:
        done = remove_pipeline(store, pipeline, fleet, registry)
    for warning in done.warnings:
        click.echo(warning, err=True)
    if as_json:
        options.print_json(dataclasses.asdict(done))
    else:
        gone = ", ".join(done.models)
        click.echo(f"{pipeline}: removed {gone}" if gone else f"{pipeline}: was removed before")
