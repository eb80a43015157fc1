"""The options that several verbs share: one spelling each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

DEFAULT_STORE = "var/store"
DEFAULT_REGISTRY = "sqlite:///var/mlflow.db"

spec = click.argument("pipeline", type=click.Path(path_type=Path), metavar="PIPELINE.yaml")
store = click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_STORE,
    envvar="SEXTANT_STORE",
    show_default=True,
    show_envvar=True,
    help="The store: the folder with models/ and releases/.",
)
registry = click.option(
    "--registry",
    "tracking_uri",
    default=DEFAULT_REGISTRY,
    envvar="MLFLOW_TRACKING_URI",
    show_default=True,
    show_envvar=True,
    help="MLflow's tracking and registry URI.",
)
server = click.option(
    "--server",
    "server_url",
    metavar="URL",
    envvar="SEXTANT_SERVER",
    show_envvar=True,
    help="grpc://host:port of the Triton; without it, the one that `sextant serve` runs on the store.",
)
token = click.option(
    "--token",
    envvar="SEXTANT_TOKEN",
    show_envvar=True,
    help="Opens the server's control calls; without it, the one that `sextant serve` wrote beside the store.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


def output(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """A file to write at the end of long work: where it could not be written, that is said before the work."""
    if value is not None and not value.absolute().parent.is_dir():
        raise click.BadParameter(f"{value}: there is no folder {value.parent}; make it first")
    return value


def print_json(value: Any) -> None:
    """*value* as indented JSON on stdout; paths and dates become text."""
    click.echo(json.dumps(value, indent=2, default=str))


def server_of(store_path: Path, server_url: str | None, token: str | None) -> tuple[str, str | None]:
    """The gRPC URL and token that were given, or those of the server that ``sextant serve`` runs on the store."""
    if server_url:
        return server_url, token
    from sextant_server.address import read_address

    address = read_address(store_path)
    return address.grpc, token or address.token


def tracking(uri: str) -> str:
    """*uri* as MLflow wants it, a relative SQLite path made absolute, so that every verb means the same file."""
    prefix = "sqlite:///"
    if not uri.startswith(prefix) or uri.startswith(prefix + "/"):
        return uri
    return prefix + os.path.abspath(uri.removeprefix(prefix))  # noqa: PTH100  resolve() would follow links
