"""``sextant diff``: what differs between two releases of a pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sextant_cli import options
from sextant_export.store import Store
from sextant_promote.difference import Change, Difference, difference

WIDTH = 48
"""A value longer than this is cut in the middle; ``--json`` has it whole."""
COLOURS = {"-": "red", "+": "green", "@": "cyan"}


@click.command()
@click.argument("pipeline", metavar="NAME")
@click.argument("before", callback=options.release, required=False)
@click.argument("after", callback=options.release, required=False)
@options.store
@options.as_json
def diff(pipeline: str, before: int | None, after: int | None, store_path: Path, *, as_json: bool) -> None:
    """
    Say what differs between two releases of a pipeline, and nothing else.

    Releases are written r3 or 3. Without them, the serving release is compared with the one it replaced; with one, it
    is compared with the serving release.
    """
    found = difference(Store(store_path), pipeline, before, after)
    if as_json:
        options.print_json(found.to_dict())
    else:
        click.echo("\n".join(_words(found)))


def _words(found: Difference) -> Iterator[str]:
    nothing = "" if found.changes or found.configs else ": no difference"
    yield f"{found.pipeline}: r{found.before} -> r{found.after}{nothing}"
    for heading, group in found.changes.items():
        yield click.style(heading, bold=True)
        yield from (_change(change) for change in group)
    for model, text in found.configs.items():
        yield click.style(f"configuration of {model}", bold=True)
        yield from (f"  {_coloured(line)}" for line in text.splitlines())


def _change(change: Change) -> str:
    if change.before is None:
        return f"  {change.where}: {click.style(f'+ {_value(change.after)}', fg=COLOURS['+'])}"
    if change.after is None:
        return f"  {change.where}: {click.style(f'- {_value(change.before)}', fg=COLOURS['-'])}"
    before, after = (click.style(_value(v), fg=COLOURS[s]) for v, s in ((change.before, "-"), (change.after, "+")))
    return f"  {change.where}: {before} -> {after}"


def _coloured(line: str) -> str:
    return click.style(line, fg=COLOURS[line[0]]) if line[:1] in COLOURS else line


def _value(value: Any) -> str:
    """A leaf in few characters: text as it is, everything else as JSON, floats to six digits."""
    text = value if isinstance(value, str) else json.dumps(_rounded(value), default=str)
    return text if len(text) <= WIDTH else f"{text[: WIDTH // 2]}...{text[-WIDTH // 2 :]}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return [_rounded(each) for each in value] if isinstance(value, (list, tuple)) else value
