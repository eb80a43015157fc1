"""What the embedded Triton reads and writes: the store, the address, the log, the shared-memory regions."""

from __future__ import annotations

import mmap
import os
import stat

import pytest

from embedded_models import ended_process
from sextant.errors import LaunchRefused, ServerUnreachable
from sextant_server import ServerAddress, read_address
from sextant_server.address import remove_address
from sextant_server.log import TritonLog, errors, plain
from sextant_server.shared_memory import SHARED_MEMORY, new_prefix, sweep, sweep_orphans
from sextant_server.store import ensembles, every_model, open_store

ADDRESS = ServerAddress(
    grpc="grpc://127.0.0.1:8001",
    http="http://127.0.0.1:8000",
    metrics="http://127.0.0.1:8002",
    token="secret",
    header="sextant-token",
    pid=1,
)


def test_a_new_folder_becomes_a_store_of_its_user_alone(tmp_path):
    store = open_store(tmp_path / "new" / "store")

    assert (store / "models").is_dir()
    assert stat.S_IMODE(store.stat().st_mode) == 0o700


def test_an_empty_folder_becomes_a_store(tmp_path):
    assert (open_store(tmp_path) / "models").is_dir()


def test_a_folder_of_something_else_is_no_store(tmp_path):
    (tmp_path / "holiday.jpg").touch()

    with pytest.raises(LaunchRefused, match=r"holds no models/, so it is no store"):
        open_store(tmp_path)


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(LaunchRefused, match="cannot be used as a store"):
        open_store(tmp_path / "file")


def test_ensembles_are_told_from_other_models_by_their_platform(tmp_path):
    for model, config in {"locate": 'platform: "ensemble"', "forest": 'backend: "onnxruntime"'}.items():
        (tmp_path / "models" / model).mkdir(parents=True)
        (tmp_path / "models" / model / "config.pbtxt").write_text(config)

    assert every_model(tmp_path) == ("forest", "locate")
    assert ensembles(tmp_path) == ("locate",)


def test_the_address_is_readable_by_its_user_alone(tmp_path):
    ADDRESS.write(tmp_path)

    assert stat.S_IMODE((tmp_path / "server.json").stat().st_mode) == 0o600


def test_a_printed_address_hides_its_token():
    assert "secret" not in repr(ADDRESS)


@pytest.mark.parametrize("text", [None, "", "{}", "not json", '{"grpc": 1}'])
def test_a_store_without_a_readable_address_is_served_by_nothing(tmp_path, text):
    if text is not None:
        (tmp_path / "server.json").write_text(text)

    with pytest.raises(ServerUnreachable, match="nothing serves this store: run `sextant serve --store"):
        read_address(tmp_path)


def test_a_process_that_is_not_the_server_does_not_serve_the_store(tmp_path):
    ADDRESS.write(tmp_path)

    with pytest.raises(ServerUnreachable):
        read_address(tmp_path)


def test_a_server_removes_no_address_but_its_own(tmp_path):
    ADDRESS.write(tmp_path)

    remove_address(tmp_path, "another")
    stays = (tmp_path / "server.json").exists()
    remove_address(tmp_path, "secret")

    assert stays
    assert not (tmp_path / "server.json").exists()


def test_the_log_of_the_run_before_is_kept(tmp_path):
    log = TritonLog(tmp_path / "triton.log")
    log.begin()
    log.path.write_text("before")

    log.begin()

    assert log.tail == ""
    assert (tmp_path / "triton.log.1").read_text() == "before"


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    log = TritonLog(tmp_path / "triton.log")
    log.path.write_text("old\n" + "x" * 300_000 + '\nE1122 15:19:14.82 66 a.cc:1] "no space left"\n')

    assert "old" not in log.tail
    assert log.last_errors() == f"no space left\n(log: {log.path})"


def test_harmless_errors_are_not_told():
    text = 'E1122 15:19:14.8 66 server.cc:241] "CudaDriverHelper has not been initialized."\n'

    assert list(errors(text)) == []


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("Internal: out of memory", "out of memory"),
        ("Invalid argument: no such input", "no such input"),
        ("unloaded", "unloaded"),
        ("Internal: E: no\n\nAt:\n  /m/1/model.py(3): initialize\n", "E: no (/m/1/model.py, line 3)"),
    ],
)
def test_a_reason_is_told_without_status_and_stack(reason, sentence):
    assert plain(reason) == sentence


@pytest.fixture
def make_region():
    made = []

    def make(prefix):
        region = SHARED_MEMORY / f"{prefix}test"
        region.write_bytes(b"\0" * mmap.PAGESIZE)
        made.append(region)
        return region

    yield make
    for region in made:
        region.unlink(missing_ok=True)


def _prefix_of(pid):
    return new_prefix().replace(f"_{os.getpid()}_", f"_{pid}_")


def test_a_server_sweeps_exactly_its_own_regions(make_region):
    prefix = new_prefix()
    own, other = make_region(prefix), make_region(new_prefix())

    sweep(prefix)

    assert not own.exists()
    assert other.exists()


def test_regions_of_a_launcher_that_is_gone_are_orphans(make_region):
    orphan, living = make_region(_prefix_of(ended_process())), make_region(new_prefix())

    sweep_orphans()

    assert not orphan.exists()
    assert living.exists()


def test_a_region_that_a_process_still_maps_is_no_orphan(make_region):
    region = make_region(_prefix_of(ended_process()))
    with region.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        sweep_orphans()

    assert region.exists()


def test_regions_of_other_programs_are_left_alone(make_region):
    foreign = make_region("triton_python_backend_shm_region_0000-")

    sweep_orphans()

    assert foreign.exists()
