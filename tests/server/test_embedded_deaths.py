"""However a server, one of its Python processes or its launcher ends: noticed, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from embedded_calls import ask
from embedded_models import doubling, rows, write_onnx, write_python
from sextant.errors import ServerDied, ServerUnreachable
from sextant_server import EmbeddedTriton, read_address
from sextant_server.stubs import living_stubs

pytestmark = [pytest.mark.server, pytest.mark.alone]

LAUNCHER = """
import signal, sys
from sextant_server import EmbeddedTriton

triton = EmbeddedTriton(sys.argv[1], models=["echo"]).start()
print(triton.address.pid, flush=True)
signal.pause()
"""

SERVE = """
import sys
from sextant_server.serve import serve

serve(sys.argv[1], models=["echo", "broken"], tell=lambda line: print(line, flush=True))
"""


@pytest.fixture
def store(tmp_path):
    write_python(tmp_path, "echo", instances=2)
    write_python(tmp_path, "other")
    return tmp_path


def _processes(server_pid):
    server = psutil.Process(server_pid)
    return [server, *server.children(recursive=True)]


@pytest.fixture
def start(store):
    """Starts a program that launches a Triton on the store; ends it after the test."""
    started = []

    def start_program(program):
        command = [sys.executable, "-c", program, str(store)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, start_new_session=True, **pipes))
        return started[-1]

    yield start_program
    for process in started:
        process.kill()
        process.communicate()


def _alive(processes):
    """Those that do not end; the kernel may take a moment to bury those that do."""
    return psutil.wait_procs(processes, timeout=20)[1]


def _lines_until(process, words):
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if words in line:
            return lines
    raise AssertionError(lines)


def test_a_killed_server_is_noticed_and_cleared_away(store, regions):
    triton = EmbeddedTriton(store, models=["echo"]).start()
    processes = _processes(triton.address.pid)
    processes[0].kill()

    with pytest.raises(ServerDied, match="tritonserver was ended by SIGKILL"):
        triton.wait_ready()
    with pytest.raises(ServerDied, match="tritonserver was ended by SIGKILL"):
        triton.check()
    triton.stop()

    assert not _alive(processes)
    assert not regions()
    assert not (store / "server.json").exists()


def test_a_store_whose_server_died_is_served_again(store):
    with EmbeddedTriton(store, models=["echo"]) as triton:
        psutil.Process(triton.address.pid).kill()
        triton.stop()
        triton.start()

        assert ask(triton, "echo", rows(1)).shape == (1, 2)


@pytest.mark.parametrize(("model", "instance"), [("echo", "echo_0_1"), ("double", "double_0_0")])
def test_a_killed_python_process_is_named_with_its_model(store, model, instance):
    write_onnx(store, "double", doubling(), instances=2)
    with EmbeddedTriton(store, models=["echo", "other", "double"]) as triton:
        (stub,) = (child for child in _processes(triton.address.pid)[1:] if instance in child.cmdline())
        stub.kill()

        with pytest.raises(ServerDied, match=f"model '{model}': its Python process {instance} has ended"):
            triton.check()


def test_a_dead_python_process_does_not_hold_up_the_stop(store, regions):
    triton = EmbeddedTriton(store, models=["echo"], stop_timeout_s=3).start()
    processes = _processes(triton.address.pid)
    processes[1].kill()

    triton.stop()

    assert not _alive(processes)
    assert not regions()


def test_a_model_reloaded_after_its_death_is_healthy(store):
    with EmbeddedTriton(store, models=["echo"]) as triton:
        for stub in _processes(triton.address.pid)[1:]:
            stub.kill()
        triton.unload("echo")
        triton.load("echo")

        triton.check()
        assert len(living_stubs(triton.address.pid)) == 2


def test_the_server_outlives_the_thread_that_started_it(store):
    triton = EmbeddedTriton(store, models=["echo"])
    starter = threading.Thread(target=triton.start)
    starter.start()
    starter.join()

    answer = ask(triton, "echo", rows(1))
    triton.stop()

    assert answer.shape == (1, 2)


def test_the_server_does_not_outlive_a_killed_launcher(start, regions):
    launcher = start(LAUNCHER)
    processes = _processes(int(launcher.stdout.readline()))
    launcher.kill()
    launcher.wait()

    assert not _alive(processes)
    assert not regions(launcher.pid)


def test_a_start_sweeps_what_a_killed_launcher_and_server_left(start, store, regions):
    launcher = start(LAUNCHER)
    processes = _processes(int(launcher.stdout.readline()))
    for process in (psutil.Process(launcher.pid), *processes):
        process.kill()
    launcher.wait()
    psutil.wait_procs(processes, timeout=10)
    left = regions(launcher.pid)

    with EmbeddedTriton(store):
        pass

    assert left
    assert not regions(launcher.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_with_a_signal_and_leaves_nothing(start, store, regions, number):
    write_python(store, "broken", source="raise RuntimeError('no weights')")
    command = start(SERVE)
    greeting = "\n".join(_lines_until(command, "Ctrl-C"))
    address = read_address(store)
    processes = _processes(address.pid)

    os.killpg(command.pid, number)  # as a terminal does, to the whole group
    rest = command.communicate(timeout=30)[0]

    assert address.grpc in greeting
    assert "serving  echo" in greeting
    assert "NOT served: broken: RuntimeError: no weights" in greeting
    assert rest.splitlines()[-1] == "stopped"
    assert command.returncode == 0
    assert not _alive(processes)
    assert not regions(command.pid)


def test_serving_ends_with_its_server(start, store):
    command = start(SERVE)
    _lines_until(command, "Ctrl-C")

    os.kill(read_address(store).pid, signal.SIGKILL)
    errors = command.communicate(timeout=30)[1]

    assert command.returncode == 1
    assert "ServerDied: tritonserver was ended by SIGKILL" in errors


def test_serving_tells_of_a_dead_model_and_serves_the_others(start, store):
    command = start(SERVE)
    _lines_until(command, "Ctrl-C")
    _processes(read_address(store).pid)[1].kill()

    told = _lines_until(command, "has ended")[-1]
    command.send_signal(signal.SIGTERM)
    command.communicate(timeout=30)

    assert told.startswith("model 'echo': its Python process echo_0_")


def test_a_stopped_store_is_served_by_nothing(store):
    with EmbeddedTriton(store):
        pass

    with pytest.raises(ServerUnreachable, match="nothing serves this store"):
        read_address(store)
