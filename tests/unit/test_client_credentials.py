"""What a caller shows and trusts: the token goes over TLS alone, and what is no credential is refused at once."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from contextlib import closing, contextmanager

import numpy as np
import pytest

import client_doors
from sextant import errors
from sextant_client import AsyncClient, Client, address
from sextant_client.credentials import Credentials
from sextant_client.transport import ModelInfer
from tls_front import Authority, tls_front


@contextmanager
def listening(heard, status=401, **headers):
    """A loopback server that appends the headers of each request to *heard* and refuses it; gives its port."""

    class Heard(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(dict(self.headers))
            self.send_response(status)
            for name, text in {"Content-Length": "0", **headers}.items():
                self.send_header(name, text)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Heard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def hanging_up(certificate):
    """A loopback server that has heard enough after the head of a request, says so, and closes; gives its port."""

    def refuse():
        peer, _ = server.accept()
        with context.wrap_socket(peer, server_side=True) if context else peer as caller:
            caller.recv(1000)
            caller.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\ntoo much")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
    if context:
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=refuse, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize("door", client_doors.DOORS)
def test_the_token_is_sent_as_a_bearer_and_a_401_is_access_denied(door, tmp_path):
    authority, heard = Authority(tmp_path), []
    with listening(heard) as plain, tls_front(authority.vouch("localhost"), plain) as port:
        url = f"https://localhost:{port}"

        with pytest.raises(errors.AccessDenied):
            client_doors.DOORS[door]("locate", [1.0], client={"url": url, "ca": authority.ca, "token": "s3cret"})

    assert heard[0]["Authorization"] == "Bearer s3cret"
    assert heard[0]["Host"] == f"localhost:{port}"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["grpc://127.0.0.1:8001", "http://127.0.0.1:8000"])
def test_a_token_without_tls_is_refused(kind, url):
    """It would be anybody's who listens."""
    with pytest.raises(errors.AddressRefused, match="a token is sent over TLS alone: write grpcs:// or https://"):
        kind(url, token="s3cret")


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Evil: 1", "naïve"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_said(token):
    with pytest.raises(errors.ParametersError, match="token: expected printable ASCII without spaces") as caught:
        Client("https://localhost", token=token)

    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["grpcs://localhost", "https://localhost"])
@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("no certificate", "it holds none")])
def test_authorities_that_cannot_be_read_are_refused_at_once(kind, url, content, reason, tmp_path):
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_text(content)

    with pytest.raises(errors.ParametersError, match=f"ca: expected a PEM file of certificates, got '{ca}': {reason}"):
        kind(url, ca=ca)


@pytest.mark.parametrize(("variable", "name"), [("SSL_CERT_FILE", "all.pem"), ("SSL_CERT_DIR", "5ed36f99.0")])
def test_grpc_believes_the_authorities_of_the_system(variable, name, tmp_path, monkeypatch):
    """It brings its own, so it has to be handed what Python's TLS finds by itself: one file, or a folder of them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    systems = Authority(tmp_path).ca.rename(tmp_path / name)
    monkeypatch.setenv(variable, str(systems if variable == "SSL_CERT_FILE" else tmp_path))

    assert Credentials().roots() == systems.read_bytes()


@pytest.mark.parametrize("door", client_doors.DOORS)
def test_a_token_is_not_taken_elsewhere(door, tmp_path):
    """Nobody follows to where an answer points."""
    authority, heard, sent_on = Authority(tmp_path), [], []
    with (
        listening(sent_on) as elsewhere,
        listening(heard, 307, Location=f"http://127.0.0.1:{elsewhere}/") as plain,
        tls_front(authority.vouch("localhost"), plain) as port,
    ):
        client = {"url": f"https://localhost:{port}", "ca": authority.ca, "token": "s3cret"}

        with pytest.raises(errors.ModelFailed):
            client_doors.DOORS[door]("locate", [1.0], client=client)

    assert (len(heard), sent_on) == (1, [])


@pytest.mark.parametrize("certified", [False, True])
def test_what_a_server_says_before_it_hangs_up_is_heard(certified, tmp_path):
    """A proxy refuses by its length what is still being sent."""
    authority = Authority(tmp_path)
    certificate = authority.vouch("localhost") if certified else None
    request = ModelInfer("locate", {"x": np.zeros((1, 4_000_000))}, ())
    with hanging_up(certificate) as port:
        url = f"{'https' if certified else 'http'}://localhost:{port}"
        sending = address.transport(url, Credentials(authority.ca))

        with closing(sending), pytest.raises(errors.RequestRefused, match="too much"):
            sending.send(request, 30)


def test_a_token_is_not_in_what_is_printed():
    assert "s3cret" not in repr(Credentials(token="s3cret"))
