"""``sextant environment``: a model's own packages, as an archive that Triton's Python backend brings up."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import click

from sextant.environment import Wanted, difference
from sextant_cli import options
from sextant_export.environment import ARCHIVE, HOME, PYTHON, build_archive
from sextant_export.registry import Registry


def _minor(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"3\.\d{1,2}", value):
        raise click.BadParameter(f"expected a Python to its minor version, like {PYTHON}, got {value!r}")
    return value


@click.command()
@click.argument("uri", metavar="MODEL_URI")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=options.output,
    help=f"Write it here, as {ARCHIVE}.",
)
@click.option(
    "--python", default=PYTHON, show_default=True, callback=_minor, help="The server's Python, to its minor version."
)
@click.option("--home", default=HOME, show_default=True, help="The folder in which the server has that Python.")
@options.registry
@options.as_json
def environment(uri: str, output: Path | None, python: str, home: str, tracking_uri: str, *, as_json: bool) -> None:
    """
    Compare a model's pinned packages with what is installed here, and pack them.

    MODEL_URI is models:/name@alias. Without --output it only compares. The archive is for NVIDIA's container, as
    EXECUTION_ENV_PATH; `environment: archive` in a member of a spec makes and places it by itself.
    """
    registry = Registry(options.tracking(tracking_uri))
    with tempfile.TemporaryDirectory(prefix="sextant-environment-") as folder:
        artifact = registry.fetch(registry.resolve(uri), Path(folder))
        wanted = Wanted.of(artifact.path)
        archive = build_archive(wanted, output.absolute(), python=python, home=home) if output else None
    said = str(difference(wanted))
    if as_json:
        facts = {"requirements": list(wanted.requirements), "python": wanted.python, "difference": said}
        options.print_json(facts | ({"archive": str(archive), "bytes": archive.stat().st_size} if archive else {}))
        return
    click.echo(f"{artifact.version}: {said or 'this environment is its own'}")
    if archive:
        click.echo(f"{output}: {archive.stat().st_size / 1e6:.0f} MB for Python {python}")
