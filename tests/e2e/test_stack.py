"""
The stack of docker-compose.yml without Docker, line by line: its commands, flags, variables and configuration files as
plain processes, from a model that is logged through the proxy to an answer through the proxy.

What needs an engine, or an image that is not to be had here, stands in UNTRIED with its reason.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from contextlib import closing
from fnmatch import fnmatchcase

import grpc
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from tritonclient.grpc import service_pb2, service_pb2_grpc

import client_doors
import stack_services
from composed import Composed
from sextant import errors
from sextant.geodesy import to_east_north
from sextant_client import Client, address
from sextant_client.credentials import Credentials
from sextant_client.transport import ModelInfer
from sextant_export.registry import Registry
from small_world import World, draw
from stack_processes import PROGRAMS, Processes

# Nine services start, two of them with MLflow in them.
pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.timeout(400)]

CASES = draw(1, seed=9)
OPERATOR, PASSWORD = "operator", "password-of-the-operators"
VARIABLES = {
    "SEXTANT_HOST": "localhost",
    "SEXTANT_TOKEN": "token-of-the-control-calls",
    "SEXTANT_OPERATOR_HASH": "$2b$04$9lm9H5KjcnjAJUcDovlqAejKxcA4XB2ccvWRA90zfl/LxTmn4Rl5q",  # of the cheapest kind
    "SEXTANT_CALLER_TOKEN": "token-of-callers",
    "SEXTANT_CALLER_TOKEN_BEFORE": "token-of-callers-before",
    "SEXTANT_MAX_REQUEST": "1000000",
    "SEXTANT_EVERY": "1",
    "MLFLOW_WORKERS": "1",
    "POSTGRES_PASSWORD": "password-of-postgres",
    "STORAGE_ACCESS_KEY": "key-of-the-storage",
    "STORAGE_SECRET_KEY": "secret-of-the-storage",
    "GRAFANA_PASSWORD": "password-of-grafana",
}

ENGINE = "Docker's engine does it; that it is there is held by tests/unit/test_stack_files.py"
HERE = "what is written there is written to the folder of the test"
UNTRIED = {
    ("*", "image", ""): "no registry of images is reached here",
    ("*", "build", ""): "no engine builds here: Dockerfiles are linted, their entries and health checks are used",
    **{("*", key, ""): ENGINE for key in ("profiles", "restart", "read_only", "cap_drop", "cap_add", "security_opt")},
    **{("*", key, ""): ENGINE for key in ("pids_limit", "mem_limit", "shm_size", "logging", "networks", "ports")},
    **{("*", key, ""): ENGINE for key in ("init", "user", "stop_grace_period")},
    ("*", "depends_on", ""): "the test starts the services in this order itself",
    ("*", "tmpfs", "*"): HERE,
    ("mlflow", "volumes", "/tmp"): HERE,
    ("proxy", "volumes", "/certificates"): "the certificate is of the proxy's own authority, which is the default",
    **{("triton", "*", flag): reason for flag, reason in stack_services.LACKING.items()},
    ("triton-gpu", "*", "*"): "there is no GPU; its flags are those of triton",
    ("storage", "*", "*"): "its image is not to be had here: moto speaks S3 in its place",
    ("grafana", "*", "*"): "its image is not to be had here: its files are held by their own tests",
    ("export", "*", "*"): "there are neither a GPU nor TensorRT's container",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Every service that can run here, but the watch: it begins where there is a page."""
    if missing := stack_services.missing():
        pytest.skip(f"the stack needs {', '.join(missing)}: .ci/packages installs them")
    processes = Processes(Composed(VARIABLES), tmp_path_factory.mktemp("stack"))
    try:
        stack_services.start_all(processes)
        yield processes
    finally:
        processes.close()


@pytest.fixture(scope="module")
def ca(stack):
    """The authority that the proxy made for itself."""
    return stack.folder / "caddy" / "caddy" / "pki" / "authorities" / "local" / "root.crt"


