"""``sextant serve``: the embedded Triton on a store, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from sextant_cli import options
from sextant_server.serve import serve as serve_store


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
def serve(store_path: Path, http_port: int, grpc_port: int, metrics_port: int, triton_home: Path | None) -> None:
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
        tell=click.echo,
    )
