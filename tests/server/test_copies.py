"""Copies of a store, on a disk and in a real S3 server: loadable at every instant, and what differs is found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from moto.server import ThreadedMotoServer

from copied_store import NAME, Here, everything, publish, times, wire
from embedded_calls import ask
from embedded_models import rows
from sextant.errors import MissingExtra, StoreError
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.copies import StoreCopy
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.server


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store").prepare()
    publish(store, 1)
    wire(store, 1)
    return store


@pytest.fixture(scope="module")
def s3():
    """A real S3 server on loopback, with a bucket named ``models``; gives what the environment must say."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    fsspec.filesystem("s3", key="key", secret="secret", endpoint_url=address, skip_instance_cache=True).mkdir("models")
    yield {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": address}
    server.stop()


@pytest.fixture
def account(s3, monkeypatch):
    """The environment in which fsspec finds the server and its credentials."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(account, tmp_path):
    """The address of a copy of the test's own."""
    return f"s3://models/{tmp_path.name}/a"


@pytest.fixture(params=["disk", "s3"])
def here(request, tmp_path):
    return Here(f"file://{tmp_path}/copy" if request.param == "disk" else request.getfixturevalue("bucket"))


def bring_all(here, store):
    return sum(here.copy.bring(store, model) for model in store.configs())


def test_a_copy_equals_its_store(here, store):
    """Models and notes, never receipts; twice the same is nothing to send."""
    sent, again = bring_all(here, store), bring_all(here, store)

    assert (sent, again) == (5, 0)
    notes = [f"digests/{model}/files.json" for model in ("front", NAME)]
    assert here.files() == notes + [f"models/{name}" for name in everything(store)]
    assert here.copy.differing(store) == here.copy.differing(store, read=True) == ()


def test_one_changed_byte_is_found_and_mended(here, store):
    """Changed behind the copy's back, at the same length."""
    bring_all(here, store)
    whole = here.read(f"{NAME}/1/model.onnx")
    here.write(f"{NAME}/1/model.onnx", whole[:-1] + bytes([whole[-1] ^ 1]))

    differing = here.copy.differing(store)
    sent = here.copy.bring(store, NAME)

    assert (differing, sent) == ((NAME,), 1)
    assert here.read(f"{NAME}/1/model.onnx") == whole
    assert here.copy.differing(store, read=True) == ()


def test_what_a_disk_lost_without_a_trace_is_found_by_reading(store, tmp_path):
    """The time stamp is as it was; who asks for it has every byte read."""
    here = Here(str(tmp_path / "copy"))
    bring_all(here, store)
    weights = tmp_path / "copy/models" / NAME / "1/model.onnx"
    times_before = weights.stat().st_atime_ns, weights.stat().st_mtime_ns
    with weights.open("r+b") as stream:
        stream.write(b"\xff")
    os.utime(weights, ns=times_before)

    assert here.copy.differing(store) == ()
    assert here.copy.differing(store, read=True) == (NAME,)


def test_what_is_missing_and_what_is_too_many_is_found_and_mended(here, store):
    """A model nobody knows is drift as well."""
    bring_all(here, store)
    here.fs.rm_file(f"{here.root}/models/front/1/.keep")
    here.write(f"{NAME}/9/model.onnx", b"of another store")
    here.write("stranger/config.pbtxt", b"")

    differing = here.copy.differing(store)
    for model in differing:
        here.copy.bring(store, model)

    assert differing == ("front", "stranger", NAME)
    assert here.models() == everything(store)


def test_a_copy_without_its_notes_is_read(here, store):
    """A note is a memory, never the truth: nothing is sent again because it is lost or broken."""
    bring_all(here, store)
    here.fs.pipe_file(f"{here.root}/digests/front/files.json", b"[1]")
    here.fs.rm_file(f"{here.root}/digests/{NAME}/files.json")

    assert here.copy.differing(store) == ()
    assert bring_all(here, store) == 0
    assert [f"digests/{model}/files.json" for model in ("front", NAME)] == here.files()[:2]


def test_what_the_store_has_no_more_leaves_the_copy(here, store):
    """The old version after the configuration that named it; a model whole."""
    publish(store, 2)
    bring_all(here, store)
    wire(store, 2)
    store.narrow()
    for path in sorted((store.models / NAME / "1").iterdir()):
        path.unlink()
    (store.models / NAME / "1").rmdir()
    sent = here.copy.bring(store, NAME)
    left = here.models()
    here.copy.remove("front")
    here.copy.remove("front")

    assert sent == 1
    assert left == [f"front/{name}" for name in ("1/.keep", "config.pbtxt")] + [
        f"{NAME}/{name}" for name in ("2/labels.txt", "2/model.onnx", "config.pbtxt")
    ]
    assert {name.partition("/")[0] for name in here.models()} == {NAME}


def test_an_interrupted_copy_can_be_loaded_and_is_completed(here, store, tmp_path):
    """Stopped after each file in turn: of a model that is not there yet, then of one more version, each with a twin."""
    for files in range(1, 5):
        for version in (1, 2):
            publish(store, version, twin=True, name=f"new{files}")
            with pytest.raises(StoreError, match="Interrupted.*the same command again"):
                here.copy.bring(store, f"new{files}", progress=_stopping_after(files))
            here.require_loadable(store, tmp_path)
            here.copy.bring(store, f"new{files}")
            here.require_loadable(store, tmp_path)

    assert here.models() == [name for name in everything(store) if name.startswith("new")]
    assert here.copy.differing(store, read=True) == ("front", NAME)


KILLED = """
import os, signal, sys
from pathlib import Path
from sextant_export.store import Store
from sextant_promote.copies import StoreCopy

def dies(done, total, what):
    os.kill(os.getpid(), signal.SIGKILL)

StoreCopy(sys.argv[1]).bring(Store(Path(sys.argv[2])), "times", progress=dies)
"""


def test_a_killed_copy_is_completed_by_the_next(here, store, tmp_path):
    """Killed for good in the middle of its first file: no lock, no half file, nothing left over."""
    run = subprocess.run([sys.executable, "-c", KILLED, here.url, str(store.root)])
    here.require_loadable(store, tmp_path)
    bring_all(here, store)

    assert run.returncode == -signal.SIGKILL
    assert here.models() == everything(store)
    assert not [name for name in here.files() if "partial" in name]


def test_progress_is_told_in_bytes(here, store):
    told = []

    here.copy.bring(store, NAME, progress=lambda *step: told.append(step))

    total = sum(path.stat().st_size for path in (store.models / NAME).rglob("*") if path.is_file())
    assert told[-1] == (total, total, NAME)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_several_may_bring_the_same_at_once(here, store):
    """Two pipelines share a member, and each promotion brings it."""
    copies = [StoreCopy(here.url) for _ in range(3)]

    with ThreadPoolExecutor(3) as pool:
        sent = sorted(pool.map(lambda copy: copy.bring(store, NAME), copies))

    assert sent == [0, 0, 3]


def test_a_touched_configuration_is_the_same_and_newer(here, store):
    bring_all(here, store)
    config = f"{here.root}/models/front/config.pbtxt"
    before, stamp = here.read("front/config.pbtxt"), here.fs.modified(config)

    here.copy.touch("front")

    assert here.read("front/config.pbtxt") == before
    assert here.fs.modified(config) >= stamp
    assert here.copy.differing(store) == ()


class Liar(MemoryFileSystem):
    """A storage that keeps other bytes than it was given, as often as *lies* says."""

    protocol = "liar"
    store, pseudo_dirs = {}, [""]
    lies = 0

    def put_file(self, lpath, rpath, **kwargs):
        content = Path(lpath).read_bytes()
        if Liar.lies > 0 and rpath.endswith("model.onnx"):
            Liar.lies -= 1
            content = content[:-1]
        self.pipe_file(rpath, content)


@pytest.fixture
def liar():
    fsspec.register_implementation("liar", Liar, clobber=True)
    Liar.store.clear()
    return StoreCopy("liar://bucket/copy")


def test_bytes_that_arrive_changed_are_sent_once_more(liar, store):
    Liar.lies = 1

    assert liar.bring(store, NAME) == 3
    assert liar.differing(store) == ("front",)


def test_bytes_that_keep_arriving_changed_are_an_error(liar, store):
    """And the configuration that would name them is not sent."""
    Liar.lies = 2

    with pytest.raises(
        StoreError, match=r"times/1/model.onnx: expected the bytes with SHA-256 \w{16}, got \w{16} back, 2"
    ):
        liar.bring(store, NAME)

    assert not [path for path in Liar.store if path.endswith("config.pbtxt")]


def test_a_storage_that_is_away_or_refuses_is_one_sentence(store, account):
    """The bucket is nobody's, then the server is gone."""
    no_retries = {"config_kwargs": {"retries": {"max_attempts": 0}}, "endpoint_url": "http://127.0.0.1:9"}
    away = StoreCopy("s3://bucket/copy", no_retries)

    with pytest.raises(StoreError, match="nobucket/copy cannot be read or written: .*bucket does not exist"):
        StoreCopy("s3://nobucket/copy").bring(store, NAME)
    with pytest.raises(StoreError, match=r"s3://bucket/copy cannot .*127\.0\.0\.1:9/.*check address and credentials"):
        away.bring(store, NAME)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)

    with pytest.raises(MissingExtra, match=r"gs://bucket/copy needs an extra: pip install 'triton-sextant\[gcs\]'"):
        StoreCopy("gs://bucket/copy")


