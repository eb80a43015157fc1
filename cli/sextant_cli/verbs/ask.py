"""``sextant ask``: one request, answered in words or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from sextant.answers import Fix
from sextant_cli import options
from sextant_client import Client
from sextant_client.arguments import ask as ask_pipeline


@click.command()
@click.argument("pipeline", metavar="NAME")
@click.argument("tensors", nargs=-1, required=True, metavar="TENSOR=VALUE...")
@options.store
@options.server
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True)
@options.as_json
def ask(
    pipeline: str,
    tensors: tuple[str, ...],
    store_path: Path,
    server_url: str | None,
    timeout_s: float,
    *,
    as_json: bool,
) -> None:
    """
    Ask a pipeline once.

    A value is a list like [1, 2] or @file with a .npy, .npz, .json or .csv file: features=@x.npy. One row gives one
    answer, several a list. A table is one @file.csv, with a header, or @file.parquet. --server also takes an
    http:// URL.
    """
    url, _ = options.server_of(store_path, server_url, None)
    with Client(url, timeout_s=timeout_s) as client:
        answers = ask_pipeline(client, pipeline, tensors)
    if as_json:
        options.print_json(_plain(answers))
    else:
        for answer in answers if isinstance(answers, list) else [answers]:
            click.echo(_words(answer))


def _plain(answers: Any) -> Any:
    if hasattr(answers, "to_json"):  # a table, one record a row
        return json.loads(answers.to_json(orient="records", date_format="iso"))
    if isinstance(answers, list):
        return [_plain(answer) for answer in answers]
    if isinstance(answers, Mapping):
        return {name: _text(np.asarray(array).tolist()) for name, array in answers.items()}
    return answers.to_dict()


def _text(value: Any) -> Any:
    """Bytes as the text they are, which JSON can hold; what is no UTF-8 keeps its escapes."""
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _words(answer: Any) -> str:
    if not isinstance(answer, Fix):
        return str(answer if hasattr(answer, "to_json") else _plain(answer))
    lines = [f"{answer.latitude:.7f}, {answer.longitude:.7f}  ({answer.members_used} members, r{answer.release})"]
    for ellipse in answer.ellipses:
        axes = f"{ellipse.semi_major_m:.1f} m x {ellipse.semi_minor_m:.1f} m"
        lines.append(f"  {ellipse.confidence_level:.0%} ellipse: {axes}, {ellipse.orientation_deg:.0f} deg from north")
    return "\n".join(lines)
