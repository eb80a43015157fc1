"""The client's bytes, addresses, failures and imports, without a Triton."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest

import client_doors
import sextant_client
from sextant import errors
from sextant_client import binary, dtypes, failures, transport
from sextant_client.address import Address, parse

INFER = transport.ModelInfer("locate", {"x": np.zeros((1, 2), np.float32)}, ("y",))


@contextmanager
def answering(*chunks, pause_s=0.0):
    """A loopback server that reads one request and sends ``chunks``, then closes."""

    def serve():
        peer, _ = listener.accept()
        listener.close()
        with peer, suppress(OSError):  # the client may have left by then
            peer.recv(65536)
            for chunk in chunks:
                peer.sendall(chunk)
                stop.wait(pause_s)

    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join(5)


def ask_over(door_name, port, timeout_s, scheme="http"):
    """Metadata is asked first, so any pipeline call meets what the server does."""
    return client_doors.DOORS[door_name](
        "locate", [1.0], client={"url": f"{scheme}://127.0.0.1:{port}"}, timeout_s=timeout_s
    )


@pytest.mark.parametrize("dtype", [name for name in dtypes.NUMPY_TYPES if name != "BYTES"])
def test_every_numeric_type_survives_the_wire(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtypes.NUMPY_TYPES[dtype])

    again = dtypes.from_bytes(dtypes.to_bytes(array), dtypes.triton_dtype(array), array.shape)

    np.testing.assert_array_equal(again, array)
    assert again.dtype == array.dtype


def test_text_survives_the_wire_as_bytes():
    array = np.array([[b"", "å".encode()], [b"\x00\xff", b"x" * 300]], dtype=object)

    again = dtypes.from_bytes(dtypes.to_bytes(array), "BYTES", (2, 2))

    assert again.tolist() == array.tolist()


def test_an_http_request_names_its_outputs_and_measures_its_tensors():
    message = binary.encode(INFER)

    length = int(message.headers[binary.HEADER_LENGTH])
    header = json.loads(message.body[:length])
    assert message.path == "/v2/models/locate/infer"
    assert [output["name"] for output in header["outputs"]] == ["y"]
    assert header["inputs"][0]["parameters"]["binary_data_size"] == 8 == len(message.body) - length


def test_an_http_reply_may_hold_json_instead_of_binary_tensors():
    outputs = [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}]

    reply = binary.decode(INFER, 200, None, json.dumps({"outputs": outputs}).encode())

    assert reply["y"].tolist() == [[1.5, 2.5]]


@pytest.mark.parametrize(
    ("status", "sentence", "error"),
    [
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'x'", errors.AccessDenied),
        (403, "This API is restricted, expecting header 'x'", errors.AccessDenied),
        ("UNAVAILABLE", "Request for model version 1 is not at ready state", errors.ModelNotReady),
        (503, "Request for model version 1 is not at ready state", errors.ModelNotReady),
        ("UNAVAILABLE", "failed to connect to all addresses", errors.ServerUnreachable),
        ("UNAVAILABLE", "Socket closed", errors.ServerUnreachable),
        (503, "Server is stopping to serve requests.", errors.ServerUnreachable),
        ("UNAVAILABLE", "Exceeds maximum queue size", errors.ServerBusy),
        (503, "Exceeds maximum queue size", errors.ServerBusy),
        (429, "slow down", errors.ServerBusy),
        ("NOT_FOUND", "Request for unknown model", errors.ModelNotReady),
        (404, "Request for unknown model", errors.ModelNotReady),
        ("INVALID_ARGUMENT", "unexpected shape", errors.RequestRefused),
        (400, "unexpected shape", errors.RequestRefused),
        (413, "the body is larger than allowed", errors.RequestRefused),
        (413, "", errors.RequestRefused),
        ("RESOURCE_EXHAUSTED", "Received message larger than max", errors.RequestRefused),
        ("UNKNOWN", "Received http2 header with status: 413", errors.RequestRefused),
        ("UNAVAILABLE", "Received http2 header with status: 502", errors.ServerUnreachable),
        (504, "upstream took too long", errors.DeadlineExceeded),
        (401, "who are you", errors.AccessDenied),
        ("CANCELLED", "Channel closed!", errors.ServerUnreachable),
        (502, "bad gateway", errors.ServerUnreachable),
        ("UNIMPLEMENTED", "decoupled", errors.ModelFailed),
        ("INTERNAL", "it broke", errors.ModelFailed),
        (500, "it broke", errors.ModelFailed),
        ("DATA_LOSS", "never seen", errors.ModelFailed),
        (418, "", errors.ModelFailed),
    ],
)
def test_a_status_becomes_the_error_that_says_what_to_do(status, sentence, error):
    assert type(failures.failure(INFER, status, sentence)) is error


def test_a_failure_is_told_without_tritons_trimmings():
    trimmed = "[request id: <id_unknown>] in ensemble 'locate', x: expected [-1,5]."

    told = failures.failure(INFER, 400, f"{trimmed} NOTE: Setting a non-zero max_batch_size in the")

    assert str(told) == "x: expected [-1,5]."


@pytest.mark.parametrize(
    ("status", "sentence", "advice"),
    [
        ("NOT_FOUND", "Request for unknown model: 'locate' is not found", ": `sextant status` lists what is served"),
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'x'", ": give the server's token"),
        ("UNAUTHENTICATED", "Received http2 header with status: 401", ": the proxy asks for a caller's token"),
    ],
)
def test_where_triton_only_says_what_is_wrong_we_say_what_to_do(status, sentence, advice):
    assert str(failures.failure(INFER, status, sentence)).startswith(f"{sentence}{advice}")


def test_a_failure_in_a_split_batch_says_which_rows():
    part = transport.ModelInfer("locate", {}, (), rows=(64, 128))

    assert str(failures.failure(part, 400, "NaN")) == "rows 64 to 127 of the batch: NaN"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("grpc://127.0.0.1:8001", Address("grpc", "127.0.0.1", 8001)),
        ("http://triton.example:80/", Address("http", "triton.example", 80)),
        ("http://[::1]:8000", Address("http", "::1", 8000)),
        ("grpcs://models.example", Address("grpcs", "models.example", 443)),
        ("https://models.example:8443", Address("https", "models.example", 8443)),
    ],
)
def test_an_address_is_a_scheme_a_host_and_a_port(url, address):
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8001",
        "ftp://a:1",
        "http://a",
        "grpc://:1",
        "http://a:x",
        "http://a:1/v2",
        "https://a/v2",
        "http://[a:1",
    ],
)
def test_anything_else_is_no_address_and_the_sentence_says_what_is(url):
    with pytest.raises(errors.AddressRefused, match="expected grpc://host:port or http://host:port, got"):
        sextant_client.Client(url)


@pytest.mark.parametrize("door", client_doors.DOORS)
def test_a_reply_that_drips_past_the_deadline_is_given_up(door):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    with answering(head, *[b" "] * 100, pause_s=0.05) as port:
        started = time.monotonic()

        with pytest.raises(errors.DeadlineExceeded):
            ask_over(door, port, 0.3)

        assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("door", client_doors.DOORS)
@pytest.mark.parametrize(
    "reply",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"SSH-2.0-x\r\n"],
    ids=["hangs_up", "cut", "other"],
)
def test_a_broken_reply_is_no_triton(door, reply):
    with answering(reply) as port, pytest.raises(errors.ServerUnreachable, match=f"127.0.0.1:{port}"):
        ask_over(door, port, 5)


@pytest.mark.parametrize("door", client_doors.DOORS)
@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_nobody_there_is_unreachable_at_once(door, scheme):
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]

    with pytest.raises(errors.ServerUnreachable, match=f"{scheme}://127.0.0.1:{port}"):
        ask_over(door, port, 5, scheme)


def test_a_failed_status_on_http_carries_the_servers_sentence():
    body = b'{"error":"Request for unknown model: \'locate\' is not found"}'
    reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    with answering(reply) as port, pytest.raises(errors.ModelNotReady, match="unknown model: 'locate'"):
        ask_over("threads", port, 5)


def imported(statement):
    """The modules a fresh interpreter holds after ``statement``."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


