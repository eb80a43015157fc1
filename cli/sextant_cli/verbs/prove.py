"""``sextant prove``: whether a registered model's copies answer as it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from sextant_cli import options
from sextant_cli.narrator import Narrator
from sextant_export.member import PROOF_ROWS
from sextant_export.proof_page import page
from sextant_export.proof_report import ProofReport
from sextant_export.registry import Registry
from sextant_promote.control import Control
from sextant_promote.prove import prove as prove_model

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("uri", metavar="MODEL_URI")
@click.option("--flavor", help="The flavour to convert; without it, the most exact that can be.")
@click.option("--rows", type=click.IntRange(1), default=PROOF_ROWS, show_default=True, help="Seeded rows to ask.")
@click.option(
    "--data", type=_FILE, help="A .csv, .parquet or .npy of rows it was trained on: the ranges are learned there."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    help="The largest |delta| of a real output; without it, it follows the answers' own spread.",
)
@options.registry
@click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path, file_okay=False),
    help="Ask the Triton that `sextant serve` runs on this store, which serves the version already.",
)
@click.option(
    "--server",
    "server_url",
    metavar="URL",
    envvar="SEXTANT_SERVER",
    show_envvar=True,
    help="grpc://host:port of a Triton that serves the version already; without it, one of its own is started.",
)
@options.token
@click.option("--no-server", is_flag=True, help="Ask no Triton, not even one of its own.")
@click.option("--html", "html_path", type=_FILE, callback=options.output, help="Write the report as one HTML page.")
@click.option("--report", "report_path", type=_FILE, callback=options.output, help="Write the report as JSON.")
@options.model_code
@options.as_json
def prove(
    uri: str,
    flavor: str | None,
    rows: int,
    data: Path | None,
    tolerance: float | None,
    tracking_uri: str,
    store_path: Path | None,
    server_url: str | None,
    token: str | None,
    html_path: Path | None,
    report_path: Path | None,
    *,
    no_server: bool,
    as_json: bool,
    **model_code: Any,
) -> None:
    """
    Prove that a registered model, converted and served, answers as its own predict does.

    Its own predict is asked first, then ONNX Runtime, then Triton: the one at --server or --store, else an embedded
    one of its own. All are asked the logged input example, seeded rows inside the training ranges, and every edge:
    column ends, zeros, denormals, tree thresholds, missing values, words that nobody saw. Exit code 1 where an answer
    differs without a cause.
    """
    with _control(store_path, server_url, token, no_server=no_server) as control:
        report = prove_model(
            uri,
            Registry(options.tracking(tracking_uri)),
            flavor=flavor,
            rows=rows,
            data=data,
            tolerance=tolerance,
            control=control,
            serve=None if no_server or control is not None else _embedded,
            narrator=Narrator(),
            **options.making(**model_code),
        )
    _write(report, html_path, report_path)
    if as_json:
        options.print_json(report.to_dict())
    else:
        click.echo(_words(report))
    if not report.proven:
        raise click.exceptions.Exit(1)


@contextmanager
def _control(
    store_path: Path | None, server_url: str | None, token: str | None, *, no_server: bool
) -> Iterator[Control | None]:
    """The Triton that was named, if one was."""
    named = not no_server and (store_path is not None or server_url is not None)
    address = options.server_of(store_path or Path(), server_url, token) if named else None
    with Control(*address) if address else nullcontext() as control:
        yield control


@contextmanager
def _embedded(store: Path) -> Iterator[Control]:
    """A Triton of its own on *store*, asked and stopped; ``MissingExtra`` where there is none."""
    from sextant_server.embedded import EmbeddedTriton

    with EmbeddedTriton(store, models=()) as triton, Control(triton.address.grpc, triton.address.token) as control:
        yield control


def _write(report: ProofReport, html_path: Path | None, report_path: Path | None) -> None:
    if html_path is not None:
        html_path.write_text(page(report), encoding="utf-8")
    if report_path is not None:
        report_path.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")


def _words(report: ProofReport) -> str:
    asked = " and ".join(comparison.by for comparison in report.comparisons)
    if report.proven:
        skipped = f". {report.skipped}" if report.skipped else ""
        return f"{report.uri}: proven, version {report.version}, {report.rows:,} rows, by {asked}{skipped}"
    failed = next(comparison for comparison in report.comparisons if not comparison.proven)
    return f"{report.uri}: NOT proven, version {report.version}, by {failed.by}: {failed.refusal}"
