"""``sextant promote``: from the registry to what a Triton serves."""

from __future__ import annotations

from pathlib import Path

import click

from sextant_cli import options
from sextant_cli.narrator import Narrator
from sextant_export.pipeline import load_pipeline
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote as promote_pipeline


@click.command()
@options.spec
@options.store
@options.registry
@options.server
@options.token
@options.as_json
def promote(
    pipeline: Path,
    store_path: Path,
    tracking_uri: str,
    server_url: str | None,
    token: str | None,
    *,
    as_json: bool,
) -> None:
    """
    Make a proven release of a pipeline and serve it, without dropping a request.

    The same inputs give the same release: promoting twice changes nothing. Until the last step, and whenever a step
    fails, what was served goes on being served.
    """
    spec = load_pipeline(pipeline)
    url, token = options.server_of(store_path, server_url, token)
    with Control(url, token) as control:
        registry = Registry(options.tracking(tracking_uri))
        done = promote_pipeline(spec, Store(store_path), registry, control, Narrator())
    if as_json:
        options.print_json(done.to_dict())
    elif done.changed:
        before = f", r{done.replaced} before" if done.replaced else ""
        click.echo(f"{done.pipeline}: serves r{done.release}{before}")
    else:
        click.echo(f"{done.pipeline}: r{done.release} already serves this")
