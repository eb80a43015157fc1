"""``sextant promote``: from the registry to what a fleet serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sextant.errors import GateFailed, TrialFailed
from sextant_cli import options
from sextant_cli.fleet import fleet_of
from sextant_cli.narrator import Narrator
from sextant_cli.verbs.plan import print_plan
from sextant_export.pipeline import load_pipeline
from sextant_export.registry import Registry
from sextant_export.release import plan
from sextant_export.store import Store
from sextant_promote.canary.table import evidence_table
from sextant_promote.canary.trial import Verdict
from sextant_promote.gates import GateResult, gate_table
from sextant_promote.promotion import UNTIL, Promotion
from sextant_promote.promotion import promote as promote_pipeline


@click.command()
@options.spec
@options.store
@options.registry
@options.servers
@options.token
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would change; nothing is written.")
@click.option(
    "--until",
    type=click.Choice(UNTIL[:-1]),
    help="Stop after this phase: the candidate stays loaded under its own name, NAME.rN, and answers nobody else.",
)
@options.model_code
@options.as_json
def promote(
    pipeline: Path,
    store_path: Path,
    tracking_uri: str,
    server_urls: tuple[str, ...],
    token: str | None,
    until: str | None,
    *,
    only_plan: bool,
    as_json: bool,
    **model_code: Any,
) -> None:
    """
    Make a proven release of a pipeline and serve it, without dropping a request.

    The same inputs give the same release: promoting twice changes nothing. Until the last step, and whenever a step
    fails, what was served goes on being served, on every server.
    """
    spec, store, registry = load_pipeline(pipeline), Store(store_path), Registry(options.tracking(tracking_uri))
    if only_plan:
        return print_plan(plan(spec, store, registry), as_json=as_json)
    making = {**options.making(**model_code), "signing": options.settings().signing}
    with fleet_of(store, server_urls, token) as fleet:
        try:
            done = promote_pipeline(spec, store, registry, fleet, Narrator(), until=until or UNTIL[-1], **making)
        except (GateFailed, TrialFailed) as error:
            click.echo(_measured(error), err=True)
            raise
    return options.print_json(done.to_dict()) if as_json else click.echo(_words(done))


def _measured(error: GateFailed | TrialFailed) -> str:
    """The table of what a candidate was refused for."""
    if isinstance(error, GateFailed):
        return gate_table([each for each in error.results if isinstance(each, GateResult)])
    return evidence_table(error.verdict) if isinstance(error.verdict, Verdict) else ""


def _words(done: Promotion) -> str:
    if not done.serves:
        return f"{done.pipeline}: r{done.release} is ready as {done.receipt.name}, and answers nobody else"
    if not done.changed:
        return f"{done.pipeline}: r{done.release} already serves this"
    return f"{done.pipeline}: serves r{done.release}{f', r{done.replaced} before' if done.replaced else ''}"
