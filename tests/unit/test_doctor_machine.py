"""What this machine lacks, told by figures that were measured once."""

from __future__ import annotations

import platform
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from examined import said
from sextant.environment import Difference
from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.demand import Demand, demand
from sextant_cli.doctor.machine import ports
from sextant_cli.doctor.machine.clock import CLOCK, kernel_clock
from sextant_cli.doctor.machine.cores import cores, quota
from sextant_cli.doctor.machine.embedded import EMBEDDED
from sextant_cli.doctor.machine.extras import EXTRAS, judged, requirements
from sextant_cli.doctor.machine.here import Here, memory_free
from sextant_cli.doctor.machine.room import CORES, FILES, MEMORY
from sextant_cli.doctor.machine.shared_memory import ORPHANS, SIZE
from sextant_cli.doctor.server.load import FILES as FILES_SERVED
from sextant_server.ports import Ports
from sextant_server.preflight import Machine
from sextant_server.shared_memory import SHARED_MEMORY

MIB, GIB = 1 << 20, 1 << 30
MACHINE = Machine(
    system="Linux", processor="x86_64", python=sys.version_info[:2], numpy="1.26.4", libpython=Path("/lib/libpython")
)
HERE = Here(
    machine=MACHINE, cores=8, memory_free=8 * GIB, shared_total=GIB, shared_free=GIB, files=65536, asked=Demand()
)
PLENTY = Demand(processes=12, threads=40, shared_bytes=100 * MIB)


def severities(check, here):
    return [finding.severity for finding in check.look(here)]


@pytest.fixture(scope="module")
def measured():
    return Here.measured()


def test_this_machine_is_measured(measured):
    """Its figures are there, whatever they are, and nothing is asked of it without a store."""
    assert measured.machine.system == platform.system()
    assert measured.cores >= 1
    assert measured.memory_free > 0
    assert 0 < measured.shared_free <= measured.shared_total
    assert measured.demand == Demand()


@pytest.mark.parametrize(
    ("limit", "free"), [("3000000", 1_500_000), ("1000000", 0), ("max", None), (None, None)], ids=str
)
def test_memory_is_what_the_container_grants(tmp_path, monkeypatch, limit, free):
    """Files that it has read are dropped when a program wants the room."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=GIB))
    if limit:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    (tmp_path / "memory.stat").write_text("anon 1500000\ninactive_file 500000\n")

    assert memory_free(tmp_path) == (GIB if free is None else free)


@pytest.mark.parametrize(
    ("lack", "severity", "words"),
    [
        ({"numpy": "2.1.0"}, "critical", "silently corrupts tensors"),
        ({"libpython": None}, "warning", "no shared library libpython"),
        ({"system": "Darwin"}, "note", "runs on Linux x86-64 only"),
    ],
)
def test_what_keeps_the_embedded_triton_from_running_is_found(measured, lack, severity, words):
    """NumPy 2 is the worst: a model would be READY, and wrong."""
    (found,) = EMBEDDED.look(replace(measured, machine=replace(MACHINE, **lack)))

    assert (found.severity, words in found.found) == (severity, True)
    assert found.change


def test_a_machine_without_a_triton_is_told_how_to_get_one():
    (found,) = EMBEDDED.look(replace(HERE, absent="the embedded Triton needs an extra: pip install 'x[server]'"))

    assert (found.severity, found.change) == ("note", "pip install 'x[server]'")


def test_the_extras_of_this_environment_are_judged():
    """What the test suite itself runs in has what each command asks for, or says what it lacks."""
    assert "click>=8.1" in set(requirements("cli"))
    assert {finding.severity for finding in EXTRAS.look(HERE)} <= {"note"}


def test_an_extra_that_is_missing_is_a_note_and_another_version_a_warning():
    lacking = Difference(missing=("locust>=2.40",), major=("numpy<2 wanted, 2.1 there",))

    note, warning = judged("loadtest", "sextant loadtest", lacking)

    assert (note.severity, warning.severity) == ("note", "warning")
    assert "locust>=2.40" in note.found
    assert warning.change == "pip install 'triton-sextant[loadtest]'"


@pytest.mark.parametrize(
    ("here", "found"),
    [
        (HERE, []),
        (replace(HERE, shared_total=64 * MIB, shared_free=64 * MIB), ["note"]),
        (replace(HERE, shared_total=64 * MIB, shared_free=60 * MIB, asked=PLENTY), ["warning"]),
    ],
    ids=["enough", "docker's default", "too little"],
)
def test_shared_memory_is_held_against_what_the_models_ask(here, found):
    assert severities(SIZE, here) == found


@pytest.mark.parametrize(
    ("check", "here", "found"),
    [
        (CORES, HERE, []),
        (CORES, replace(HERE, asked=Demand(threads=9)), ["note"]),
        (CORES, replace(HERE, asked=PLENTY), ["warning"]),
        (MEMORY, replace(HERE, asked=PLENTY), []),
        (MEMORY, replace(HERE, asked=PLENTY, memory_free=100 * MIB), ["warning"]),
        (FILES, HERE, []),
        (FILES, replace(HERE, files=1024), ["note"]),
    ],
)
def test_cores_memory_and_files_are_held_against_what_the_models_ask(check, here, found):
    """40 threads on 8 cores are too many, 9 are worth a word."""
    assert severities(check, here) == found


def test_where_the_store_cannot_be_read_nothing_is_passed():
    for check in (CORES, MEMORY, SIZE):
        with pytest.raises(NotMade, match="cannot be read"):
            list(check.look(replace(HERE, asked=None)))


def test_models_ask_by_their_instances_threads_and_batches():
    """Two versions of two instances of three threads; an ensemble asks for nothing; a GPU's are not counted."""
    forest = ModelConfig(name="forest", backend="onnxruntime", max_batch_size=4)
    forest.instance_group.add(count=2, kind="KIND_CPU")
    forest.instance_group.add(count=8, kind="KIND_GPU")
    forest.parameters["intra_op_thread_count"].string_value = "3"
    forest.input.add(name="x", data_type="TYPE_FP32", dims=[10])
    front = ModelConfig(name="locate", platform="ensemble")

    asked = demand([(forest, 2), (front, 1)], cores=8)

    assert asked == Demand(processes=4, threads=12, shared_bytes=4 * (MIB + 4 * 10 * 4))


