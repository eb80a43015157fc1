"""``sextant ask``: one request, answered in words or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from sextant.answers import Fix, Label
from sextant_cli import options
from sextant_client import Client
from sextant_client.arguments import ask as ask_pipeline


@click.command()
@click.argument("pipeline", metavar="NAME")
@click.argument("tensors", nargs=-1, required=True, metavar="TENSOR=VALUE...")
@options.store
@options.server
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True)
@click.option("--route-key", metavar="TEXT", help="Who asks: one caller stays with one release while another is tried.")
@options.ca
@options.caller_token
@options.as_json
def ask(
    pipeline: str,
    tensors: tuple[str, ...],
    store_path: Path,
    server_url: str | None,
    timeout_s: float,
    route_key: str | None,
    ca: Path | None,
    caller_token: str | None,
    *,
    as_json: bool,
) -> None:
    """
    Ask a pipeline once.

    A value is a list like [1, 2], a word, or @file with a .npy, .npz, .json or .csv file: features=@x.npy. One row
    gives one answer, several a list. A table is one @file.csv, with a header, or @file.parquet. --server also takes
    http://, and with TLS grpcs:// or https://.
    """
    url, _ = options.server_of(store_path, server_url, None)
    with Client(url, timeout_s=timeout_s, ca=ca, token=caller_token) as client:
        answers = ask_pipeline(client, pipeline, tensors, route_key=route_key)
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
    if isinstance(answer, Label):
        return _label(answer)
    if not isinstance(answer, Fix):
        return str(answer if hasattr(answer, "to_json") else _plain(answer))
    without = f" without {', '.join(answer.members_rejected)}" if answer.members_rejected else ""
    by = f"{_counted(answer.members_used)}{without}, r{answer.release}{'' if answer.calibrated else ', not calibrated'}"
    lines = [f"{answer.latitude:.7f}, {answer.longitude:.7f}  ({by})"]
    for ellipse in answer.ellipses:
        axes = f"{ellipse.semi_major_m:.1f} m x {ellipse.semi_minor_m:.1f} m"
        lines.append(f"  {ellipse.confidence_level:.0%} ellipse: {axes}, {ellipse.orientation_deg:.0f} deg from north")
    return "\n".join(lines)


def _label(answer: Label) -> str:
    """``hall  (confidence 93 of 100, agreement 67%, 3 members, r1)``, and the sets, whose names may be unknown."""
    sure = f"confidence {answer.confidence:.0f} of 100" + ("" if answer.calibrated else " by the count of votes")
    tied = ", tied" if answer.tied else ""
    said = f"{sure}, agreement {answer.agreement:.0%}{tied}, {_counted(answer.members_used)}, r{answer.release}"
    levels = answer.confidence_levels if answer.classes else ()
    sets = [f"  {level:.0%} set: {', '.join(map(str, answer.prediction_set(level)))}" for level in levels]
    return "\n".join([f"{answer.label}  ({said})", *sets])


def _counted(members: int) -> str:
    return "1 member" if members == 1 else f"{members} members"
