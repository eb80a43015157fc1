"""``sextant.toml``: every problem at once, with its address and a guess, and the frozen object it becomes."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import pytest

from sextant.errors import SettingsError
from sextant_export.settings import Limits, Settings, Watch, find_settings, load_settings
from sextant_export.settings_problems import settings_problems
from sextant_export.signing import Signing

DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
SERVER = {"url": "grpc://host:8001"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Nobody's own settings take part."""
    monkeypatch.delenv("SEXTANT_SETTINGS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, text):
    file = folder / "sextant.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def said(page):
    return [str(problem) for problem in settings_problems(page)]


def documented():
    """The page that the documentation shows whole: the first of its blocks."""
    return re.search(r"```toml\n(.*?)```", DOCUMENTATION, re.DOTALL)[1]


def test_without_a_file_nothing_is_set():
    assert load_settings() == Settings()


def test_the_documented_page_is_read_whole(folder):
    """Every key is in it, and paths are seen from the file's folder."""
    settings = load_settings(write(folder / "etc", documented()))
    here = folder / "etc"
    first, second = settings.servers

    assert (settings.store, settings.registry) == (here / "var/store", f"sqlite:///{here}/var/mlflow.db")
    assert (first.url, first.metrics) == ("grpc://gpu-1:8001", "http://gpu-1:8002/metrics")
    assert (first.token_file, first.copy) == (here / "tokens/gpu-1", "s3://models/gpu-1")
    assert dict(first.storage_options) == {"endpoint_url": "https://storage.example:9000", "profile": "models"}
    assert (second.token_env, second.copy) == ("GPU_2_TOKEN", f"{here}/copies/gpu-2")
    assert settings.signing == Signing(
        private_key=here / "keys/release.pem", public_key=here / "keys/release.pub", required=True
    )
    assert settings.limits == Limits(memory_mb=8192, seconds=600)
    assert settings.watch == Watch(
        poll_s=15.0, hook="127.0.0.1:8020", secret_env="MLFLOW_WEBHOOK_SECRET", metrics="127.0.0.1:8003"
    )


def test_every_key_is_documented():
    """In a table of the page, by the name it has in the file."""
    sections = re.findall(r"^\[+(\w+)\]+", documented(), re.MULTILINE)
    keys = re.findall(r"^#? ?(\w+) = ", documented(), re.MULTILINE)

    assert sorted(set(sections)) == ["limits", "server", "signing", "watch"]
    assert [key for key in keys if f"| `{key}`" not in DOCUMENTATION] == []
    fields = {field.name for kind in (Limits, Watch, Signing) for field in dataclasses.fields(kind)}
    assert fields <= {*keys}


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ({"stor": "var/store"}, "stor: unknown; did you mean 'store'?"),
        ({"store": 3}, "store: expected the folder of the store, got 3"),
        ({"store": "s3://b/s"}, "store: expected a folder, got 's3://b/s': a bucket holds a server's `copy` of it"),
        ({"server": SERVER}, "server: expected a table for each server: write [[server]], in two brackets"),
        ({"server": [{}]}, "server[0].url: missing"),
        (
            {"server": [{"url": "http://host:8000"}]},
            "server[0].url: expected grpc://host:port, because model control goes over gRPC, got 'http://host:8000'",
        ),
        ({"server": [{**SERVER, "metric": "http://h:1"}]}, "server[0].metric: unknown; did you mean 'metrics'?"),
        ({"server": [SERVER, SERVER]}, "server[1].url: 'grpc://host:8001' is server[0] already"),
        (
            {"server": [{**SERVER, "token_file": "a", "token_env": "B"}]},
            "server[0].token_env: expected one of token, token_file, token_env, got token_file and token_env",
        ),
        ({"server": [{**SERVER, "storage_options": {}}]}, "server[0].storage_options: only of a server with a copy"),
        (
            {"server": [{**SERVER, "copy": "c", "storage_options": 1}]},
            "server[0].storage_options: expected a table of fsspec's storage options, got 1",
        ),
        (
            {"signing": {"required": True}},
            "signing.public_key: missing: nothing could be verified, and `required` asks for it",
        ),
        ({"signing": {"required": "yes"}}, "signing.required: expected true or false, got 'yes'"),
        ({"limits": {"memory_mb": 1.5}}, "limits.memory_mb: expected a whole number at least 64, got 1.5"),
        ({"watch": {"poll_s": -1}}, "watch.poll_s: expected a number above 0, got -1"),
        ({"watch": {"hook": "here"}}, "watch.hook: expected host:port, to listen for MLflow's webhooks, got 'here'"),
        (
            {"watch": {"secret_env": "a secret"}},
            "watch.secret_env: expected the name of an environment variable, got 'a secret'",
        ),
        (
            {"watch": {"hook": "0.0.0.0:8020"}},
            "watch.secret_env: missing: MLflow's calls on `hook` could not be told from anybody's",
        ),
        (
            {"watch": {"metrics": 8003}},
            "watch.metrics: expected host:port, for Prometheus to read metrics from, got 8003",
        ),
        ({"watch": "often"}, "watch: expected a mapping of poll_s, hook, secret_env, metrics"),
    ],
)
def test_a_problem_is_said_with_its_address(page, complaint):
    assert complaint in said(page)