def test_an_onnx_model_that_says_no_threads_takes_every_core_for_each_instance():
    forest = ModelConfig(name="forest", backend="onnxruntime")
    forest.instance_group.add(count=2, kind="KIND_CPU")

    assert demand([(forest, 1)], cores=8).threads == 16


@pytest.mark.parametrize(
    ("limit", "opened", "found"),
    [(65536, 10, []), (1024, 10, ["note"]), (1024, 900, ["warning"]), (65536, 60000, ["warning"])],
)
def test_a_server_that_comes_near_its_number_of_files_is_a_warning(limit, opened, found):
    process = SimpleNamespace(rlimit=lambda _: (limit, limit), num_fds=lambda: opened)

    assert severities(FILES_SERVED, said("2.72.0", process=process)) == found


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_container_has_the_cores_that_its_control_group_grants(tmp_path, files, granted):
    """In both layouts that Linux has had; no limit is no limit."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert quota(tmp_path) == granted
    assert cores(range(16), tmp_path) == (granted or 16)


def test_a_usual_port_that_somebody_else_has_is_named_with_his_program(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(ports, "USUAL", Ports(http=taken, grpc=1, metrics=2))
        (found,) = ports.PORTS.look(HERE)
        monkeypatch.setattr(ports, "PROGRAM", psutil.Process().name())
        own = list(ports.PORTS.look(HERE))

    assert own == []
    assert (found.where, found.severity) == (f"port {taken}", "note")
    assert "http port is taken by " in found.found


def test_the_clock_is_read_and_never_set():
    state = kernel_clock()

    assert state is None or 0 <= state <= 5
    assert len(list(CLOCK.look(HERE))) <= 1


@pytest.mark.alone
def test_regions_that_no_process_maps_are_told_and_left_where_they_are():
    """A region with an unknown owner, as a Triton that was killed leaves it."""
    region = SHARED_MEMORY / "triton_python_backend_shm_region_0_doctor_test"
    region.write_bytes(bytes(MIB))
    try:
        told = [finding for finding in ORPHANS.look(HERE) if region.name in finding.found or "more" in finding.found]

        assert [finding.severity for finding in told] == ["note"]
        assert region.exists()
    finally:
        region.unlink()
