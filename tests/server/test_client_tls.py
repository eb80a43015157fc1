"""The client over TLS, to a real Triton: the same answers, and nobody believed who cannot show who he is."""

from __future__ import annotations

import time

import numpy as np
import pytest

import client_doors
import client_store
from sextant import errors
from sextant_client import Client
from tls_front import Authority, tls_front

pytestmark = pytest.mark.server

PLAIN = {"grpcs": "grpc", "https": "http"}


@pytest.fixture(scope="module")
def triton_store(triton_store):
    client_store.write_locate(triton_store / "models")
    client_store.write_oddities(triton_store / "models")
    return triton_store


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=PLAIN)
def front(request, triton, authority):
    """Scheme and port of a listener with TLS before the Triton."""
    plain = int(getattr(triton.address, PLAIN[request.param]).rpartition(":")[2])
    with tls_front(authority.vouch("localhost"), plain) as port:
        yield request.param, port


@pytest.fixture
def url(front):
    return "{}://localhost:{}".format(*front)


@pytest.fixture(params=client_doors.DOORS)
def door(request):
    return client_doors.DOORS[request.param]


def rows(count):
    return np.random.default_rng(count).normal(size=(count, client_store.WIDTH)).astype(np.float32)


def test_the_same_numbers_come_over_tls(url, authority, door):
    """A batch that is split, of an authority that the caller names."""
    asked = rows(83)

    fixes = door("locate", asked, client={"url": url, "ca": authority.ca})

    np.testing.assert_array_equal([(fix.latitude, fix.longitude) for fix in fixes], asked[:, :2] / 2)


def test_an_authority_that_nobody_named_is_not_believed(url, door):
    with pytest.raises(errors.CertificateRefused, match=r"a certificate that is not believed: name its authority"):
        door("locate", rows(1)[0], client={"url": url})


def test_another_authority_is_not_believed(url, door, tmp_path):
    with pytest.raises(errors.CertificateRefused):
        door("locate", rows(1)[0], client={"url": url, "ca": Authority(tmp_path).ca})


def test_a_certificate_for_another_host_is_not_believed(front, authority, door):
    scheme, port = front

    with pytest.raises(errors.CertificateRefused, match="write the host as the certificate does"):
        door("locate", rows(1)[0], client={"url": f"{scheme}://127.0.0.1:{port}", "ca": authority.ca})


def test_a_slow_model_is_given_up_at_the_deadline(url, authority, door):
    started = time.monotonic()

    with pytest.raises(errors.DeadlineExceeded):
        door("nap", [0.8], timeout_s=0.3, client={"url": url, "ca": authority.ca})

    assert time.monotonic() - started < 0.75


@pytest.mark.parametrize("scheme", PLAIN)
def test_a_far_front_is_reached(triton, authority, door, scheme):
    """Half a second lies between the connection and its handshake."""
    plain = int(getattr(triton.address, PLAIN[scheme]).rpartition(":")[2])
    with tls_front(authority.vouch("localhost"), plain, pause_s=0.5) as port:
        fix = door("locate", rows(1)[0], client={"url": f"{scheme}://localhost:{port}", "ca": authority.ca})

    assert fix.members_used == 3


@pytest.mark.parametrize("scheme", PLAIN)
def test_tls_asked_of_a_port_without_it_says_so(triton, authority, door, scheme):
    port = getattr(triton.address, PLAIN[scheme]).rpartition(":")[2]

    with pytest.raises(errors.ServerUnreachable, match=f"no Triton answers at {scheme}://localhost"):
        door("locate", rows(1)[0], client={"url": f"{scheme}://localhost:{port}", "ca": authority.ca})


def test_a_certified_server_is_ready(url, authority):
    with Client(url, ca=authority.ca) as client:
        assert client.is_ready()