def test_all_problems_are_said_at_once(folder):
    file = write(folder, '[watch]\npoll = 1\n[limits]\nmemory_mb = 1\n[[server]]\nurl = "host"\n')

    with pytest.raises(SettingsError) as refusal:
        load_settings()

    assert [problem.address.removeprefix("sextant.toml: ") for problem in refusal.value.problems] == [
        "watch.poll",
        "limits.memory_mb",
        "server[0].url",
    ]
    assert str(refusal.value).startswith(f"{file.name}: watch.poll: unknown; did you mean 'poll_s'?")


def test_the_file_here_is_found_and_a_named_one_is_stronger(folder, monkeypatch):
    """The option before the variable before the working directory."""
    write(folder, "")
    here = find_settings()
    monkeypatch.setenv("SEXTANT_SETTINGS", "elsewhere.toml")

    assert (here, find_settings(), find_settings(Path("named.toml"))) == (
        Path("sextant.toml"),
        Path("elsewhere.toml"),
        Path("named.toml"),
    )


def test_a_named_file_must_be_there(folder):
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_settings(folder / "nowhere.toml")


def test_what_is_no_toml_is_said_with_its_line(folder):
    write(folder, 'store = "var/store"\nregistry = oops\n')

    with pytest.raises(SettingsError, match=r"sextant\.toml: is no TOML: Invalid value \(at line 2, column 12\)"):
        load_settings()


def test_a_python_without_a_reader_says_what_to_install(folder, monkeypatch):
    write(folder, "")
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)

    with pytest.raises(SettingsError, match="pip install tomli"):
        load_settings()


def test_a_token_comes_from_its_file_or_its_variable(folder, monkeypatch):
    """And is read when it is asked for, so a token may change while the file stands."""
    (folder / "token").write_text("of a file\n")
    monkeypatch.setenv("TOKEN", "of a variable")
    tables = ('token_file = "token"', 'token_env = "TOKEN"', 'token = "plain"', "")
    page = "".join(f'[[server]]\nurl = "grpc://host:{8000 + i}"\n{line}\n' for i, line in enumerate(tables))
    settings = load_settings(write(folder, page))

    assert [server.secret() for server in settings.servers] == ["of a file", "of a variable", "plain", None]
    assert "plain" not in repr(settings)


def test_a_secret_that_is_not_there_is_said_when_it_is_wanted(folder, monkeypatch):
    monkeypatch.delenv("TOKEN", raising=False)
    page = '[[server]]\nurl = "grpc://a:1"\ntoken_env = "TOKEN"\n[[server]]\nurl = "grpc://b:1"\ntoken_file = "none"\n'
    by_variable, by_file = load_settings(write(folder, page + '[watch]\nsecret_env = "TOKEN"')).servers

    with pytest.raises(SettingsError, match="TOKEN: expected the token of grpc://a:1 in this environment variable"):
        by_variable.secret()
    with pytest.raises(SettingsError, match="none: cannot be read for the token of grpc://b:1: No such file"):
        by_file.secret()
    with pytest.raises(SettingsError, match="TOKEN: expected the webhook's secret in this environment variable"):
        load_settings().watch.secret()


def test_settings_do_not_change(folder):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings().store = folder
