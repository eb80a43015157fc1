"""Servers for the doctor to examine: one that was never started, and one that was started without any restriction."""

from __future__ import annotations

from contextlib import contextmanager
from unittest.mock import patch

from sextant_cli.doctor.server.doors import GrpcDoor
from sextant_cli.doctor.server.naming import Named
from sextant_cli.doctor.server.triton import Triton
from sextant_client.address import parse
from sextant_server import EmbeddedTriton
from sextant_server.launch import Launch


def said(version, url="grpc://127.0.0.1:9", **facts):
    """A Triton that said its *version* through one door; nobody asks it anything more."""
    return Triton(named=Named(grpc=url), doors=(GrpcDoor(parse(url)),), silent={}, version=version, **facts)


@contextmanager
def started(store, models, change):
    """The embedded Triton on loopback, by the command line that *change* makes of its own."""
    whole = Launch.command
    with (
        patch.object(Launch, "command", lambda self: change(whole(self))),
        EmbeddedTriton(store, models=models, stop_timeout_s=1) as triton,
    ):
        yield triton


def open_triton(store, models):
    """One whose control APIs are open to everybody."""
    return started(store, models, lambda line: [word for word in line if "restricted" not in word])


def names(findings):
    """The checks that found something, with how bad it is."""
    return [(finding.check, finding.severity) for finding in findings]