WEB = {"aiohttp", "fastapi", "flask", "gevent", "starlette"}
SCIENCE = {"mlflow", "onnx", "onnxruntime", "pandas", "scipy", "sklearn", "torch"}
HEAVY = WEB | SCIENCE | {"grpc", "tritonclient", "yaml"}


def test_importing_the_client_imports_no_framework():
    assert not imported("import sextant_client, sextant_client.testing") & HEAVY


def test_an_http_client_needs_no_package_but_numpy():
    assert not imported("from sextant_client import Client; Client('http://127.0.0.1:1')") & HEAVY


def test_grpc_is_imported_when_a_grpc_address_is_used():
    assert "grpc" in imported("from sextant_client import Client; Client('grpc://127.0.0.1:1')")


@pytest.mark.parametrize(
    ("client", "missing"),
    [
        ("Client('grpc://127.0.0.1:1')", "tritonclient"),
        ("AsyncClient('grpc://127.0.0.1:1')", "grpc"),
        ("AsyncClient('http://127.0.0.1:1')", "aiohttp"),
    ],
)
def test_a_missing_package_is_answered_with_the_line_to_type(client, missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from sextant_client import *; {client}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "MissingExtra" in done.stderr
    assert "pip install 'triton-sextant[client]'" in done.stderr


def test_the_public_names_are_sorted_and_there():
    assert sextant_client.__all__ == sorted(sextant_client.__all__)
    assert all(hasattr(sextant_client, name) for name in sextant_client.__all__)


def test_an_async_client_that_was_never_used_closes_in_peace():
    async def open_and_close():
        for url in ("http://127.0.0.1:1", "grpc://127.0.0.1:1"):
            async with sextant_client.AsyncClient(url):
                pass

    asyncio.run(open_and_close())
