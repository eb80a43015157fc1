"""``sextant serve``: the embedded Triton on a store, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sextant.errors import ParametersError
from sextant_cli import options
from sextant_server.serve import serve as serve_store
from sextant_server.tracing import RATE, SERVICE, Tracing


@click.command()
@options.store
@click.option("--http-port", type=click.IntRange(0, 65535), default=0, help="Without it, 8000 or a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), default=0, help="Without it, 8001 or a free one.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=0, help="Without it, 8002 or a free one.")
@click.option(
    "--triton-home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SEXTANT_TRITON_HOME",
    show_envvar=True,
    help="Another Triton's folder (bin/tritonserver, backends/); without it NVIDIA's container's own, or the wheel's.",
)
@click.option(
    "--trace",
    "trace_url",
    metavar="URL",
    help="Send spans of requests to this OTLP receiver, over HTTP, such as http://127.0.0.1:4318; without it, none.",
)
@click.option(
    "--trace-rate",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help=f"Share of requests to trace, 0 to 1 [default: {RATE:g}]. Triton traces one in N, so it is 1/N for the "
    "nearest N. A request whose caller traces it, by a `traceparent`, always is, even at 0.",
)
@click.option("--trace-service", metavar="NAME", help=f"The name of the service in its spans [default: {SERVICE}].")
def serve(
    store_path: Path,
    http_port: int,
    grpc_port: int,
    metrics_port: int,
    triton_home: Path | None,
    **trace: Any,
) -> None:
    """
    Serve a store with a real Triton on this machine's CPU, without Docker.

    For development, demos and tests: the Triton inside the wheel is 2.51, which lacks three years of security fixes,
    so it listens on loopback only, and its control calls want a token. Never serve production with it.
    """
    serve_store(
        store_path,
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        triton_home=triton_home,
        trace=tracing(**trace),
        tell=click.echo,
    )


def tracing(trace_url: str | None, trace_rate: float | None, trace_service: str | None) -> Tracing | None:
    """What the three options of traces mean together."""
    facts: dict[str, Any] = {"rate": trace_rate, "service": trace_service}
    given = {name: value for name, value in facts.items() if value is not None}
    if trace_url is None:
        if given:
            raise click.UsageError(f"--trace-{next(iter(given))} asks for --trace URL")
        return None
    try:
        return Tracing(trace_url, **given)
    except ParametersError as error:
        raise click.BadParameter(str(error), param_hint="--trace") from error
