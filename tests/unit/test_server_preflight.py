"""Each thing a machine may lack is refused in a sentence that says what to do."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sextant.errors import LaunchRefused, MissingExtra
from sextant_server.installation import STUB, find_installation
from sextant_server.layout import lay_out
from sextant_server.ports import Ports, choose_ports
from sextant_server.preflight import Machine, foreign, problems, refuse

PYTHON = sys.version_info[:2]
GOOD = Machine(
    system="Linux", processor="x86_64", python=PYTHON, numpy="1.26.4", libpython=Path("/usr/lib/libpython.so")
)
PLAIN = {"the store": Path("/srv/store")}


@pytest.fixture
def make_home(tmp_path):
    def make(*, version=None, python=PYTHON, backends=("python",)):
        home = tmp_path / "tritonserver"
        for folder in ("bin", *(f"backends/{backend}" for backend in backends)):
            (home / folder).mkdir(parents=True)
        (home / "bin" / "tritonserver").touch()
        (home / "backends" / "python" / STUB).write_bytes(b"\0libpython3.%d.so.1.0\0" % python[1])
        if version:
            (home / "TRITON_VERSION").write_text(version)
        return home

    return make


def test_a_machine_that_has_everything_is_not_refused(make_home):
    found = list(problems(GOOD, find_installation(make_home()), PLAIN))

    assert found == []


@pytest.mark.parametrize(
    ("lack", "sentence"),
    [
        ({"python": (3, 13)}, "runs on Python 3.10 to 3.12, and this is 3.13"),
        ({"python": (3, 9)}, "and this is 3.9: make a venv"),
        ({"libpython": None}, f"apt install libpython{PYTHON[0]}.{PYTHON[1]}"),
        ({"numpy": "2.0.1"}, "NumPy 2.0.1 is installed, and this Triton silently corrupts tensors"),
        ({"numpy": None}, "NumPy is not installed: pip install 'numpy>=1.26,<2'"),
    ],
)
def test_what_a_machine_lacks_is_said_with_what_to_do(make_home, lack, sentence):
    found = list(problems(replace(GOOD, **lack), find_installation(make_home()), PLAIN))

    assert len(found) == 1
    assert sentence in found[0]


@pytest.mark.parametrize(("system", "processor"), [("Darwin", "arm64"), ("Linux", "aarch64")])
def test_a_foreign_machine_is_refused(system, processor):
    (sentence,) = foreign(replace(GOOD, system=system, processor=processor))

    assert f"Linux x86-64 only, and this is {system} {processor}: use NVIDIA's container" in sentence


def test_linux_on_x86_64_is_not_foreign():
    assert list(foreign(GOOD)) == []


@pytest.mark.parametrize("name", ["my store", "a;b", "a$b", "a'b", "a(b)", "a&b", "tab\tbed", "st*r"])
def test_a_path_that_a_shell_would_break_is_refused(make_home, name):
    found = list(problems(GOOD, find_installation(make_home()), {"the store": Path("/srv") / name}))

    assert len(found) == 1
    assert f"the store is at '/srv/{name}'" in found[0]


def test_every_reason_is_given_at_once(make_home):
    machine = replace(GOOD, numpy="2.1.0", libpython=None)

    with pytest.raises(LaunchRefused) as refusal:
        refuse(problems(machine, find_installation(make_home()), {"the store": Path("/my store")}))

    assert len(str(refusal.value).splitlines()) == 3


def test_a_newer_triton_takes_numpy_2_and_newer_pythons(make_home):
    home = make_home(version="2.60.0", python=(3, 13))
    machine = replace(GOOD, numpy="2.3.0", python=(3, 13))

    found = list(problems(machine, find_installation(home), PLAIN))

    assert found == []


@pytest.mark.parametrize(("version", "safely"), [("2.51.0", False), ("2.57.1", False), ("2.58.0", True)])
def test_a_triton_that_ends_while_it_traces_is_known(make_home, version, safely):
    assert find_installation(make_home(version=version)).traces_safely is safely


def test_a_stub_for_another_python_is_refused(make_home):
    home = make_home(version="2.60.0", python=(3, 8))

    (sentence,) = problems(GOOD, find_installation(home), PLAIN)

    assert sentence.startswith("this tritonserver runs models in Python 3.8, and this is Python")


def test_the_installation_is_the_one_named_before_the_containers(make_home, tmp_path):
    home = make_home()
    elsewhere = tmp_path / "elsewhere"

    by_argument = find_installation(home, environment={}, container_home=elsewhere)
    by_variable = find_installation(environment={"SEXTANT_TRITON_HOME": str(home)}, container_home=elsewhere)
    by_place = find_installation(environment={}, container_home=home)

    assert by_argument == by_variable == by_place
    assert by_argument.executable == home / "bin" / "tritonserver"


def test_a_folder_without_a_server_is_refused(tmp_path):
    with pytest.raises(LaunchRefused, match="holds no bin/tritonserver"):
        find_installation(tmp_path)


def test_without_any_server_the_extra_to_install_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sextant_server.installation.find_spec", lambda _name: None)

    with pytest.raises(MissingExtra, match=r"pip install 'triton-sextant\[server\]'"):
        find_installation(environment={}, container_home=tmp_path)


def test_official_backends_are_used_where_they_lie(make_home):
    home = make_home(backends=("python", "onnxruntime"))

    folder = lay_out(find_installation(home))
    folder.remove()

    assert folder.path == home / "backends"
    assert folder.path.is_dir()


def test_our_onnxruntime_joins_backends_that_have_none(make_home):
    home = make_home()

    folder = lay_out(find_installation(home))
    laid_out = sorted(path.name for path in folder.path.iterdir())
    in_stub = folder.runs_in_stub("onnxruntime")
    folder.remove()

    assert laid_out == ["onnxruntime", "python"]
    assert in_stub
    assert not folder.path.exists()
    assert home.exists()


def test_a_port_in_use_is_refused_by_name():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = Ports(http=listener.getsockname()[1])

        with pytest.raises(LaunchRefused, match=r"http port \d+ cannot be had \(Address already in use\)"):
            choose_ports(taken)


def test_free_ports_differ():
    assert len(set(choose_ports(Ports()))) == 3
