"""``sextant doctor`` without a server: what it prints, what it cannot see, how it ends."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

import made_releases as made
from sextant_cli.command import run
from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.checks import ALL, SERVER, STORE
from sextant_cli.doctor.examination import examine
from sextant_cli.doctor.finding import Finding
from sextant_cli.doctor.report import Report
from sextant_cli.doctor.server import naming
from sextant_cli.doctor.server.doors import CALLS
from sextant_cli.doctor.server.naming import Named, named_servers
from sextant_cli.doctor.settings.registry import HEALTH, MODELS
from sextant_export.seals import with_seals
from sextant_export.settings import ServerSettings, Settings
from sextant_export.store import Store
from sextant_server.address import ServerAddress
from strangers import stranger

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


@pytest.fixture
def here(monkeypatch):
    """A working directory with a sound store, which everybody gets as far as."""
    folder = Path(tempfile.mkdtemp(prefix="sextant-doctor-"))
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    for variable in ("SEXTANT_SERVER", "SEXTANT_STORE", "SEXTANT_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    store = Store(folder / "store").prepare()
    made.serve(store, with_seals(store, made.make(store, 1, forest=3)))
    store.root.chmod(0o700)
    yield folder
    shutil.rmtree(folder)


def test_without_a_trouble_it_ends_with_0_and_says_what_it_did_not_see(here, capsys):
    """No server is no pass: its checks are named as not made."""
    assert run(["doctor", "--store", "store"]) == 0

    said = capsys.readouterr().out
    assert "note      store: 1 of 1 releases that serve are not signed" in said
    assert "not made: exposed, open-control, version" in said
    assert "nothing serves this store, and none was named" in said
    assert "not made: registry of the settings (no sextant.toml): there is no registry at" in said


def test_what_is_critical_comes_first_and_ends_with_1(here, capsys):
    """Each finding says what, why, and what to do."""
    (here / "store" / "models" / "forest" / "3" / "model.onnx").write_text("changed")

    assert run(["doctor", "--store", "store"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("critical  store: models/forest/3/model.onnx has other bytes")
    assert lines[0].endswith("[store-sound]")
    assert lines[1] == "          why: what is served is not what was proven"
    assert lines[2].startswith("          do:  restore it from a backup")


def test_an_accepted_finding_is_left_out_and_said_to_be(here, capsys):
    (here / "store" / "models" / "forest" / "3" / "model.onnx").write_text("changed")

    assert run(["doctor", "--store", "store", "--skip", "store-sound"]) == 0
    assert "not made: store-sound of store: left out by --skip" in capsys.readouterr().out


def test_machines_get_one_object(here, capsys):
    (here / "store" / "models" / "stray").mkdir()

    assert run(["doctor", "--store", "store", "--json"]) == 1

    said = json.loads(capsys.readouterr().out)
    first = said["findings"][0]
    assert set(first) == {"check", "severity", "found", "why", "change", "where"}
    assert (first["check"], first["severity"], first["where"]) == ("store-sound", "warning", "store")
    assert (said["critical"], said["warning"]) == (0, 1)
    assert said["checks"] == len(ALL) - len(said["not_made"])
    assert {each["check"] for each in said["not_made"]} >= {check.name for check in SERVER}
    assert {each["check"] for each in said["passed"]} >= {"store-writable", "store-path"}


def test_the_checks_that_passed_are_named_when_asked_for(here, capsys):
    run(["doctor", "--store", "store", "--all"])

    assert "passed: store-writable, store-sound, store-links" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["storee", "empty"])
def test_a_store_that_was_named_and_is_none_is_an_error(here, capsys, name):
    """A folder without models/ is a disk that was not mounted; one that nobody named is only not looked at."""
    (here / "empty").mkdir()

    assert run(["doctor", "--store", name]) == 1
    assert f"there is no {name}/models" in capsys.readouterr().err

    assert run(["doctor"]) == 0
    assert f"{', '.join(check.name for check in STORE)} of a store: none is here" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["127.0.0.1:8001", "grpc://", "ftp://gpu-1:8001", "http://a..b:8000"])
def test_a_url_that_is_none_is_refused(here, capsys, url):
    assert run(["doctor", "--server", url]) == 1
    assert f"expected grpc://host:port or http://host:port, got '{url}'" in capsys.readouterr().err


def test_settings_that_are_wrong_are_refused_before_anything_is_looked_at(here, capsys):
    (here / "sextant.toml").write_text('stor = "store"\n')

    assert run(["doctor"]) == 1
    assert "stor: unknown; did you mean 'store'?" in capsys.readouterr().err


def test_a_check_that_there_is_not_is_a_usage_error(here):
    assert run(["doctor", "--skip", "horoscope"]) == 2


def test_a_server_that_was_named_and_is_away_ends_with_3_after_the_report(here, capsys):
    """The store and the machine are looked at all the same."""
    assert run(["doctor", "--store", "store", "--server", "grpc://127.0.0.1:9"]) == 3

    said = capsys.readouterr()
    assert "exposed, open-control, version" in said.out
    assert "of grpc://127.0.0.1:9: no Triton answers at grpc://127.0.0.1:9" in said.out
    assert "note      store: 1 of 1 releases" in said.out
    assert said.err.startswith("sextant: no Triton answers at grpc://127.0.0.1:9")


def answers_404(_):
    return 404, b"not here"


def lists(request):
    return 200, b"[1]" if request.path == "/v2" else b"{}"


def versioned(request):
    return 200, b'{"version": "2.60.0"}' if request.path == "/v2" else b"[1]"


@pytest.mark.parametrize(("answer", "code", "said"), [(answers_404, 3, "HTTP status: 404"), (lists, 3, "is no Triton")])
def test_what_is_no_triton_is_said_to_be_none(here, capsys, answer, code, said):
    with stranger(answer) as place:
        assert run(["doctor", "--server", f"http://{place}"]) == code

    assert f"http://{place}" in (err := capsys.readouterr().err)
    assert said in err


def test_an_index_that_nobody_can_read_leaves_the_other_checks_standing(here, capsys):
    with stranger(versioned) as place:
        assert run(["doctor", "--server", f"http://{place}"]) == 1

    said = capsys.readouterr().out
    assert "Triton 2.60.0 (25.08) lacks the fixes" in said
    assert f"models of http://{place}: no Triton answers at http://{place}: what answers there is no Triton" in said


def test_what_is_known_of_a_server_is_put_together(tmp_path):
    """By its gRPC side from the settings, and by either side from the store's own address."""
    settings = Settings(servers=(ServerSettings(url="grpc://a:8001", metrics="http://a:8002/metrics", token="s"),))
    own = ServerAddress(grpc="grpc://b:1", http="http://b:2", metrics="http://b:3", token="nobody's", header="h", pid=1)
    own.write(tmp_path)
    store = Store(tmp_path)
    urls = ["grpc://a:8001", "http://a:8000", "http://b:2", "http://c:8000", "grpc+dns://127.0.0.1:9"]

    known = named_servers(store, urls, None, settings)

    assert known == (
        Named(grpc="grpc://a:8001", http="http://a:8000", metrics="http://a:8002/metrics", token="s"),
        Named(grpc="grpc://b:1", http="http://b:2", metrics="http://b:3/metrics", token="nobody's"),
        Named(http="http://c:8000"),
        Named(grpc="grpc://127.0.0.1:9"),
    )
    assert named_servers(store, [], "mine", settings)[0].token == "mine"
    assert named_servers(store, [], None, Settings()) == ()
    assert "token" not in repr(known[0])


