"""``sextant plan``: what a promotion would change."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from sextant_cli import options
from sextant_export.pipeline import load_pipeline
from sextant_export.registry import Registry
from sextant_export.release import Plan
from sextant_export.release import plan as make_plan
from sextant_export.store import Store


@click.command()
@options.spec
@options.store
@options.registry
@options.as_json
def plan(pipeline: Path, store_path: Path, tracking_uri: str, *, as_json: bool) -> None:
    """
    Say what a promotion would change; write nothing.

    Asks the registry which versions the members mean now, and compares with the release that is served.
    """
    made = make_plan(load_pipeline(pipeline), Store(store_path), Registry(options.tracking(tracking_uri)))
    print_plan(made, as_json=as_json)


def print_plan(made: Plan, *, as_json: bool) -> None:
    """What a promotion would change, for people or for programs."""
    if as_json:
        options.print_json(dataclasses.asdict(made))
    else:
        click.echo(_words(made))


def _words(made: Plan) -> str:
    if made.exists and made.serving == made.release:
        return f"{made.pipeline}: nothing to do, r{made.release} already serves this"
    verb = "flip to" if made.exists else "make and flip to"
    before = f"r{made.serving}" if made.serving else "nothing"
    lines = [f"{made.pipeline}: {verb} r{made.release} (serving {before})"]
    for name, (old, new) in made.members.items():
        lines.append(f"  {name}: version {new}" if old in (None, new) else f"  {name}: version {old} -> {new}")
    if made.left is not None:
        lines += [f"  not in one graph: {step}: {reason}" for step, reason in made.left.items()]
        lines += [] if made.left else ["  in one graph: every step, for all that can be seen before the export"]
    return "\n".join(lines)
