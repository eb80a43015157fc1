"""``sextant loadtest``: a load on a pipeline, that ends in a verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sextant_cli import options
from sextant_cli.narrator import Narrator
from sextant_cli.tuning import OF_TUNING, refuse_mixed, tunable, tune_page
from sextant_client.credentials import Credentials
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_loadtest.curves import CURVES
from sextant_loadtest.inputs import Inputs
from sextant_loadtest.limits import Limits, read_limits
from sextant_loadtest.load import LOST, Interrupted, LoadPlan, Outcome, load
from sextant_loadtest.measurements import Moment
from sextant_loadtest.report import write_report
from sextant_loadtest.table import table
from sextant_loadtest.target import PROTOCOLS, inputs_of, over, served, target_of, unnamed
from sextant_loadtest.verdict import Verdict, judge

WITHIN, MISSED, OUT_OF_REACH = 0, 1, 3
_FILE = click.Path(path_type=Path, dir_okay=False)
_PLANNED = (
    click.option(
        "--shape",
        type=click.Choice(list(CURVES)),
        default="steady",
        show_default=True,
        help="How many users there are when: all of them, more and more, a spike of them, or all for a long time.",
    ),
    click.option("--users", type=click.IntRange(min=1), default=100, show_default=True, help="Callers at once."),
    click.option(
        "--duration",
        "duration_s",
        type=click.FloatRange(min=1),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long they ask.",
    ),
    click.option(
        "--rate",
        "rate_rps",
        type=click.FloatRange(min=0, min_open=True),
        metavar="N",
        help="Requests a second of each user, at most; without it, each asks again as soon as it is answered.",
    ),
    click.option("--rows", type=click.IntRange(min=1), default=1, show_default=True, help="Rows of one request."),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="What an answer may take.",
    ),
    click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that ask."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the rows."),
    options.ca,
    options.caller_token,
)


def planned(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say who asks, and how: the fields of a :class:`LoadPlan`, and whose certificates it believes."""
    for option in reversed(_PLANNED):
        command = option(command)
    return command


def _spoken(context: click.Context, _: click.Parameter, protocol: str | None) -> str:
    """The protocol, which what stands in the URLs may not contradict."""
    urls = context.params.get("urls", ())
    if protocol is not None and (others := over(urls, protocol)):
        raise click.BadParameter(f"{', '.join(others)} is not asked over {protocol}")
    if protocol is not None and urls and (lacking := unnamed(urls, protocol)):
        raise click.BadParameter(f"no URL of {', '.join(lacking)} is named: give --against once more")
    return protocol or "grpc"


@click.command()
@click.argument("pipeline", metavar="PIPELINE")
@planned
@click.option(
    "--against",
    "urls",
    metavar="URL",
    multiple=True,
    is_eager=True,
    help="grpc://host:port or http://host:port, or with TLS grpcs:// or https://; both protocols may be given. Without "
    "it, the server that `sextant serve` runs on the store, else one that is started for this load.",
)
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    callback=_spoken,
    help="How the store's server is asked; over both, the users are dealt evenly.  [default: grpc]",
)
@click.option(
    "--limits",
    "limits_path",
    type=_FILE,
    metavar="FILE.toml",
    help="What the load has to keep to; without it, no request may fail.",
)
@click.option(
    "--inputs",
    "inputs_path",
    type=_FILE,
    metavar="FILE",
    help="Rows to ask with: .parquet, .csv, .npz or .npy. Without it, the known cases of the page, else what the "
    "release was proven on.",
)
@options.store
@options.registry
@click.option(
    "--report",
    "report_path",
    type=_FILE,
    metavar="FILE.html",
    callback=options.output,
    help="Write the verdict, its tables and drawings to one page.",
)
@tunable
@options.as_json
def loadtest(
    pipeline: str,
    urls: tuple[str, ...],
    protocol: str,
    limits_path: Path | None,
    inputs_path: Path | None,
    store_path: Path,
    tracking_uri: str,
    report_path: Path | None,
    ca: Path | None,
    caller_token: str | None,
    *,
    as_json: bool,
    tune: bool,
    **planned: Any,
) -> int:
    """
    Put a load on a pipeline, and judge what it made of it.

    PIPELINE is a page, or the name of what a server serves. The users are Locust's; each is a caller with a connection
    of its own, and asks with logged rows. Exit code 0 within limits, 1 not, 3 a server out of reach, 130 Ctrl-C, which
    ends it with what was measured so far.
    """
    narrator, store = Narrator(), Store(store_path)
    refuse_mixed(tune=tune)
    told = {name: planned.pop(name) for name in OF_TUNING}
    if tune:
        tune_page(pipeline, store, tracking_uri, inputs_path, planned, **told, as_json=as_json)
        return WITHIN
    limits = read_limits(limits_path) if limits_path else Limits()
    target, registry = target_of(pipeline, store), Registry(options.tracking(tracking_uri))
    credentials = Credentials(ca, caller_token) if urls else Credentials()  # of a proxy; the store's server has none
    with served(target, store, urls, protocol, narrator) as at:
        plan = LoadPlan(pipeline=target.name, urls=at, ca=credentials.ca, token=credentials.token, **planned)
        inputs = inputs_of(target, at[0], store, registry, inputs_path, credentials)
        narrator.say(f"{plan.users} users, {plan.shape}, for {plan.duration_s:g} s, with {inputs.said}")
        try:
            outcome = _loaded(plan, inputs, narrator)
        except Interrupted as interrupted:
            _tell(judge(interrupted.outcome, limits), limits, inputs, report_path, as_json=as_json)
            raise
    verdict = judge(outcome, limits)
    _tell(verdict, limits, inputs, report_path, as_json=as_json)
    if outcome.ended == LOST:
        return OUT_OF_REACH
    return WITHIN if verdict.passed else MISSED


def _loaded(plan: LoadPlan, inputs: Inputs, narrator: Narrator) -> Outcome:
    with narrator.step(f"load {plan.pipeline}") as step:

        def told(moment: Moment) -> None:
            step.at(min(round(moment.at_s), round(plan.duration_s)), round(plan.duration_s), f"s: {moment}")

        outcome = load(plan, inputs.feed, told)
        step.result(f"{outcome.total.requests:,} requests, {outcome.total.failed:,} errors")
    return outcome


def _tell(verdict: Verdict, limits: Limits, inputs: Inputs, report_path: Path | None, *, as_json: bool) -> None:
    """The verdict first: what was measured for hours is not lost with a page that cannot be written."""
    if as_json:
        options.print_json({**verdict.to_dict(), "inputs": inputs.said})
    else:
        click.echo("\n\n".join(filter(None, (table(verdict), str(verdict)))))
    if report_path is not None:
        write_report(report_path, verdict, limits, inputs.said)
        click.echo(f"its page: {report_path}", err=as_json)
