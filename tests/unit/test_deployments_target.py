"""Where a deployment goes: the target URI, Sextant's settings, and those of NVIDIA's plugin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sextant.errors import AddressRefused, ServerUnreachable, StoreError
from sextant_cli.deployments.target import find_target
from sextant_server.address import ServerAddress

SETTINGS = ("SEXTANT_STORE", "SEXTANT_SERVER", "SEXTANT_TOKEN", "TRITON_URL", "TRITON_MODEL_REPO")
TOKEN = "token-of-a-test"


@pytest.fixture
def settings(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


@pytest.fixture
def served(tmp_path):
    """A store that a living process says it serves; its token stands on that process's command line."""
    import subprocess
    import sys

    store = tmp_path / "served"
    (store / "models").mkdir(parents=True)
    program = [sys.executable, "-c", "print(flush=True); input()", TOKEN]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        address = ServerAddress(
            "grpc://127.0.0.1:40001", "http://127.0.0.1:40000", "http://127.0.0.1:40002", TOKEN, "h", process.pid
        )
        address.write(store)
        yield store
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("uri", "store", "server"),
    [
        ("triton", "var/store", None),
        ("triton:/srv/store", "/srv/store", None),
        ("triton:some/store", "some/store", None),
        ("triton://gpu7:8001", "var/store", "grpc://gpu7:8001"),
        ("triton://gpu7:8001/srv/store", "/srv/store", "grpc://gpu7:8001"),
    ],
)
def test_a_uri_says_store_or_server_or_both(settings, uri, store, server):
    """What it leaves out is the default."""
    target = find_target(uri)

    assert (target.store.root, target.named) == (Path(store), server)


def test_sextants_settings_fill_in_what_the_uri_leaves_out(settings):
    """The URI wins."""
    settings("SEXTANT_STORE", "/srv/store")
    settings("SEXTANT_SERVER", "grpc://gpu7:8001")
    settings("SEXTANT_TOKEN", "secret")
    found, other = find_target("triton"), find_target("triton://gpu8:8001/other")

    assert (found.store.root, found.server) == (Path("/srv/store"), ("grpc://gpu7:8001", "secret"))
    assert (other.store.root, other.server) == (Path("/other"), ("grpc://gpu8:8001", "secret"))


def test_the_server_beside_the_store_is_found_with_its_token(settings, served):
    """As the command line finds it."""
    assert find_target(f"triton:{served}").server == ("grpc://127.0.0.1:40001", TOKEN)


def test_without_a_server_the_sentence_says_how_to_start_one(settings, tmp_path):
    """When one is needed, not before."""
    target = find_target(f"triton:{tmp_path}")

    with pytest.raises(ServerUnreachable, match="run `sextant serve --store"):
        _ = target.server


def test_the_plugins_url_is_http_and_grpc_is_the_next_port(settings, tmp_path):
    """Triton's habit; without a URL, the plugin's default."""
    settings("TRITON_MODEL_REPO", str(tmp_path / "models"))
    default = find_target("triton")
    settings("TRITON_URL", "http://gpu7:9000")

    assert default.server == ("grpc://localhost:8001", None)
    assert find_target("triton").server == ("grpc://gpu7:9001", None)


def test_the_plugins_url_of_the_server_beside_the_store_gets_its_own_grpc_port(settings, served):
    """The embedded server's ports are where there was room."""
    settings("TRITON_MODEL_REPO", str(served / "models"))
    settings("TRITON_URL", "127.0.0.1:40000")

    assert find_target("triton").server == ("grpc://127.0.0.1:40001", TOKEN)


def test_a_models_folder_is_that_of_a_store(settings, tmp_path):
    """The store is the folder around it."""
    settings("TRITON_MODEL_REPO", str(tmp_path / "models"))

    assert find_target("triton").store.root == tmp_path


def test_any_other_repository_gets_a_store_beside_it(settings, tmp_path):
    """Its receipts lie next to it, its models in it."""
    repository = tmp_path / "triton_repo"
    (repository / "somebody_elses").mkdir(parents=True)
    settings("TRITON_MODEL_REPO", str(repository))

    store = find_target("triton").store.prepare()

    assert os.path.realpath(store.models) == str(repository)
    assert sorted(path.name for path in repository.iterdir()) == ["somebody_elses"]
    assert find_target("triton").store == store


def test_a_repository_in_a_bucket_is_refused(settings):
    """Until stores are more than folders."""
    settings("TRITON_MODEL_REPO", "s3://bucket/models")

    with pytest.raises(StoreError, match="TRITON_MODEL_REPO=s3://bucket/models is a URL"):
        find_target("triton")


def test_a_url_over_tls_is_refused(settings, tmp_path):
    """Model control goes over plain gRPC."""
    settings("TRITON_MODEL_REPO", str(tmp_path / "models"))
    settings("TRITON_URL", "https://gpu7:8000")

    with pytest.raises(AddressRefused, match="https://gpu7:8000"):
        find_target("triton")