@pytest.mark.parametrize(
    ("error", "reason"),
    [(NotMade("no further"), "no further"), (KeyError("name"), "it broke, which is a bug: KeyError: 'name'")],
)
def test_a_check_that_breaks_off_keeps_what_it_found(error, reason):
    """What it could not see is said beside it, and it does not count as made."""

    def look(_):
        yield Finding(severity="warning", found="one", why="", change="")
        raise error

    class Subjects:
        absent = ()

        def __iter__(self):
            yield "a server", None, (Check("half", "Half?", look),)

    report = examine(Subjects())

    assert [(finding.check, finding.where) for finding in report.findings] == [("half", "a server")]
    assert [(each.check, each.reason) for each in report.not_made] == [("half", reason)]
    assert (report.passed, report.made, report.troubled) == ((), 0, True)


def test_a_note_troubles_nobody():
    note = Finding(severity="note", found="", why="", change="")

    assert not Report(findings=(note,), passed=(), not_made=(), made=1).troubled


def test_the_documentation_names_every_check_and_every_call():
    """The tables of docs/doctor.md are the code's."""
    page = PAGE.read_text(encoding="utf-8")
    checks = [f"| `{check.name}` | {check.asks} |" for check in ALL]
    calls = [f"| {group} | `{call.grpc}` | `{call.http} {call.path}` |" for group, call in CALLS.items()]

    assert [line for line in page.splitlines() if line.startswith("| `")] == checks
    assert [line for line in page.splitlines() if line in calls] == calls
    assert all(f"`GET {path}`" in page for path in (HEALTH, MODELS))


def test_every_check_has_a_name_of_its_own():
    assert len({check.name for check in ALL}) == len(ALL)
    assert naming.Named(http="http://a:1").url == "http://a:1"