@pytest.fixture(scope="module")
def registry(stack, ca):
    """The address of MLflow for people; the environment has what they put there, as docs/stack.md says."""
    told = {
        "MLFLOW_TRACKING_URI": f"https://localhost:{stack.ports[8443]}/mlflow",
        "MLFLOW_TRACKING_USERNAME": OPERATOR,
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(ca),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        yield told["MLFLOW_TRACKING_URI"]


class Logged(World):
    """The small world with its models in the registry of the stack."""

    registry = property(lambda self: Registry(os.environ["MLFLOW_TRACKING_URI"]))


@pytest.fixture(scope="module")
def watched(stack, registry):
    """Two models are logged through the proxy, their page lies where the file mounts it, and the watch has begun."""
    world = Logged(stack.folder / "pipelines")
    world.root.mkdir()
    MlflowClient().create_experiment("world")
    world.register("ridge", Ridge(alpha=0.1))
    world.register("knn", KNeighborsRegressor(5))
    world.write_spec({"members": {name: f"models:/{name}@champion" for name in ("ridge", "knn")}})
    stack_services.start_watcher(stack)
    heard(stack, "promoted", 1)
    return world


def heard(stack, event, release):
    """Wait until the watch has said so."""

    def said():
        notices = [json.loads(line) for line in (stack.folder / "watcher.out").read_text().splitlines()]
        return any((notice["event"], notice["release"]) == (event, release) for notice in notices)

    stack.wait("watcher", said)


@pytest.fixture(params=["grpcs", "https"])
def caller(request, stack, ca):
    """What a caller tells the client."""
    url = f"{request.param}://localhost:{stack.ports[8443]}"
    return {"url": url, "ca": ca, "token": VARIABLES["SEXTANT_CALLER_TOKEN"]}


@pytest.mark.parametrize("door", client_doors.DOORS)
def test_what_was_logged_through_the_proxy_is_answered_through_the_proxy(watched, caller, door):
    """Registry over HTTPS, artifacts in S3, the watch, Triton, and TLS to the caller."""
    fix = client_doors.DOORS[door]("locate", CASES.features[0], client=caller)

    assert fix.members_used == 2
    assert np.linalg.norm(to_east_north(CASES.truth[0], [[fix.latitude, fix.longitude]])) < 50


def test_the_command_line_asks_through_the_proxy(watched, stack, ca, tmp_path):
    np.save(tmp_path / "one.npy", CASES.features[0])
    told = {"SEXTANT_SERVER": f"grpcs://localhost:{stack.ports[8443]}", "SEXTANT_CA": str(ca)}
    told["SEXTANT_CALLER_TOKEN"] = VARIABLES["SEXTANT_CALLER_TOKEN"]
    command = [PROGRAMS["sextant"], "ask", "locate", f"features=@{tmp_path / 'one.npy'}"]

    answer = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **told}, timeout=120)

    assert answer.stdout.startswith("43.7"), answer.stderr


def test_artifacts_lie_in_the_bucket(stack, watched):
    listed = urllib.request.urlopen(f"http://127.0.0.1:{stack.ports[7070]}/mlflow?list-type=2", timeout=10).read()

    assert b"<Key>artifacts/" in listed
    assert b"model.pkl" in listed


def test_moving_the_alias_there_and_back_promotes_and_rolls_back(stack, watched, ca):
    """Only the registry is told; what is served follows."""
    url, token = f"grpcs://localhost:{stack.ports[8443]}", VARIABLES["SEXTANT_CALLER_TOKEN"]
    released = []

    with Client(url, ca=ca, token=token) as client:
        watched.register("ridge", Ridge(alpha=50.0))
        heard(stack, "promoted", 2)
        released.append(client.pipeline("locate")(CASES.features[0]).release)
        MlflowClient().set_registered_model_alias("ridge", "champion", "1")
        heard(stack, "rolled back", 1)
        released.append(client.pipeline("locate")(CASES.features[0]).release)

    assert released == [2, 1]


