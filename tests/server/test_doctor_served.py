"""The doctor on running Tritons: one as `sextant serve` starts it, one that is open to everybody."""

from __future__ import annotations

import os
import select
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
import psutil
import pytest
from tritonclient.utils import InferenceServerException

from embedded_calls import ask
from embedded_models import rows, write_python
from examined import names, open_triton, started
from sextant.errors import AccessDenied
from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.checks import SERVER
from sextant_cli.doctor.examination import SKIPPED, Subjects, examine
from sextant_cli.doctor.machine.here import Here
from sextant_cli.doctor.server.control import CONTROL_OPEN
from sextant_cli.doctor.server.doors import CALLS, CONTROL
from sextant_cli.doctor.server.load import CORES
from sextant_cli.doctor.server.metrics import FAILURES, METRICS
from sextant_cli.doctor.server.models import MODELS
from sextant_cli.doctor.server.naming import Named
from sextant_cli.doctor.server.process import option
from sextant_cli.doctor.server.stubs import DEAD, NUMPY
from sextant_cli.doctor.server.triton import reach
from sextant_cli.doctor.settings.told import Told
from sextant_export.settings import Settings
from sextant_server.preflight import Machine
from strangers import stranger

pytestmark = [pytest.mark.server, pytest.mark.alone]

