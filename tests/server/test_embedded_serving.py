"""The embedded Triton serves a store: what loads, who may control it, what it says of what does not load."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

import numpy as np
import psutil
import pytest
from tritonclient.utils import InferenceServerException

from embedded_calls import ask, connect
from embedded_models import doubling, rows, write_config, write_ensemble, write_onnx, write_python
from sextant.errors import LaunchRefused, ServerError
from sextant_server import EmbeddedTriton, embedded, read_address
from sextant_server.ports import Ports

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("served") / "store"
    write_python(store, "echo", instances=2)
    write_onnx(store, "double", doubling())
    write_ensemble(store, "locate", "double")
    write_python(store, "broken", source="raise RuntimeError('no weights')")
    write_config(store, "unparsable", "no such field: 1")
    return store


@pytest.fixture(scope="module")
def served(store):
    with EmbeddedTriton(store, models=["echo", "double", "broken", "unparsable", "absent", "a b"]) as triton:
        yield triton


def test_a_python_model_answers(served):
    np.testing.assert_array_equal(ask(served, "echo", rows(3)), rows(3))


def test_an_onnx_model_answers(served):
    np.testing.assert_array_equal(ask(served, "double", rows(3)), 2 * rows(3))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("broken", "RuntimeError: no weights"),
        ("unparsable", "failed to read text proto"),
        ("absent", "there is no such model in the store"),
        ("a b", "whose name holds a space"),
    ],
)
def test_a_model_that_does_not_load_is_named_with_its_reason(served, model, reason):
    assert reason in served.failures[model]


def test_models_that_load_are_no_failures(served):
    assert {"echo", "double"}.isdisjoint(served.failures)


def test_waiting_for_a_broken_model_gives_its_reason(served):
    with pytest.raises(ServerError, match="broken: RuntimeError: no weights"):
        served.wait_ready()


def test_it_listens_on_loopback_only(served):
    server = psutil.Process(served.address.pid)
    connections = server.net_connections("tcp")
    listening = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN]

    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert len({address.port for address in listening}) == 3


def test_it_and_its_models_keep_freed_memory_unless_told_otherwise(served, monkeypatch, tmp_path):
    server = psutil.Process(served.address.pid)
    kept = [process.environ()["MALLOC_TOP_PAD_"] for process in (server, *server.children(recursive=True))]

    monkeypatch.setenv("MALLOC_TOP_PAD_", "4096")
    with EmbeddedTriton(tmp_path / "another", models=[]) as told:
        said = psutil.Process(told.address.pid).environ()["MALLOC_TOP_PAD_"]

    assert len(kept) > 1
    assert {*kept} == {str(16 * 1024 * 1024)}
    assert said == "4096"


def _index_over_http(triton, headers):
    url = f"{triton.address.http}/v2/repository/index"
    request = urllib.request.Request(url, data=b"", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status


def test_control_over_http_asks_for_the_token(served):
    with pytest.raises(urllib.error.HTTPError) as refusal:
        _index_over_http(served, {})
    refusal.value.close()

    assert refusal.value.code == 403
    assert _index_over_http(served, {served.address.header: served.address.token}) == 200


def test_control_over_grpc_asks_for_the_token(served):
    header = f"triton-grpc-protocol-{served.address.header}"
    with connect(served) as client:
        with pytest.raises(InferenceServerException, match="restricted"):
            client.get_model_repository_index()
        index = client.get_model_repository_index(headers={header: served.address.token})

    assert "echo" in {model.name for model in index.models}


def test_internal_shared_memory_is_out_of_reach_without_the_token(served):
    with connect(served) as client, pytest.raises(InferenceServerException, match="restricted"):
        client.register_system_shared_memory("mine", "/triton_python_backend_shm_region", 1)


def test_what_the_client_needs_is_open(served):
    with connect(served) as client:
        assert client.is_server_ready()
        assert client.get_model_config("echo").config.max_batch_size == 8
        assert client.get_inference_statistics("echo").model_stats


def test_its_address_stands_in_the_store(served, store):
    assert read_address(store) == served.address


def test_a_store_is_served_once(served, store):
    with pytest.raises(LaunchRefused, match="is served already, at grpc://127"):
        EmbeddedTriton(store).start()


def test_a_server_runs_once(served):
    with pytest.raises(ServerError, match="already running"):
        served.start()


def test_a_healthy_server_passes_the_check(served):
    assert served.check() is None


def test_loading_a_broken_model_gives_its_reason(served):
    with pytest.raises(ServerError, match="no weights"):
        served.load("broken")


def test_loading_a_name_that_hangs_triton_is_refused(served):
    with pytest.raises(ServerError, match="rename it"):
        served.load("a b")


def test_a_model_mended_on_disk_loads_without_a_restart(served, store):
    write_python(store, "late")

    served.load("late")
    served.wait_ready(["late"])
    answer = ask(served, "late", rows(1))
    served.unload("late")

    np.testing.assert_array_equal(answer, rows(1))


def test_a_server_not_started_has_no_address(store):
    with pytest.raises(ServerError, match="is not running: start it"):
        _ = EmbeddedTriton(store).address


def test_a_restart_serves_the_pipelines_that_were_there(tmp_path):
    write_onnx(tmp_path, "double", doubling())
    write_ensemble(tmp_path, "locate", "double")
    triton = EmbeddedTriton(tmp_path)

    for _ in range(2):
        with triton:
            triton.wait_ready()
            np.testing.assert_array_equal(ask(triton, "locate", rows(2)), 2 * rows(2))

        assert triton.models == ("locate",)


def test_a_stopped_server_leaves_nothing_but_its_log(tmp_path, regions):
    write_python(tmp_path, "echo")

    with EmbeddedTriton(tmp_path, models=["echo"]) as triton:
        pid = triton.address.pid
        while_running = regions()

    assert while_running
    assert not regions()
    assert not psutil.pid_exists(pid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "triton.log"]


def test_what_is_in_flight_is_answered_before_it_stops(tmp_path):
    begun = tmp_path / "begun"
    write_python(tmp_path / "store", "slow", line=f"open('{begun}', 'w').close(); time.sleep(0.5)")
    answers = []

    with EmbeddedTriton(tmp_path / "store", models=["slow"]) as triton:
        caller = threading.Thread(target=lambda: answers.append(ask(triton, "slow", rows(1))))
        caller.start()
        while not begun.exists():
            pass
    caller.join()

    np.testing.assert_array_equal(answers[0], rows(1))


def test_a_models_finalize_runs_before_it_stops(tmp_path):
    proof = tmp_path / "finalized"
    farewell = f"pass\n\n    def finalize(self):\n        open('{proof}', 'w').close()\n"
    write_python(tmp_path / "store", "tidy", source=f"class TritonPythonModel:\n    {farewell}")

    with EmbeddedTriton(tmp_path / "store", models=["tidy"]) as triton:
        triton.wait_ready()

    assert proof.exists()


def test_a_named_port_in_use_is_refused_before_anything_starts(tmp_path, served):
    port = int(served.address.grpc.rpartition(":")[2])

    with pytest.raises(LaunchRefused, match=f"grpc port {port} cannot be had"):
        EmbeddedTriton(tmp_path, grpc_port=port).start()


def test_a_free_port_taken_meanwhile_is_chosen_again(tmp_path, served, monkeypatch):
    taken = int(served.address.http.rpartition(":")[2])
    choices = iter([Ports(taken, taken + 1, taken + 2)])
    choose = embedded.choose_ports
    monkeypatch.setattr(embedded, "choose_ports", lambda wanted: next(choices, None) or choose(wanted))

    with EmbeddedTriton(tmp_path) as triton:
        assert triton.address.http != served.address.http


def test_a_log_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(LaunchRefused, match=r"the log .*triton.log cannot be written"):
        EmbeddedTriton(tmp_path / "store", log=tmp_path / "file" / "triton.log").start()


def test_a_store_in_a_folder_with_a_space_is_refused(tmp_path):
    with pytest.raises(LaunchRefused, match=r"the store is at '.*/my store'"):
        EmbeddedTriton(tmp_path / "my store").start()

    assert not (tmp_path / "my store").exists()


def test_a_server_that_is_too_slow_is_ended(tmp_path, regions):
    write_python(tmp_path, "slow", source="import time\ntime.sleep(60)")

    with pytest.raises(ServerError, match="was not up in 1 s"):
        EmbeddedTriton(tmp_path, models=["slow"], start_timeout_s=1).start()

    assert not regions()
