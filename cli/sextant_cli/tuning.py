"""``--tune`` of ``sextant loadtest``: its options, and what it tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sextant_cli import options
from sextant_cli.narrator import Narrator
from sextant_export.pipeline import load_pipeline
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_loadtest.load import LoadPlan
from sextant_loadtest.tuning.choice import OBJECTIVES
from sextant_loadtest.tuning.page import write_settings
from sextant_loadtest.tuning.search import Tuned
from sextant_loadtest.tuning.table import table, words
from sextant_loadtest.tuning.tune import Session, tuning

_OPTIONS = (
    click.option(
        "--tune",
        is_flag=True,
        help="Instead, find out by which `serving` the page PIPELINE.yaml answers best on this machine, and write that "
        "there. It is measured on a Triton of its own; --duration bounds all of it.",
    ),
    click.option(
        "--objective",
        type=click.Choice(OBJECTIVES),
        default=OBJECTIVES[0],
        show_default=True,
        help="With --tune: what is to become better. The other may become worse by a tenth.",
    ),
    click.option("--no-write", is_flag=True, help="With --tune: leave the page as it is."),
    click.option(
        "--triton-home",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="SEXTANT_TRITON_HOME",
        show_envvar=True,
        help="With --tune: another Triton's folder, as of `sextant serve`.",
    ),
)
OF_TUNING = ("objective", "no_write", "triton_home")
"""What these options are called in Python, but for ``tune`` itself."""
_OF_LOADS = ("shape", "urls", "protocol", "limits_path", "rate_rps", "report_path", "ca", "caller_token")


def tunable(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``--tune``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refuse_mixed(*, tune: bool) -> None:
    """Raise ``UsageError`` where an option is named that says nothing about what is asked for."""
    context = click.get_current_context()
    named = [name for name in (_OF_LOADS if tune else OF_TUNING) if _named(context, name)]
    spelled = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    if named:
        what = "does not go with --tune" if tune else "is of --tune alone"
        raise click.UsageError(f"{spelled[named[0]]} {what}")


def tune_page(
    page: str,
    store: Store,
    tracking_uri: str,
    rows: Path | None,
    planned: dict[str, Any],
    *,
    objective: str,
    no_write: bool,
    triton_home: Path | None,
    as_json: bool,
) -> None:
    """Tune the page in the file *page*, and write what suits it best there; nothing is written on an error."""
    path, narrator, context = Path(page), Narrator(), click.get_current_context()
    pipeline, registry = load_pipeline(path), Registry(options.tracking(tracking_uri))
    duration_s = planned["duration_s"] if _named(context, "duration_s") else None
    plan = LoadPlan(pipeline=pipeline.name, urls=("grpc://127.0.0.1:0",), **planned)
    with tuning(pipeline, store, registry, plan, duration_s=duration_s, rows=rows, triton_home=triton_home) as session:
        narrator.say(_announced(session))
        tuned = _told(session, objective, narrator)
    written = False
    try:
        if tuned.changes and not no_write:
            write_settings(path, tuned.changes, pipeline.spec.get("serving") or {})
            written = True
    finally:  # what took minutes to measure is told, also where it cannot be written
        if as_json:
            options.print_json({"pipeline": pipeline.name, "written": written, **tuned.to_dict()})
        else:
            click.echo(f"{table(tuned)}\n\n{_outcome(tuned, path, written=written)}")


def _named(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _announced(session: Session) -> str:
    effort = session.effort
    return (
        f"{session.receipt.name} with {session.plan.users} users on {session.cores} cores: at most {effort.slices} "
        f"measurements of {effort.slice_s:.1f} s, {effort.seconds / 60:.0f} minutes, with {session.inputs.said}"
    )


def _told(session: Session, objective: str, narrator: Narrator) -> Tuned:
    with narrator.step("measure settings") as step:
        tuned = session.tune(objective, step.at)
        step.result(f"{sum(len(comparison.trials) for comparison in tuned.comparisons)} compared")
    return tuned


def _outcome(tuned: Tuned, path: Path, *, written: bool) -> str:
    if not tuned.changes:
        return f"Nothing is certainly better than {words(tuned.before)}: {path} stays as it is."
    what = "throughput" if tuned.objective == "throughput" else "p95"
    verb = "promote it to serve so" if written else "nothing was written"
    lines = ", ".join(f"{'no ' if value is None else ''}{key}{_said(value)}" for key, value in tuned.changes.items())
    return f"{words(tuned.after)}: {what} is {tuned.gain} better than now.\n{path}: serving: {lines}; {verb}."


def _said(value: bool | int | None) -> str:
    return "" if value is None else f": {str(value).lower()}"
