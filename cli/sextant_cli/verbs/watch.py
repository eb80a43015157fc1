"""``sextant watch``: what serves is kept equal to what the registry says, until it is told to end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import click

from sextant_cli import options, words
from sextant_cli.fleet import made_fleet, servers_of
from sextant_export.registry import Registry
from sextant_export.settings import ServerSettings
from sextant_export.store import Store
from sextant_promote.bell import Bell
from sextant_promote.fleet import Fleet
from sextant_promote.hooks import Hook
from sextant_promote.watch import EVERY_S, Notice, Post
from sextant_promote.watch import watch as keep_watch
from sextant_promote.watch_metrics import WatchMetrics

SECRET = "SEXTANT_HOOK_SECRET"  # noqa: S105  where it stands, not what it is


def _address(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{text!r}: write HOST:PORT, as in 127.0.0.1:8085")
    return host.strip("[]"), int(port)


@click.command()
@click.argument("pages", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PIPELINE.yaml...")
@options.store
@options.registry
@options.servers
@options.token
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.1),
    default=lambda: options.settings().watch.poll_s,
    show_default=f"{EVERY_S:g}",
    metavar="SECONDS",
    help="How often the registry is asked.",
)
@click.option(
    "--hook",
    metavar="HOST:PORT",
    default=lambda: options.settings().watch.hook,
    callback=_address,
    help="Listen there for MLflow's webhooks, at POST /hooks/mlflow: each makes the registry be asked at once.",
)
@click.option(
    "--hook-secret-env",
    "secret_env",
    metavar="NAME",
    default=lambda: options.settings().watch.secret_env or SECRET,
    show_default=SECRET,
    help="The environment variable with the secret that MLflow signs its webhook with.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    default=lambda: options.settings().watch.metrics,
    callback=_address,
    help="Serve metrics for Prometheus there, at GET /metrics: what serves, passes, known cases.",
)
@options.model_code
@click.option("--once", is_flag=True, help="One pass over each pipeline; exit code 1 where one is in trouble.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line on stdout.")
def watch(
    pages: tuple[Path, ...],
    store_path: Path,
    tracking_uri: str,
    server_urls: tuple[str, ...],
    token: str | None,
    every_s: float,
    hook: tuple[str, int] | None,
    secret_env: str,
    metrics: tuple[str, int] | None,
    *,
    once: bool,
    as_json: bool,
    **model_code: Any,
) -> int:
    """
    Keep what serves equal to what the registry's aliases say, pipeline by pipeline.

    An alias that moves is promoted, one that moves back is rolled back to, a server that lost a model or restarted is
    brought to the serving release. What is refused is tried once, until it changes. SIGTERM and Ctrl-C end it after the
    step under way.
    """
    store, bell, measured = Store(store_path), Bell(), WatchMetrics(Store(store_path))
    post = Post(
        store=store.prepare(),
        registry=Registry(options.tracking(tracking_uri)),
        fleet=measured.seen(_fleet(store, server_urls, token)),
        told=measured.telling(_json_line if as_json else _line),
        passed=measured.passed,
        every_s=every_s,
        signing=options.settings().signing,
        making=options.making(**model_code),
    )
    with _ended_by_signals(bell), _hook(hook, secret_env, bell), _metrics(metrics, measured):
        if not once:
            click.echo(f"watching {words.several(len(pages), 'page')}, every {every_s:g} s; Ctrl-C ends it", err=True)
        troubled = keep_watch(pages, post, bell, once=once)
    return int(once and troubled > 0)


def _fleet(store: Store, urls: tuple[str, ...], token: str | None) -> Callable[[], Fleet]:
    """The fleet as it is at each call: a server that is started again may have another address, and so may a name."""
    settings = options.settings()
    known: list[tuple[tuple[ServerSettings, ...], Fleet]] = []

    def found() -> Fleet:
        servers = servers_of(store, urls, token, settings)
        if not known or known[0][0] != servers:
            for _, before in known:
                before.close()
            known[:] = [(servers, made_fleet(store, servers))]
        return known[0][1]

    return found


@contextmanager
def _ended_by_signals(bell: Bell) -> Iterator[None]:
    """The first SIGTERM or Ctrl-C ends the watch after the step under way, a second one at once."""

    def end(number: int, _: FrameType | None) -> None:
        bell.end()
        signal.signal(number, before[number])

    before = {int(number): signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _hook(address: tuple[str, int] | None, secret_env: str, bell: Bell) -> Iterator[None]:
    if address is not None and not os.environ.get(secret_env):
        raise click.UsageError(
            f"--hook wants the secret of MLflow's webhook in the environment variable {secret_env}: without one, "
            "anyone could ring; --hook-secret-env names another variable"
        )
    opened = Hook(*address, os.environ[secret_env], bell.ring) if address else nullcontext()
    with opened as hook:
        if hook is not None:
            click.echo(f"MLflow may deliver to {hook.url}", err=True)
        yield


@contextmanager
def _metrics(address: tuple[str, int] | None, measured: WatchMetrics) -> Iterator[None]:
    with measured.served_at(*address) if address else nullcontext() as url:
        if url is not None:
            click.echo(f"metrics at {url}", err=True)
        yield


def _line(notice: Notice) -> None:
    click.echo(f"{notice.at} {notice.pipeline} {notice.event}: {' '.join(notice.sentence.split())}")


def _json_line(notice: Notice) -> None:
    click.echo(json.dumps(asdict(notice)))