def test_the_token_before_is_taken_too(stack, caller):
    """So callers may change theirs one after the other."""
    with Client(**{**caller, "token": VARIABLES["SEXTANT_CALLER_TOKEN_BEFORE"]}) as client:
        assert client.is_ready()


@pytest.mark.parametrize("token", [None, "token-of-caller", "token-of-the-control-calls"])
def test_whoever_shows_no_token_of_a_caller_is_not_answered(stack, caller, token):
    with Client(**{**caller, "token": token}) as client, pytest.raises(errors.AccessDenied, match=r"expected|401"):
        client.pipeline("locate")([0.0] * 8)


def test_a_request_that_is_too_large_is_refused(stack, caller):
    """The proxy says so and hangs up while it is still being sent; the client has heard it."""
    credentials = Credentials(caller["ca"], caller["token"])
    sending = address.transport(caller["url"], credentials)
    request = ModelInfer("locate", {"features": np.zeros((1, 1_000_000))}, ("position",))

    with pytest.raises(errors.RequestRefused, match="send fewer rows at once"):
        sending.send(request, 30)

    sending.close()


CONTROL_CALLS = {
    "RepositoryIndex": service_pb2.RepositoryIndexRequest(),
    "RepositoryModelLoad": service_pb2.RepositoryModelLoadRequest(model_name="locate"),
    "RepositoryModelUnload": service_pb2.RepositoryModelUnloadRequest(model_name="locate"),
    "SystemSharedMemoryStatus": service_pb2.SystemSharedMemoryStatusRequest(),
    "CudaSharedMemoryStatus": service_pb2.CudaSharedMemoryStatusRequest(),
    "TraceSetting": service_pb2.TraceSettingRequest(),
    "LogSettings": service_pb2.LogSettingsRequest(),
    "ModelStatistics": service_pb2.ModelStatisticsRequest(),
}


@pytest.mark.parametrize("call", CONTROL_CALLS)
def test_no_control_call_passes_the_proxy_over_grpc(stack, ca, call):
    """Not even with the tokens of callers and of the control calls together."""
    trusted = grpc.ssl_channel_credentials(ca.read_bytes())
    shown = grpc.access_token_call_credentials(VARIABLES["SEXTANT_CALLER_TOKEN"])
    metadata = [("triton-grpc-protocol-sextant-token", VARIABLES["SEXTANT_TOKEN"])]
    with grpc.secure_channel(
        f"localhost:{stack.ports[8443]}", grpc.composite_channel_credentials(trusted, shown)
    ) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        with pytest.raises(grpc.RpcError) as refused:
            getattr(stub, call)(CONTROL_CALLS[call], metadata=metadata, timeout=20)

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


