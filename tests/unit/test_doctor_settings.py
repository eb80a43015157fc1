"""Secrets that others may read, keys that are not used, registries that are away."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from sextant.errors import ParametersError
from sextant_cli.doctor.access import EVERYBODY, readers, writers
from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.settings.registry import HEALTH, REGISTRY
from sextant_cli.doctor.settings.secrets import SECRETS, TOKENS
from sextant_cli.doctor.settings.signing import SIGNING
from sextant_cli.doctor.settings.told import Told
from sextant_export.settings import load_settings
from strangers import stranger


@pytest.fixture
def folder():
    """A folder that everybody gets as far as: pytest's own are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="sextant-doctor-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def told(folder):
    """What a sextant.toml of this text, with these rights, says."""

    def write(text, mode=0o600):
        page = folder / "sextant.toml"
        page.write_text(text)
        page.chmod(mode)
        return Told(settings=load_settings(page), registry=f"sqlite:///{folder}/mlflow.db", named=True)

    return write


SERVER = '[[server]]\nurl = "grpc://gpu-1:8001"\n'


@pytest.mark.parametrize(
    ("text", "mode", "found"),
    [
        (f'{SERVER}token = "t"\n', 0o644, ["critical"]),
        (f'{SERVER}token = "t"\n', 0o600, []),
        (f'{SERVER}token_env = "GPU_1_TOKEN"\n', 0o644, []),
        (f'{SERVER}copy = "s3://a/b"\nstorage_options = {{secret = "s"}}\n', 0o644, ["critical"]),
        (f'{SERVER}copy = "s3://a/b"\nstorage_options = {{anon = true}}\n', 0o644, []),
    ],
    ids=["token", "closed", "elsewhere", "storage", "nothing secret"],
)
def test_a_secret_in_a_file_that_everybody_reads_is_critical(told, text, mode, found):
    assert [finding.severity for finding in SECRETS.look(told(text, mode))] == found


def test_token_files_and_private_keys_are_looked_at_too(told, folder):
    """The command to type names the file."""
    for name in ("gpu-1.token", "release.pem"):
        (folder / name).write_text("secret")
        (folder / name).chmod(0o644)

    found = list(SECRETS.look(told(f'{SERVER}token_file = "gpu-1.token"\n[signing]\nprivate_key = "release.pem"\n')))

    assert [finding.severity for finding in found] == ["critical", "critical"]
    assert f"chmod 600 {folder}/gpu-1.token" in found[0].change
    assert "the key that signs releases" in found[1].found


def test_a_token_that_is_not_there_is_told(told, monkeypatch):
    monkeypatch.delenv("GPU_1_TOKEN", raising=False)

    (found,) = TOKENS.look(told(f'{SERVER}token_env = "GPU_1_TOKEN"\n'))

    assert (found.severity, "GPU_1_TOKEN" in found.found) == ("warning", True)


def test_a_public_key_that_requires_nothing_is_a_warning(told, folder):
    (folder / "release.pub").touch()
    asking = '[signing]\npublic_key = "release.pub"\n'

    (found,) = SIGNING.look(told(asking))

    assert (found.severity, found.change) == ("warning", "required = true under [signing]")
    assert list(SIGNING.look(told(f"{asking}required = true\n"))) == []


def test_a_key_that_is_not_there_is_told(told, folder):
    (found,) = SIGNING.look(told('[signing]\npublic_key = "gone.pub"\nrequired = true\n'))

    assert f"there is no {folder}/gone.pub, which [signing] names as public_key" in found.found


def test_a_registry_file_is_looked_at_and_never_made(told, folder):
    """MLflow would make one where there is none."""
    (found,) = REGISTRY.look(told(""))

    assert "does not answer: there is no such file" in found.found
    assert [path.name for path in folder.iterdir()] == ["sextant.toml"]


def test_a_registry_that_everybody_may_write_is_a_warning(told, folder):
    (folder / "mlflow.db").touch()
    (folder / "mlflow.db").chmod(0o666)

    (found,) = REGISTRY.look(told(""))

    assert (found.severity, found.found) == ("warning", f"{EVERYBODY} may write in the registry")
    (folder / "mlflow.db").chmod(0o644)
    assert list(REGISTRY.look(told(""))) == []


def test_a_registry_server_that_is_away_is_a_warning(told):
    (found,) = REGISTRY.look(Told(settings=told("").settings, registry="http://127.0.0.1:9"))

    assert (found.severity, found.where) == ("warning", "http://127.0.0.1:9")
    assert "Connection refused" in found.found


@pytest.mark.parametrize(("health", "found"), [(200, []), (401, []), (403, []), (502, ["warning"]), (404, ["warning"])])
def test_a_proxy_that_asks_who_it_is_answers_and_one_that_has_lost_its_registry_does_not(told, health, found):
    with stranger(lambda request: (health if request.path == HEALTH else 401, b"")) as place:
        looked = list(REGISTRY.look(Told(settings=told("").settings, registry=f"http://{place}")))

    assert [finding.severity for finding in looked] == found
    assert all(f"HTTP {health} at /health" in finding.found for finding in looked)


def test_a_registrys_password_is_not_sent_nor_told(told):
    """MLflow takes it in the URL; what stands in a file that everybody reads is a finding."""
    with stranger(lambda _: (502, b"")) as place:
        page = told(f'registry = "http://ann:s3cret@{place}"\n', 0o644)
        (silent,) = REGISTRY.look(Told(settings=page.settings, registry=str(page.settings.registry)))

    (open_to_all,) = SECRETS.look(page)

    assert silent.where == f"http://{place}"
    assert "HTTP 502" in silent.found
    assert (open_to_all.severity, "the password of the registry" in open_to_all.found) == ("critical", True)


def test_whose_certificates_are_believed_is_said_as_mlflow_is_told(told, monkeypatch):
    """A file that is none would have been believed in silence, were it not read."""
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "/nowhere/ca.pem")

    with pytest.raises(ParametersError, match="/nowhere/ca.pem"):
        list(REGISTRY.look(Told(settings=told("").settings, registry="https://127.0.0.1:9")))


@pytest.mark.parametrize("registry", ["databricks", "sqlite:////nowhere/mlflow.db"])
def test_a_registry_that_cannot_be_looked_at_is_not_passed(told, registry):
    with pytest.raises(NotMade):
        list(REGISTRY.look(Told(settings=told("").settings, registry=registry)))


def test_a_closed_folder_on_the_way_keeps_everybody_out(folder):
    """The rights of a file say nothing where nobody gets as far as it."""
    (folder / "closed").mkdir(mode=0o700)
    file = folder / "closed" / "token"
    file.touch()
    file.chmod(0o666)

    closed = readers(file), writers(file)
    (folder / "closed").chmod(0o755)

    assert closed == ("", "")
    assert (readers(file), writers(file)) == (EVERYBODY, EVERYBODY)


def test_a_link_is_as_open_as_what_it_leads_to(folder):
    """So Kubernetes mounts its secrets."""
    (folder / "token").touch()
    (folder / "token").chmod(0o644)
    (folder / "link").symlink_to("token")
    (folder / "lost").symlink_to("nowhere")

    assert (readers(folder / "link"), writers(folder / "link")) == (EVERYBODY, "")
    assert readers(folder / "lost") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another group")
def test_a_group_is_named_and_a_users_own_is_nobody_else(folder):
    file = folder / "token"
    file.touch()
    file.chmod(0o660)
    own = readers(file)
    os.chown(file, 0, 1)

    assert own == ""
    assert readers(file).startswith("the group ")
