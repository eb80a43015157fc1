"""The options that several verbs share: one spelling each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sextant_export.settings import Settings, load_settings
from sextant_export.workshop.limits import CPU_S, GIB, TIME_S, Limits

DEFAULT_STORE = "var/store"
DEFAULT_REGISTRY = "sqlite:///var/mlflow.db"

spec = click.argument("pipeline", type=click.Path(path_type=Path), metavar="PIPELINE.yaml")
store = click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: settings().store or DEFAULT_STORE,
    envvar="SEXTANT_STORE",
    show_default=DEFAULT_STORE,
    show_envvar=True,
    help="The store: the folder with models/ and releases/.",
)
registry = click.option(
    "--registry",
    "tracking_uri",
    default=lambda: settings().registry or DEFAULT_REGISTRY,
    envvar="MLFLOW_TRACKING_URI",
    show_default=DEFAULT_REGISTRY,
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
servers = click.option(
    "--server",
    "server_urls",
    metavar="URL",
    multiple=True,
    envvar="SEXTANT_SERVER",
    show_envvar=True,
    help="grpc://host:port of a Triton; may be given again. Without it, those of sextant.toml, else the one that "
    "`sextant serve` runs on the store.",
)
token = click.option(
    "--token",
    envvar="SEXTANT_TOKEN",
    show_envvar=True,
    help="Opens the server's control calls; without it, the one that `sextant serve` wrote beside the store.",
)
ca = click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="SEXTANT_CA",
    show_envvar=True,
    help="PEM file of the authorities to believe over TLS; without it, the system's.",
)
caller_token = click.option(
    "--caller-token",
    envvar="SEXTANT_CALLER_TOKEN",
    show_envvar=True,
    help="What the proxy before the Triton asks of callers; it is sent over TLS alone.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


_MODEL_CODE = (
    click.option("--no-pickle", is_flag=True, help="Refuse models that hold a pickle: loading one runs what is in it."),
    click.option(
        "--model-cpu-s",
        type=click.FloatRange(min=1),
        default=CPU_S,
        show_default=f"{CPU_S:g}",
        metavar="SECONDS",
        help="Processor time that the models' code may use, in all.",
    ),
    click.option(
        "--model-memory-gib",
        type=click.FloatRange(min=0, min_open=True),
        metavar="GIB",
        help="Memory that the models' code may use; without it, what sextant.toml says, else all of the machine's.",
    ),
    click.option(
        "--model-time-s",
        type=click.FloatRange(min=1),
        metavar="SECONDS",
        help=f"How long the models' code may work; without it, what sextant.toml says, else {TIME_S:g}.",
    ),
)


def model_code(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of verbs that load models: what their code may use. :func:`making` reads them."""
    for option in reversed(_MODEL_CODE):
        command = option(command)
    return command


def making(
    *, no_pickle: bool, model_cpu_s: float, model_memory_gib: float | None, model_time_s: float | None
) -> dict[str, Any]:
    """What those options, and ``sextant.toml`` where they are silent, mean for an export."""
    told = settings().limits
    given: dict[str, Any] = {
        "cpu_s": model_cpu_s,
        "memory_bytes": round(model_memory_gib * GIB) if model_memory_gib else told.memory_mb and told.memory_mb << 20,
        "time_s": model_time_s or told.seconds,
    }
    return {"pickle": not no_pickle, "limits": Limits(**{key: value for key, value in given.items() if value})}


def settings() -> Settings:
    """What ``sextant.toml`` says, the one that was named, or the one here."""
    context = click.get_current_context(silent=True)
    return load_settings(context.find_root().params.get("settings") if context else None)


def output(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """A file to write at the end of long work: where it could not be written, that is said before the work."""
    if value is not None and not value.absolute().parent.is_dir():
        raise click.BadParameter(f"{value}: there is no folder {value.parent}; make it first")
    return value


def release(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """The number of a release as people write it, ``r3`` or ``3``."""
    if value is None:
        return None
    digits = value.removeprefix("r")
    if not digits.isdecimal() or not int(digits):
        raise click.BadParameter(f"expected a release like r3 or 3, got {value!r}")
    return int(digits)


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
