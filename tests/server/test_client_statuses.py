"""Every row of the client's table of failures that a real Triton can be brought to say."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

import client_store
from sextant import errors
from sextant_client import Client, binary, protobuf
from sextant_client.address import transport
from sextant_client.transport import ModelConfig, ModelInfer, ModelMetadata

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def triton_store(triton_store):
    client_store.write_locate(triton_store / "models")
    client_store.write_oddities(triton_store / "models")
    return triton_store


@pytest.fixture(params=["grpc", "http"])
def url(request, triton):
    return getattr(triton.address, request.param)


@pytest.fixture
def wire(url):
    """The transport alone: what the client would refuse by itself reaches the server."""
    opened = transport(url)
    yield opened
    opened.close()


def infer(array, model="locate", tensor="features", outputs=("position",)):
    return ModelInfer(model, {tensor: np.asarray(array)}, outputs)


ROW = np.zeros((1, client_store.WIDTH), np.float32)

REFUSED = {
    "width": (infer(ROW[:, :4]), r"unexpected shape for input 'features'.*Expected \[-1,5\], got \[1,4\]"),
    "rank": (infer(ROW[0]), r"unexpected shape for input 'features'.*Expected \[-1,5\], got \[5\]"),
    "dtype": (infer(ROW.astype(float)), "'features' data-type is 'FP64', but model 'locate' expects 'FP32'"),
    "input": (infer(ROW, tensor="featurs"), "unexpected inference input 'featurs'"),
    "output": (infer(ROW, outputs=("posn",)), "unexpected inference output 'posn'"),
    "batch": (infer(np.repeat(ROW, 9, axis=0)), "batch-size must be <= 8"),
    "empty": (infer(ROW[:0]), "'features'.*[Ee]xpected 20, got 0"),
    "not_finite": (infer(ROW + np.nan), "^features: expected finite numbers, got nan at row 0 column 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arrays_are_refused_by_the_server_in_plain_words(wire, case):
    request, sentence = REFUSED[case]

    with pytest.raises(errors.RequestRefused, match=sentence) as refusal:
        wire.send(request, 10)

    assert not re.search("request id|NOTE|in ensemble", str(refusal.value))


@pytest.mark.parametrize(
    ("array", "came"),
    [(np.zeros(4), r"\[4\]"), (np.zeros((1, 4)), r"\[1, 4\]"), (np.zeros((1, 1, 5)), r"\[1, 1, 5\]")],
    ids=["row", "batch", "rank"],
)
def test_the_client_and_the_server_refuse_alike(url, wire, array, came):
    """Same class, and both sentences name the tensor, what it must be and what came."""
    with Client(url) as client, pytest.raises(errors.RequestRefused) as ours:
        client.pipeline("locate")(array)
    with pytest.raises(errors.RequestRefused) as theirs:
        wire.send(infer(array.astype(np.float32)), 10)

    assert re.match(rf"features: expected FP32 \[5\].*, got FP32 {came}$", str(ours.value))
    assert re.search(rf"'features'.*Expected \[-1,5\], got {came.replace(', ', ',')}", str(theirs.value))


@pytest.mark.parametrize("request_of", [ModelMetadata, ModelConfig, lambda name: infer(ROW, model=name)])
def test_an_unknown_model_is_not_ready(wire, request_of):
    with pytest.raises(errors.ModelNotReady, match="unknown model: 'lokate' is not found"):
        wire.send(request_of("lokate"), 10)


@pytest.mark.parametrize("name", ["lo kate", "lokaté", "a/b", "x HTTP/1.1\r\nHost: y"])
def test_a_name_no_model_can_have_is_not_ready_either(url, name):
    with Client(url) as client, pytest.raises((errors.ModelNotReady, errors.RequestRefused)):
        client.pipeline(name)([1])


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("INVALID_ARG", errors.RequestRefused),
        ("ALREADY_EXISTS", errors.RequestRefused),
        ("NOT_FOUND", errors.ModelNotReady),
        ("UNAVAILABLE", errors.ServerBusy),
        ("UNSUPPORTED", errors.ModelFailed),
        ("INTERNAL", errors.ModelFailed),
        ("CRASH", errors.ModelFailed),
    ],
)
def test_what_a_model_says_comes_out_the_same_over_both_protocols(url, code, error):
    with Client(url) as client, pytest.raises(error, match=f"provoked {code}|a bug in the model") as raised:
        client.pipeline("codes")([code])

    assert type(raised.value) is error


def test_a_full_queue_is_busy(url):
    def ask(_):
        with suppress(errors.ServerBusy):
            client.pipeline("narrow")([0.3])
            return "answered"
        return "busy"

    with Client(url) as client, ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(ask, range(8)))

    assert set(outcomes) == {"answered", "busy"}


def test_a_model_that_was_unloaded_is_not_ready_and_one_loaded_again_answers(url, triton):
    with Client(url) as client:
        pipeline = client.pipeline("echo")
        word = {"number": [1, 2], "count": [3], "word": ["a"], "flag": [True]}
        pipeline(**word)

        triton.unload("echo")
        with pytest.raises(errors.ModelNotReady, match="echo"):
            pipeline(**word)
        triton.load("echo")
        triton.wait_ready(["echo"])

        assert pipeline(**word)["count"].tolist() == [3]


def test_a_closed_api_denies_access_over_grpc(triton):
    """The client itself asks for nothing that the embedded server closes; another server may close more."""
    with grpc.insecure_channel(triton.address.grpc.partition("//")[2]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=5)

    error = protobuf.translated(ModelConfig("locate"), refused.value, "here", 5)

    assert isinstance(error, errors.AccessDenied)


def test_a_closed_api_denies_access_over_http(triton):
    index = urllib.request.Request(f"{triton.address.http}/v2/repository/index", b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(index, timeout=5):
        pass

    with refused.value as reply, pytest.raises(errors.AccessDenied, match="restricted"):
        binary.decode(ModelConfig("locate"), reply.code, None, reply.read())
