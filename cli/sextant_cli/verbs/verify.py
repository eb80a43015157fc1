"""``sextant verify``: whether a store is what its receipts say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click

from sextant_cli import options
from sextant_export.store import Store
from sextant_export.verification import Finding
from sextant_export.verification import verify as verify_store


@click.command()
@click.argument("pipeline", metavar="[NAME]", required=False)
@options.store
@options.as_json
def verify(pipeline: str | None, store_path: Path, *, as_json: bool) -> None:
    """
    Say whether the store is what its receipts say, of one pipeline or of all.

    One changed byte, a file too many or too few, a configuration that no release asked for, and what killed promotions
    left is found, the worst first. Signatures are checked by the public_key under [signing] in sextant.toml. No server
    is asked and nothing is changed. Exit code 1 where there is a finding.
    """
    findings = verify_store(Store(store_path), pipeline, options.settings().signing)
    if as_json:
        found = [finding.to_dict() for finding in findings]
        options.print_json({"store": store_path, "pipeline": pipeline, "sound": not found, "findings": found})
    else:
        click.echo("\n".join(_words(findings, f"{pipeline} in {store_path}" if pipeline else str(store_path))))
    if findings:
        raise click.exceptions.Exit(1)


def _words(findings: tuple[Finding, ...], what: str) -> Iterator[str]:
    if not findings:
        yield f"{what}: sound, to the byte"
        return
    yield f"{what}: {len(findings)} finding{'s' if len(findings) > 1 else ''}"
    for kind, group in groupby(findings, key=lambda finding: finding.kind):
        yield f"{kind}"
        yield from (f"  {finding}" for finding in group)
