"""A token that goes over the network without TLS."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.finding import NOTE, WARNING, Finding
from sextant_cli.doctor.network import loopback, private
from sextant_cli.doctor.server.triton import Triton
from sextant_client.address import parse


def _look(triton: Triton) -> Iterator[Finding]:
    for url in filter(None, (triton.named.grpc, triton.named.http)):
        address = parse(url)
        if triton.named.token and not address.secure and not loopback(address.host):
            yield Finding(
                severity=NOTE if _private(address.host) else WARNING,
                where=url,
                found=f"its control token is sent to {address.netloc} in the clear",
                why="whoever listens on the way reads it, and can then make that Triton run any code",
                change=f"keep model control on a network of its own, or go through a tunnel: "
                f"ssh -L {address.port}:127.0.0.1:{address.port} {address.host}",
            )


def _private(host: str) -> bool:
    try:
        return private(host)
    except OSError as error:
        raise NotMade(f"{host} is no name of a machine: {error.strerror}") from error


CLEARTEXT = Check("cleartext", "Does a control token go over a network without TLS?", _look)
