"""Who reaches a server, what goes over the network in the clear, and what a process computes with."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from examined import said
from sextant_cli.doctor import network
from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.network import elsewhere, private
from sextant_cli.doctor.server.cleartext import CLEARTEXT
from sextant_cli.doctor.server.doors import CONTROL
from sextant_cli.doctor.server.naming import Named
from sextant_cli.doctor.server.stubs import NUMPY
from sextant_cli.doctor.server.triton import reach
from sextant_client.address import parse
from sextant_client.credentials import Credentials
from sextant_server.installation import STUB
from strangers import stranger
from tls_front import Authority, tls_front

MAPPED = """
import mmap, sys
file = open(sys.argv[1], "r+b")
kept = mmap.mmap(file.fileno(), 0)
print("mapped", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("url", "sockets", "reached"),
    [
        ("grpc://127.0.0.1:8001", {"127.0.0.1": 1}, set()),
        ("grpc://127.0.0.1:8001", {"::ffff:127.0.0.1": 1, "::1": 1}, set()),
        ("grpc://127.0.0.1:8001", {"0.0.0.0": None}, {"0.0.0.0:8001"}),
        ("http://localhost:8000", {"::": 1}, {":::8000"}),
        ("grpc://gpu-1:8001", {}, {"gpu-1:8001"}),
    ],
)
def test_who_reaches_a_server_is_where_its_socket_listens(monkeypatch, url, sockets, reached):
    """A loopback URL says nothing of what else the program listens to; the kernel's table does."""
    monkeypatch.setattr(network, "listening", lambda _: sockets)

    assert elsewhere(parse(url)) == reached


@pytest.mark.parametrize(
    ("url", "token", "severities"),
    [
        ("grpc://127.0.0.1:8001", "t", []),
        ("grpc://10.0.0.7:8001", "t", ["note"]),
        ("grpc://198.51.100.7:8001", None, []),
        ("grpc://8.8.8.8:8001", "t", ["warning"]),
        ("grpcs://8.8.8.8:443", "t", []),
    ],
    ids=["loopback", "private", "no token", "public", "TLS"],
)
def test_a_token_in_the_clear_is_as_bad_as_the_network_it_crosses(url, token, severities):
    server = replace(said("2.72.0"), named=Named(grpc=url, token=token))

    found = list(CLEARTEXT.look(server))

    assert [finding.severity for finding in found] == severities
    assert all(f"ssh -L 8001:127.0.0.1:8001 {parse(url).host}" in finding.change for finding in found)


def test_a_proxy_is_shown_the_callers_token_over_tls_and_nobody_in_the_clear(tmp_path):
    """Without it only what strangers reach would be seen."""
    authority, heard = Authority(tmp_path), []

    def proxy(request):
        heard.append(request.headers["Authorization"])
        return (200, b'{"version": "2.72.0"}') if request.path == "/v2" else (404, b"")

    with stranger(proxy) as plain, tls_front(authority.vouch("localhost"), int(plain.rpartition(":")[2])) as port:
        who = Credentials(ca=authority.ca, token="s3cret")
        beyond, clear = (reach(Named(http=url), None, who) for url in (f"https://localhost:{port}", f"http://{plain}"))
        opened = [beyond.door.opens(group) for group in CONTROL]

    assert (beyond.version, clear.version, any(opened)) == ("2.72.0", "2.72.0", False)
    assert heard == ["Bearer s3cret", None, *["Bearer s3cret"] * len(CONTROL)]


def test_a_host_without_an_address_is_not_passed():
    with pytest.raises(NotMade, match="no.such.host.invalid is no name of a machine"):
        list(CLEARTEXT.look(replace(said("2.72.0"), named=Named(grpc="grpc://no.such.host.invalid:1", token="t"))))


def test_private_networks_are_told_from_the_internet():
    assert (private("10.1.2.3"), private("192.168.1.1"), private("8.8.8.8")) == (True, True, False)


@pytest.fixture
def computing(tmp_path):
    """A process that is called as Triton's, and has mapped the core of a NumPy in this folder."""
    started = []

    def start(folder):
        core = tmp_path / "numpy" / folder / "_multiarray_umath.cpython-311-x86_64-linux-gnu.so"
        core.parent.mkdir(parents=True)
        core.write_bytes(bytes(4096))
        line = [f"/backends/python/{STUB}", "-c", MAPPED, str(core), "echo_0_0", "DEFAULT"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(line, executable=sys.executable, **pipes))
        started[-1].stdout.readline()
        return core

    yield start
    for process in started:
        process.communicate()


@pytest.mark.parametrize(("version", "count"), [("2.51.0", 1), ("2.60.0", 0)])
def test_numpy_2_under_a_triton_that_cannot_read_it_is_critical(computing, version, count):
    """A Triton from 2.52 on reads it."""
    core = computing("_core")

    found = list(NUMPY.look(said(version, process=psutil.Process(os.getpid()))))

    assert len(found) == count
    assert all(str(core) in finding.found and "(echo_0_0)" in finding.found for finding in found)
    assert {finding.severity for finding in found} <= {"critical"}


def test_numpy_1_is_what_it_wants(computing):
    computing("core")

    assert list(NUMPY.look(said("2.51.0", process=psutil.Process(os.getpid())))) == []