OTHERS = [check.name for check in SERVER]
MODELS_SERVED = ["echo", "broken"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("doctor")
    write_python(store, "echo", instances=2)
    write_python(store, "broken", source="raise ValueError('no weights')\n")
    return store


@pytest.fixture(scope="module")
def triton_store(store):
    return store


@pytest.fixture(scope="module")
def triton(triton_store):
    """As `sextant serve` starts it."""
    from sextant_server import EmbeddedTriton

    with EmbeddedTriton(triton_store, models=MODELS_SERVED) as server:
        yield server


@pytest.fixture
def opened(tmp_path):
    """One without restrictions, for each test: some kill what it runs."""
    write_python(tmp_path, "echo", instances=2)
    with open_triton(tmp_path, ["echo"]) as server:
        yield server


def named(triton, **changes):
    address = triton.address
    facts = {
        "grpc": address.grpc,
        "http": address.http,
        "metrics": f"{address.metrics}/metrics",
        "token": address.token,
    }
    return Named(**(facts | changes))


def examined(server):
    """The report on *server*, and on nothing else."""
    here = Here(machine=Machine.here())
    subjects = Subjects(here=here, told=Told(settings=Settings(), registry=""), servers=[server])
    return examine(subjects)


def of_server(report, server):
    return [(finding.check, finding.severity) for finding in report.findings if server.url == finding.where]


def test_the_embedded_triton_has_known_flaws_and_no_open_door(triton):
    """It is the version that is critical, and a model that cannot be loaded that is a warning."""
    server = reach(named(triton))

    report = examined(server)

    assert of_server(report, server) == [("version", "critical"), ("models", "warning")]
    assert {each.check for each in report.not_made if each.where == server.url} == {"drift"}
    assert {"open-control", "exposed", "dead-processes", "numpy-served", "metrics"} <= {
        each.check for each in report.passed
    }


def test_the_reason_of_a_model_is_said_in_plain_words(triton):
    (found,) = MODELS.look(reach(named(triton)))

    assert "model broken version 1 is unavailable: ValueError: no weights" in found.found


def test_without_the_token_less_is_seen_and_that_is_said(triton):
    """The index is not read, so that nothing is passed that rests on it."""
    server = reach(named(triton, token=None))

    with pytest.raises(AccessDenied):
        list(MODELS.look(server))
    with pytest.raises(AccessDenied):
        list(DEAD.look(server))
    assert list(CONTROL_OPEN.look(server)) == []


def test_an_open_triton_is_found_over_both_protocols_with_the_flag_to_add(opened):
    over_grpc, over_http = CONTROL_OPEN.look(reach(named(opened, token=None)))

    assert (over_grpc.severity, over_http.severity) == ("critical", "critical")
    assert over_grpc.where == opened.address.grpc
    assert over_grpc.found == "model-repository, shared-memory, trace, logging answer without a token"
    restricted = "model-repository,shared-memory,trace,logging:sextant-token=TOKEN"
    assert over_grpc.change == f"start it with --grpc-restricted-protocol={restricted}"
    assert over_http.change == f"start it with --http-restricted-api={restricted}"


def test_a_repository_that_nobody_may_load_from_is_a_note(tmp_path):
    """Its index tells the names of models and no more; what restricts the other groups stays."""
    write_python(tmp_path, "echo")

    def without_control(line):
        kept = [word for word in line if not word.startswith("--load-model")]
        return [word.replace("explicit", "none").replace("=model-repository,", "=") for word in kept]

    with started(tmp_path, ["echo"], without_control) as triton:
        found = list(CONTROL_OPEN.look(reach(named(triton))))

    assert [finding.severity for finding in found] == ["note", "note"]
    assert found[0].found == "model-repository answer without a token"
    assert found[0].change.endswith(", or with --model-control-mode=none")


def test_an_http_side_that_nobody_knows_is_not_passed(opened):
    """Its gRPC side is reported, and that the other was not seen."""
    found = []

    with pytest.raises(NotMade, match="not over HTTP: where it listens is not known: add --server http://host:8000"):
        found.extend(CONTROL_OPEN.look(reach(Named(grpc=opened.address.grpc))))

    assert [finding.where for finding in found] == [opened.address.grpc]


def test_the_http_side_alone_says_as_much(opened):
    server = reach(Named(http=opened.address.http, metrics=f"{opened.address.metrics}/metrics"))

    report = examined(server)

    assert ("version", "critical") in names(report.findings)
    assert server.url == opened.address.http
    assert next(each.reason for each in report.not_made if each.check == "open-control").startswith("not over gRPC")
    assert [config.name for config, _ in server.loaded] == ["echo"]


def test_a_model_whose_processes_are_gone_is_found_and_so_are_its_failures(opened):
    """READY all the while: Triton starts no second one."""
    server = reach(named(opened))
    before = list(DEAD.look(server)), list(FAILURES.look(server))
    stubs = psutil.Process(opened.address.pid).children(recursive=True)
    for stub in stubs:
        ended = os.pidfd_open(stub.pid)
        stub.kill()
        assert select.select([ended], [], [], 20)[0]  # nobody reaps it, so that its process id stays
        os.close(ended)

    (dead,) = DEAD.look(reach(named(opened)))
    (failing,) = _failures(opened, server)

    assert before == ([], [])
    assert dead.severity == "critical"
    assert "model echo is READY, and its Python process echo_0_0, echo_0_1 has ended" in dead.found
    assert (failing.severity, failing.found.startswith("model echo failed ")) == ("warning", True)


def _failures(triton, server):
    """What the metrics say once requests failed; they lag a little."""
    for _ in range(200):
        with suppress(InferenceServerException):
            ask(triton, "echo", rows(1))
        if found := list(FAILURES.look(server)):
            return found
    raise AssertionError("no failure was counted")


def test_metrics_that_are_not_there_are_a_warning_with_the_flag(triton):
    """What answers at another port, or nothing at all, is no metrics page."""
    (silent,) = METRICS.look(reach(named(triton, metrics="http://127.0.0.1:9/metrics")))
    (other,) = METRICS.look(reach(named(triton, metrics=f"{triton.address.http}/v2")))

    assert (silent.severity, other.severity) == ("warning", "warning")
    assert "Connection refused" in silent.found
    assert "--allow-metrics=true --metrics-address=127.0.0.1" in silent.change
    assert "nv_inference_request_success" in other.found


def test_the_process_of_a_local_triton_tells_its_options_and_its_numpy(triton):
    server = reach(named(triton))

    assert server.process.pid == triton.address.pid
    assert option(server.process, "model-control-mode") == "explicit"
    assert option(server.process, "no-such-option") is None
    assert list(NUMPY.look(server)) == []
    assert {finding.severity for finding in CORES.look(server)} <= {"note", "warning"}


def test_a_skipped_check_is_not_passed(triton):
    server = reach(named(triton))
    subjects = Subjects(
        here=Here(machine=Machine.here()), told=Told(settings=Settings(), registry=""), servers=[server]
    )

    report = examine(subjects, skip=OTHERS)

    assert of_server(report, server) == []
    assert [each.check for each in report.not_made if each.reason == SKIPPED] == OTHERS


def test_everything_that_it_asks_of_a_server_only_reads(opened):
    """Every call goes through a wire tap: none is outside the table that the documentation prints."""
    with tapped_grpc(opened) as (grpc_url, methods), tapped_http(opened) as (http_url, requests):
        for doors in ({"grpc": grpc_url, "http": http_url}, {"http": http_url}):
            server = reach(Named(**doors, token="any"))
            examined(server)
            assert server.loaded

    harmless = {f"/inference.GRPCInferenceService/{call.grpc}" for call in CALLS.values()}
    paths = {(call.http, call.path.replace("NAME", "echo").replace("N/", "1/")) for call in CALLS.values()}
    assert {f"/inference.GRPCInferenceService/{CALLS[group].grpc}" for group in CONTROL} <= set(methods) <= harmless
    assert {(CALLS[group].http, CALLS[group].path) for group in CONTROL} <= set(requests) <= paths


@contextmanager
def tapped_grpc(triton):
    """A gRPC server that passes every call on, byte by byte, and notes its method."""
    methods = []
    channel = grpc.insecure_channel(triton.address.grpc.removeprefix("grpc://"))

    class Tap(grpc.GenericRpcHandler):
        def service(self, details):
            methods.append(details.method)
            return grpc.unary_unary_rpc_method_handler(lambda message, _: channel.unary_unary(details.method)(message))

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Tap()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}", methods
    finally:
        server.stop(None).wait()
        channel.close()


@contextmanager
def tapped_http(triton):
    """The same over HTTP."""
    asked = []

    def passed_on(request):
        asked.append((request.command, request.path))
        again = urllib.request.Request(f"{triton.address.http}{request.path}", method=request.command)
        try:
            with urllib.request.urlopen(again) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read()

    with stranger(passed_on) as place:
        yield f"http://{place}", asked
