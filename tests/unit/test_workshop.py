"""The workshop: a child process in which the code of models runs, without secrets, within limits."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from sextant.errors import (
    ConversionError,
    InputRefused,
    MissingExtra,
    ModelStopped,
    ParityError,
    PipelineError,
    RegistryError,
    StoreError,
)
from sextant_export.workshop import Limits, Workshop

MIB = 1 << 20
WORK = "odd_work:OddWork"


class Listener:
    """A narrator that keeps what it hears."""

    def __init__(self):
        self.heard = []

    @contextmanager
    def step(self, title):
        self.heard.append(("begin", title))
        try:
            yield self
        except BaseException as error:
            self.heard.append(("failed", type(error).__name__))
            raise
        self.heard.append(("end", title))

    def result(self, text):
        self.heard.append(("result", text))


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def workshop(listener):
    """Gives one that has begun, within *limits*."""
    made = []

    def begin(*arguments, **limits):
        made.append(Workshop(Limits(**limits), listener))
        made[-1].begin(WORK, *arguments, about="ridge/1")
        return made[-1]

    yield begin
    for each in made:
        each.close()


def ended(pid):
    """Wait until the process *pid* is gone; it may be so already."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 30)[0])
    finally:
        os.close(process)


def test_work_is_done_in_a_child_without_secrets(workshop, monkeypatch):
    for name in ("SEXTANT_TOKEN", "MLFLOW_TRACKING_URI", "AWS_REGION", "DB_PASSWORD", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "a secret")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@packages.example/simple")
    monkeypatch.setenv("HARMLESS", "kept")

    facts = workshop().call("facts", about="ridge/1")

    assert facts["pid"] == facts["group"] != os.getpid()
    assert not {"a secret", os.environ["PIP_INDEX_URL"]} & {*facts["environment"].values()}
    assert facts["environment"]["HARMLESS"] == "kept"


def test_the_child_starts_with_no_secret_that_it_could_read_back(workshop, monkeypatch):
    """The kernel keeps what a process was started with."""
    monkeypatch.setenv("SEXTANT_TOKEN", "a secret")

    pid = workshop().call("facts", about="ridge/1")["pid"]

    with open(f"/proc/{pid}/environ", "rb") as kept:  # noqa: PTH123
        assert b"SEXTANT_TOKEN" not in kept.read()


def test_limits_hold_and_no_core_is_written(workshop):
    facts = workshop(cpu_s=77.0, memory_bytes=900 * MIB).call("facts", about="ridge/1")

    assert facts["limits"] == {"CORE": 0, "CPU": 77, "DATA": 900 * MIB}


def test_what_it_holds_stays_between_calls(workshop):
    one = workshop()

    assert one.call("facts", about="a")["pid"] == one.call("facts", about="b")["pid"]


@pytest.mark.parametrize(
    ("kind", "error", "attributes"),
    [
        ("parity", ParityError, {"worst": 0.5, "tolerance": 0.25}),
        ("problems", PipelineError, {"problems": (("steps[0]", "mend it"),)}),
        ("extra", MissingExtra, {"extra": "text"}),
        ("input", InputRefused, {"tensor": "features", "expected": "FP32", "came": "FP64"}),
        ("store", StoreError, {}),
        ("derived", ConversionError, {}),
    ],
)
def test_errors_arrive_as_what_they_were(workshop, kind, error, attributes):
    from odd_work import RAISED

    with pytest.raises(error) as caught:
        workshop().call("fail", kind, about="ridge/1")

    assert type(caught.value) is error
    assert str(caught.value) == str(RAISED[kind]())
    assert {name: getattr(caught.value, name) for name in attributes} == attributes
    assert "odd_work.py" in str(caught.value.__cause__)


def test_what_the_system_refuses_keeps_its_number(workshop):
    with pytest.raises(FileNotFoundError, match="No such file"):
        workshop().call("fail_to_write", about="ridge/1")


def test_an_error_that_nobody_foresaw_says_whose_code_raised_it(workshop):
    with pytest.raises(ModelStopped, match=r"ridge/1: KeyError: 'what'"):
        workshop().call("fail_oddly", about="ridge/1")


def test_what_cannot_be_begun_says_why(workshop):
    with pytest.raises(RegistryError, match="not this one"):
        workshop("", "not this one")


def test_narration_arrives_as_it_happens(workshop, listener):
    one = workshop("begun")
    with pytest.raises(ConversionError):
        one.call("say_and_fail", "a", about="ridge/1")

    assert listener.heard[0] == ("begin", "begun")
    assert listener.heard[3:] == [
        ("begin", "a"),
        ("result", "a done"),
        ("end", "a"),
        ("begin", "fail"),
        ("failed", "ConversionError"),
    ]


@pytest.mark.parametrize(
    ("method", "arguments", "limits", "limit", "sentence"),
    [
        ("loop", (), {"cpu_s": 1.0}, "cpu", r"ridge/1: it used more than 1 s of processor time, its limit"),
        ("allocate", (), {"memory_bytes": 1024 * MIB}, "memory", r"it needs more than 1 GiB of memory, its limit"),
        ("wait", (), {"time_s": 0.5}, "time", r"it was not done after 0.5 s, its limit of time"),
        ("leave", (3,), {}, None, r"its code ended the process that ran it, with code 3: load the model by itself"),
        ("abort", (), {}, None, r"its code crashed the process that ran it \(SIGABRT\)"),
    ],
)
def test_code_that_goes_too_far_is_ended_in_words(workshop, method, arguments, limits, limit, sentence):
    with pytest.raises(ModelStopped, match=sentence) as caught:
        workshop(**limits).call(method, *arguments, about="ridge/1")

    assert caught.value.limit == limit


def test_what_a_model_prints_goes_where_errors_go(workshop, capfd):
    workshop().call("print", "hello", about="ridge/1")

    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "hello")


def test_it_ends_with_all_that_it_started(workshop, listener):
    """Ctrl-C, here, while it waits for a process of its own."""
    one = workshop("begun", time_s=60.0)

    class Interrupted(Listener):
        def result(self, text):
            listener.heard.append(("result", text))
            raise KeyboardInterrupt

    one._narrator = Interrupted()
    with one, pytest.raises(KeyboardInterrupt):
        one.call("wait", about="ridge/1")

    pids = [int(text) for kind, text in listener.heard if kind == "result"]
    assert len(pids) == 2
    assert all(map(ended, pids))


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from contextlib import contextmanager
from sextant_export.workshop import Workshop

class Printer:
    @contextmanager
    def step(self, title):
        yield self
    def result(self, text):
        print(text, flush=True)

with Workshop(narrator=Printer()) as workshop:
    workshop.begin({work!r}, "begun", about="x")
    workshop.call("wait", about="x")
"""


@pytest.fixture(scope="module")
def programs():
    """Two processes at once, each with a child that waits for a child of its own."""
    source = PROGRAM.format(tests=os.path.dirname(os.path.dirname(__file__)), work=WORK)  # noqa: PTH120
    command = [sys.executable, "-c", source]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(2)]
    yield started
    for each in started:
        each.kill()
        each.communicate()


@pytest.mark.parametrize(("number", "sign"), [(0, signal.SIGINT), (1, signal.SIGKILL)], ids=["interrupted", "killed"])
def test_no_child_outlives_the_process_that_wanted_it(programs, number, sign):
    program = programs[number]
    pids = [int(program.stdout.readline()) for _ in range(2)]

    program.send_signal(sign)
    program.wait(30)

    assert all(map(ended, pids))