@pytest.mark.parametrize("url", ["ftq://host/copy", "abfs://container/copy"])
def test_a_scheme_that_nothing_here_knows_is_refused(url, monkeypatch):
    monkeypatch.setitem(sys.modules, "adlfs", None)

    with pytest.raises(StoreError, match=f"{url}: expected a folder, file://"):
        StoreCopy(url)


def test_a_triton_serves_from_a_copy(store, tmp_path, bucket):
    """Loaded, wired to another version, damaged, found, mended; at last a model that comes from a bucket."""
    here = Here(str(tmp_path / "copy"))
    bring_all(here, store)
    with (
        EmbeddedTriton(tmp_path / "copy", models=["front"]) as triton,
        Control(triton.address.grpc, triton.address.token) as control,
    ):
        first = ask(triton, "front", rows(3))
        publish(store, 2)
        wire(store, 2)
        for model in (NAME, "front"):
            here.copy.bring(store, model)
            control.load(model)
        second = ask(triton, "front", rows(3))
        (tmp_path / "copy/models" / NAME / "2/model.onnx").write_bytes(times(5))
        found = here.copy.differing(store)
        control.load(NAME)
        damaged = ask(triton, "front", rows(3))
        here.copy.bring(store, NAME)
        control.load(NAME)
        mended = ask(triton, "front", rows(3))
        left = here.copy.differing(store)
        publish(store, 7, name="seven")
        there = Here(bucket)
        there.copy.bring(store, "seven")
        there.fs.get(f"{there.root}/models/seven/", f"{tmp_path}/copy/models/seven/", recursive=True)
        control.load("seven")
        downloaded = ask(triton, "seven", rows(3))

    np.testing.assert_allclose(first, rows(3))
    np.testing.assert_allclose(second, 2 * rows(3))
    np.testing.assert_allclose(damaged, 5 * rows(3))
    np.testing.assert_allclose(mended, 2 * rows(3))
    np.testing.assert_allclose(downloaded, 7 * rows(3))
    assert (found, left) == ((NAME,), ())


def _stopping_after(limit):
    """A progress that has enough when it was told *limit* times."""
    told = []

    def progress(*step):
        told.append(step)
        if len(told) == limit:
            raise Interrupted

    return progress


class Interrupted(Exception):
    """As whatever may happen on the way."""
