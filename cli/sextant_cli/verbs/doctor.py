"""``sextant doctor``: what is wrong with this machine, a store and the Tritons that serve it, and what to change."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import click
from click.core import ParameterSource

from sextant.errors import ServerUnreachable, StoreError
from sextant_cli import options, words
from sextant_cli.doctor import Finding, Report, Subjects, examine
from sextant_cli.doctor.checks import ALL
from sextant_cli.doctor.finding import CRITICAL, NOTE, WARNING
from sextant_cli.doctor.machine.here import Here
from sextant_cli.doctor.report import Outcome
from sextant_cli.doctor.server.naming import named_servers
from sextant_cli.doctor.server.triton import Triton, reach
from sextant_cli.doctor.settings.told import Told
from sextant_cli.doctor.store.kept import Kept
from sextant_cli.narrator import Narrator
from sextant_client.credentials import Credentials
from sextant_export.narration import Silence
from sextant_export.store import Store


@click.command()
@options.store
@options.registry
@click.option(
    "--server",
    "server_urls",
    metavar="URL",
    multiple=True,
    envvar="SEXTANT_SERVER",
    show_envvar=True,
    help="grpc://host:port or http://host:port of a Triton; give both, and give it again for each. Without it, those "
    "of sextant.toml, else the one that `sextant serve` runs on the store.",
)
@options.token
@options.ca
@options.caller_token
@click.option(
    "--skip",
    multiple=True,
    type=click.Choice([check.name for check in ALL]),
    metavar="CHECK",
    help="Leave this check out, for a finding that is known and accepted; may be given again.",
)
@click.option("--all", "everything", is_flag=True, help="Name the checks that passed, too.")
@options.as_json
@click.pass_context
def doctor(
    context: click.Context,
    store_path: Path,
    tracking_uri: str,
    server_urls: tuple[str, ...],
    token: str | None,
    ca: Path | None,
    caller_token: str | None,
    skip: tuple[str, ...],
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """
    Say what is wrong with this machine, a store and its servers, and what to change.

    Known flaws of the Triton that answers, control APIs without a token, dead processes, drift; a store that others may
    write, files that are not what was proven; keys and tokens that others may read; too little memory, shared memory or
    disk. It only reads, and asks no model. Exit code 1 where something is critical or a warning; 3 where a server that
    was named does not answer.
    """
    settings = options.settings()
    store = _store(store_path, named=settings.store is not None or _given(context, "store_path"))
    named = named_servers(store or Store(store_path), server_urls, token, settings)
    credentials = Credentials(ca=ca, token=caller_token)
    servers = [reach(each, store, credentials) for each in named]
    subjects = Subjects(
        here=Here.measured(None if any(server.process for server in servers) else store),
        told=Told(
            settings=settings,
            registry=options.tracking(tracking_uri),
            named=settings.registry is not None or _given(context, "tracking_uri"),
        ),
        store=Kept(store=store, signing=settings.signing) if store else None,
        servers=servers,
    )
    report = examine(subjects, skip=skip, narrator=Narrator() if sys.stderr.isatty() else Silence())
    if as_json:
        looked_at = {"store": store and store.root, "servers": [server.url for server in servers]}
        options.print_json(looked_at | report.to_dict())
    else:
        click.echo("\n".join(_words(report, everything=everything)))
    _end(report, servers)


def _end(report: Report, servers: Sequence[Triton]) -> None:
    """The exit code: a server that was named and is away is worse than anything that was found."""
    lost = [reason for server in servers for reason in server.lost.values()]
    if lost:
        raise ServerUnreachable("\n".join(lost))
    if report.troubled:
        raise click.exceptions.Exit(1)


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def _store(path: Path, *, named: bool) -> Store | None:
    store = Store(path)
    if store.models.is_dir():
        return store
    if named:
        raise StoreError(f"there is no {store.models}; --store names the folder that `sextant promote` filled")
    return None


def _words(report: Report, *, everything: bool) -> Iterator[str]:
    for finding in report.findings:
        yield from _finding(finding)
    for reason, group in groupby(sorted(report.not_made, key=_why), key=_why):
        yield f"not made: {_listed(group)}: {reason}"
    if everything and report.passed:
        yield f"passed: {_listed(report.passed)}"
    yield f"{words.several(report.made, 'check')}: {_counted(report)}; {len(report.not_made)} not made"


def _counted(report: Report) -> str:
    """
    How much was found.

    >>> finding = Finding(severity="critical", found="", why="", change="")
    >>> _counted(Report(findings=(finding, finding), passed=(), not_made=(), made=2))
    '2 critical'
    """
    warnings, notes = (words.several(report.counts[severity], severity) for severity in (WARNING, NOTE))
    counts = (f"{report.counts[CRITICAL]} critical", warnings, notes)
    return ", ".join(count for count in counts if not count.startswith("0 ")) or "nothing found"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity:<8}  {finding.where}: {finding.found} [{finding.check}]"
    yield f"          why: {finding.why}"
    yield f"          do:  {finding.change}"


def _why(outcome: Outcome) -> str:
    return outcome.reason


def _listed(outcomes: Iterator[Outcome] | Sequence[Outcome]) -> str:
    """Checks, by what they looked at."""
    places = groupby(outcomes, key=lambda outcome: outcome.where)
    return "; ".join(f"{', '.join(each.check for each in group)} of {where}" for where, group in places)