CONTROL_PATHS = [
    "/v2/repository/index",
    "/v2/repository/models/locate/load",
    "/v2/repository/models/locate/unload",
    "//v2/repository/index",
    "/v2/models/locate/../../repository/index",
    "/v2/models/locate/..%2f..%2frepository/index",
    "/v2%2frepository/index",
    "/V2/repository/index",
    "/v2/systemsharedmemory/status",
    "/v2/cudasharedmemory/status",
    "/v2/trace/setting",
    "/v2/models/locate/trace/setting",
    "/v2/logging",
    "/v2/models/stats",
    "/v2/models/locate/stats",
    "/invocations",
    "/predict",
    "/metrics",
    "/",
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", CONTROL_PATHS)
def test_no_control_call_passes_the_proxy_over_http(stack, ca, method, path):
    """Not even with the tokens of callers and of the control calls together."""
    shown = {
        "Authorization": f"Bearer {VARIABLES['SEXTANT_CALLER_TOKEN']}",
        "sextant-token": VARIABLES["SEXTANT_TOKEN"],
    }

    assert asked(stack, ca, path, method=method, headers=shown)[0] == 403


def test_what_is_sent_on_is_what_was_read(stack, watched, ca):
    """A path that reads as two, one of which a caller may ask: Triton hears of that one alone."""
    shown = {"Authorization": f"Bearer {VARIABLES['SEXTANT_CALLER_TOKEN']}"}

    status, body = asked(stack, ca, "/v2/repository/models/locate/unload/../../../../models/locate", headers=shown)

    assert (status, json.loads(body)["name"]) == (200, "locate")


@pytest.mark.parametrize("path", ["/mlflow/", "/mlflow/api/2.0/mlflow/experiments/search", "/MLflow/", "/grafana/"])
@pytest.mark.parametrize("shown", [{}, {"Authorization": f"Bearer {VARIABLES['SEXTANT_CALLER_TOKEN']}"}])
def test_registry_and_dashboards_want_a_name_and_a_password(stack, ca, path, shown):
    """A caller may ask, and not write what is served."""
    assert asked(stack, ca, path, headers=shown)[0] == 401


def test_another_site_cannot_use_the_browser_of_an_operator(stack, ca):
    """MLflow refuses what a page of another origin sends, and takes what its own sends."""
    body = json.dumps({"name": "made elsewhere"}).encode()
    path, own = "/mlflow/api/2.0/mlflow/experiments/create", f"https://localhost:{stack.ports[8443]}"
    headers = {**signed_in(), "Content-Type": "application/json"}

    answers = [
        asked(stack, ca, path, method="POST", body=body, headers={**headers, "Origin": origin})[0]
        for origin in ("https://evil.example", own)
    ]

    assert answers == [403, 200]


def test_the_way_to_grafana_is_the_proxys(stack, ca):
    """There is none here, so the proxy that knows the password says that it is away."""
    assert asked(stack, ca, "/grafana/", headers=signed_in())[0] == 502


def test_what_is_not_tls_is_not_answered(stack):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"http://localhost:{stack.ports[8443]}/v2/health/ready", timeout=10)


def test_prometheus_finds_its_targets(stack, watched):
    """All are scraped, and every rule of the project is loaded."""
    api = f"http://127.0.0.1:{stack.ports[9090]}/api/v1"

    def up():
        targets = fetched(f"{api}/targets")["activeTargets"]
        return {each["labels"]["instance"]: each["health"] for each in targets if each["health"] == "up"}

    stack.wait("prometheus", lambda: len(up()) >= 3)
    groups = fetched(f"{api}/rules")["groups"]

    assert set(up()) == {f"127.0.0.1:{stack.ports[port]}" for port in (8002, 8003, 9090)}
    assert groups
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}


def test_a_triton_that_starts_again_serves_what_it_served_without_the_watch(stack, watched, ca):
    """The watch has ended in order, so nobody is there to load anything."""
    ended = stack.stop("watcher")
    stack.kill("triton")
    stack_services.start_triton(stack)

    with Client(f"grpcs://localhost:{stack.ports[8443]}", ca=ca, token=VARIABLES["SEXTANT_CALLER_TOKEN"]) as client:
        fix = client.pipeline("locate")(CASES.features[0])

    assert (ended, fix.members_used) == (0, 2)


def test_no_line_is_untried(stack, watched):
    """Whoever adds a line to the file tries it here, or says in UNTRIED why it cannot be."""
    left = stack.composed.lines() - stack.composed.tried
    excused = {line: [row for row in UNTRIED if all(map(fnmatchcase, line, row))] for line in left}

    assert [line for line, rows in excused.items() if not rows] == []
    assert set(UNTRIED) - {row for rows in excused.values() for row in rows} == set()


def signed_in():
    together = base64.b64encode(f"{OPERATOR}:{PASSWORD}".encode()).decode()
    return {"Authorization": f"Basic {together}"}


def asked(stack, ca, path, *, method="GET", body=None, headers):
    """Status and body; the *path* goes as it is, which no client library would do."""
    context = ssl.create_default_context(cafile=ca)
    connection = http.client.HTTPSConnection("localhost", stack.ports[8443], context=context, timeout=30)
    with closing(connection):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def fetched(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]
