"""``sextant check``: whether the page is sound."""

from __future__ import annotations

from pathlib import Path

import click

from sextant.errors import PipelineError
from sextant_cli import options
from sextant_export.pipeline import load_pipeline


@click.command()
@options.spec
@options.as_json
def check(pipeline: Path, *, as_json: bool) -> None:
    """
    List every problem of a pipeline spec, each with its address.

    Reads the file alone: no registry, no server. Exit code 1 if there is any problem.
    """
    try:
        checked = load_pipeline(pipeline)
    except PipelineError as error:
        if as_json:
            options.print_json({"sound": False, "problems": [str(problem) for problem in error.problems]})
        else:
            click.echo(str(error))
        raise click.exceptions.Exit(1) from error
    remarks = checked.gate.remarks if checked.gate else ()
    if as_json:
        options.print_json({"sound": True, "pipeline": checked.name, "problems": [], "remarks": list(remarks)})
    else:
        count = "1 member" if len(checked.members) == 1 else f"{len(checked.members)} members"
        click.echo(f"{pipeline}: sound: {checked.name}, {count}, answers {checked.answer}")
        for remark in remarks:
            click.echo(remark)
