"""``sextant history``: every release of a pipeline, and what was done with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sextant_cli import options, words
from sextant_export.journal import CANARY, MADE, ROLLED_BACK, SERVED, Event
from sextant_export.store import Store
from sextant_promote.history import History, PastRelease
from sextant_promote.history import history as read_history


@click.command()
@click.argument("pipeline", metavar="NAME")
@options.store
@options.as_json
def history(pipeline: str, store_path: Path, *, as_json: bool) -> None:
    """
    Tell every release of a pipeline, the newest first.

    When it was made, when it served and what it replaced, its members' MLflow versions, the gates it passed or why it
    was refused, every rollback and canary, and whether it was pruned.
    """
    found = read_history(Store(store_path), pipeline)
    if as_json:
        options.print_json(found.to_dict())
    else:
        click.echo("\n".join(_words(found)))


def _words(found: History) -> Iterator[str]:
    serving = f"r{found.serving} serves" if found.serving else "nothing serves"
    yield f"{found.pipeline}: {serving}{f' since {words.moment(found.since)}' if found.since else ''}"
    for release in found.releases:
        yield from _release(release)


def _release(release: PastRelease) -> Iterator[str]:
    pruned = ", pruned" if release.pruned else ""
    yield f"  r{release.release:<4} {release.outcome}{pruned}: {words.members(release.members) or release.reason}"
    if release.members and release.reason:
        yield f"        {release.reason}"
    if release.gate:
        yield f"        gates: {words.gates(release.gate)}"
    for event in release.events:
        yield f"        {words.moment(event.at)}  {_event(event)}"


def _event(event: Event) -> str:
    replaced = event.facts.get("replaced")
    before = f", r{replaced} before" if replaced else ""
    said = {
        MADE: "made",
        SERVED: f"serves{before}",
        ROLLED_BACK: f"rolled back to{before}",
        CANARY: f"canary: {event.facts.get('outcome')}, {event.facts.get('reason')}",
    }
    reason = event.facts.get("reason")
    return said.get(event.event, f"{event.event}{f': {reason}' if reason else ''}")
