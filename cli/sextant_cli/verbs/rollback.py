"""``sextant rollback``: back to an earlier release."""

from __future__ import annotations

from pathlib import Path

import click

from sextant_cli import options
from sextant_cli.fleet import fleet_of
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.promotion import Promotion
from sextant_promote.promotion import rollback as roll_back


@click.command()
@click.argument("pipeline", metavar="NAME")
@click.option(
    "--to",
    callback=options.release,
    metavar="rN",
    help="The release to serve; the previous one if left out.",
)
@options.store
@options.registry
@options.servers
@options.token
@options.as_json
def rollback(
    pipeline: str,
    to: int | None,
    store_path: Path,
    tracking_uri: str,
    server_urls: tuple[str, ...],
    token: str | None,
    *,
    as_json: bool,
) -> None:
    """
    Serve an earlier release of a pipeline again.

    The release before is still loaded, so going back takes milliseconds; an older one is loaded first. MLflow is told
    which versions serve now; where it is away, that is said, and the rollback stands.
    """
    store, registry = Store(store_path), Registry(options.tracking(tracking_uri))
    with fleet_of(store, server_urls, token) as fleet:
        done = roll_back(store, pipeline, fleet, to, registry=registry, signing=options.settings().signing)
    for warning in done.warnings:
        click.echo(warning, err=True)
    if as_json:
        options.print_json({"pipeline": pipeline, "release": done.release, "replaced": done.replaced})
    else:
        click.echo(f"{pipeline}: {_words(done)}")


def _words(done: Promotion) -> str:
    return f"serves r{done.release}, r{done.replaced} before" if done.changed else f"r{done.release} serves already"
