"""``sextant prune``: releases that nobody will go back to give their room back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sextant.errors import StoreError
from sextant_cli import options, words
from sextant_cli.fleet import fleet_or_none
from sextant_export.store import Store
from sextant_promote.pruning import KEEP, Pruning, plan_pruning
from sextant_promote.pruning import prune as prune_store


@click.command()
@click.argument("pipeline", metavar="[NAME]", required=False)
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=KEEP,
    show_default=True,
    metavar="N",
    help="How many of the newest releases that served to keep, beside those that must be.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would go.")
@options.store
@options.servers
@options.token
@options.as_json
def prune(
    pipeline: str | None,
    keep: int,
    store_path: Path,
    server_urls: tuple[str, ...],
    token: str | None,
    *,
    only_plan: bool,
    as_json: bool,
) -> None:
    """
    Take the files of releases that nobody will go back to out of the store, of one pipeline or of all.

    What serves, what it replaced, what a server has loaded or a canary tries, and everything that they share with
    others stay. Receipts stay too, as history; a pruned release cannot be rolled back to.
    """
    if not store_path.is_dir():
        raise StoreError(f"{store_path}: there is no such folder; --store names the one that `sextant promote` filled")
    store, work = Store(store_path), plan_pruning if only_plan else prune_store
    with fleet_or_none(store, server_urls, token) as fleet:
        done = work(store, pipeline, keep=keep, fleet=fleet)
    if as_json:
        options.print_json({"plan": only_plan, **done.to_dict()})
    else:
        click.echo("\n".join(_words(done, only_plan=only_plan)))


def _words(done: Pruning, *, only_plan: bool) -> Iterator[str]:
    for pipeline, kept in done.kept.items():
        gone = _numbers(done.releases[pipeline])
        yield f"{pipeline}: keeps {_numbers(kept)}; {'would go' if only_plan else 'gone'}: {gone}"
    count = words.several(sum(map(len, done.releases.values())), "release")
    directories = words.several(len(done.versions), "version directory")
    yield f"{count}, {directories}, {words.size(done.size)}{' would go' if only_plan else ' gone'}"


def _numbers(releases: tuple[int, ...]) -> str:
    return ", ".join(f"r{number}" for number in releases) or "none"
