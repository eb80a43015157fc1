"""``sextant loadtest`` from a page to a verdict: exit codes, reports, Ctrl-C, a server that dies, Locust's page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest

from promotion_stage import resumed
from sextant.errors import GateFailed
from sextant_export.pipeline import load_pipeline
from sextant_server.address import read_address, stored_address
from sextant_server.ports import Ports, choose_ports
from typed import typed

pytestmark = pytest.mark.e2e

SEXTANT = Path(sys.executable).with_name("sextant")
LOCUST = Path(sys.executable).with_name("locust")
LOCUSTFILE = Path(__file__).parents[2] / "loadtest" / "locustfile.py"
PATIENCE_S = 90


class Terminal:
    """``sextant loadtest`` in the folder of a world."""

    def __init__(self, world):
        self.world = world
        names = {"MLFLOW_TRACKING_URI": world.registry.tracking_uri, "SEXTANT_STORE": "store"}
        self.environment = {**os.environ, **names}

    def start(self, *words):
        return subprocess.Popen(
            [SEXTANT, "loadtest", *map(str, words)],
            cwd=self.world.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words):
        process = self.start(*words)
        out, told = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, told


def under_way(process):
    """Returns once the load has been answered, and says whom it started."""
    for line in process.stderr:
        if "requests/s, p95" in line:
            return psutil.Process(process.pid).children(recursive=True)
    raise AssertionError(process.stdout.read())


@pytest.fixture
def terminal(first_world, kept, tmp_path):
    """A world whose first release is in the store, and served by nobody."""
    return Terminal(resumed(first_world, kept / "served", tmp_path))


def test_a_load_starts_the_server_asks_over_both_protocols_and_ends_in_a_verdict(terminal):
    """Asked with the known cases of its page; figures and limits as JSON, and the same with drawings on a page."""
    code, out, told = terminal.run(
        *("locate.yaml", "--users", 4, "--duration", 2, "--protocol", "both", "--json", "--report", "load.html")
    )

    verdict, page = json.loads(out), (terminal.world.root / "load.html").read_text()
    assert (code, verdict["passed"], verdict["verdict"]) == (0, True, "locate: within limits, all 2"), told
    assert sorted(verdict["by_class"]) == ["PositionOverGrpc", "PositionOverHttp"]
    assert verdict["inputs"].startswith("300 known cases of cases.parquet")
    assert verdict["total"]["requests"] > 4
    assert ("start Triton" in told, "requests/s" in told) == (True, True)
    assert ("within limits, all 2" in page, page.count("<svg")) == (True, 3)
    assert stored_address(terminal.world.store.root) is None


def test_what_is_not_within_limits_ends_with_1(served):
    """Asked at the server that serves the store, by its name, with what its release was proven on."""
    limits = served.world.root / "limits.toml"
    limits.write_text("[every]\np95_ms = 0.001\n")
    code, out, told = Terminal(served.world).run(
        "locate", "--users", 3, "--duration", 2, "--shape", "spike", "--limits", limits
    )

    assert code == 1, told
    assert "locate: NOT within limits: 1 of 2 missed" in out
    assert "3 users, spike, for 2 s, with the rows that locate.r1 was proven on" in told
    assert "start Triton" not in told


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["locate", "--against", "grpc://127.0.0.1:9"], 3, "no Triton answers at grpc://127.0.0.1:9"),
        (["lokate"], 1, "serves locate, and no lokate; did you mean 'locate'?"),
        (["nowhere.yaml"], 1, "nowhere.yaml: cannot be read"),
        (["locate", "--limits", "nowhere.toml"], 1, "nowhere.toml: cannot be read"),
        (["locate", "--against", "grpc://127.0.0.1:9", "--protocol", "http"], 2, "is not asked over http"),
        (["locate", "--shape", "spyke"], 2, "'spyke' is not one of 'steady', 'ramp', 'spike', 'soak'"),
        (["locate", "--report", "nowhere/load.html"], 2, "there is no folder nowhere; make it first"),
    ],
    ids=["out of reach", "no pipeline", "no page", "no limits", "other protocol", "no shape", "no folder"],
)
def test_what_cannot_be_done_ends_in_one_sentence_and_its_exit_code(terminal, words, code, sentence):
    """Before anything is asked."""
    done = typed("loadtest", *words, folder=terminal.world.root, environment=terminal.environment)

    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert sentence in done.stderr


def test_ctrl_c_ends_it_with_what_was_measured_so_far(served):
    """Exit code 130, its JSON whole, and no generator left behind."""
    process = Terminal(served.world).start("locate", "--users", 3, "--duration", 600, "--json")
    generators = under_way(process)

    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)

    found = json.loads(out)
    assert (process.returncode, found["ended"], found["passed"]) == (130, "interrupted", False)
    assert found["total"]["requests"] > 0
    assert found["total"]["errors"] == {}
    assert generators
    assert psutil.wait_procs(generators, timeout=10)[1] == []


def test_a_server_that_dies_under_the_load_ends_it_with_3(served):
    """And says so, after what was answered before."""
    process = Terminal(served.world).start("locate", "--users", 3, "--duration", 600)
    under_way(process)

    os.kill(read_address(served.store.root).pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 3
    assert "locate: NOT within limits: the server went away after" in out
    assert "x ServerUnreachable: no Triton answers at grpc://" in out


def test_a_load_is_a_gate_that_is_passed_and_refused(served):
    """What it came to is in the receipt; a candidate that does not bear it leaves what served to serve on."""
    load = {"users": 4, "shape": "ramp", "duration_s": 1.5, "p99_ms": {"at_most": 60_000}}
    served.world.write_spec({"gate": {"load": load}})
    served.new_ridge(alpha=50.0)
    passed = served.promote(load_pipeline(served.world.spec))
    hard = {**load, "throughput_rps": {"at_least": "1000 x serving"}}
    served.world.write_spec({"gate": {"load": hard}})
    served.new_ridge(alpha=60.0)

    with pytest.raises(GateFailed, match="locate.r3 is not promoted: load throughput_rps .*; what was served still is"):
        served.promote(load_pipeline(served.world.spec))

    assert [(each["gate"], each["passed"]) for each in passed.receipt.gate] == [
        ("load p99_ms", True),
        ("load error_share", True),
    ]
    assert passed.receipt.gate[0]["on"].startswith("4 users, ramp, for 1.5 s, with 300 known cases of cases.parquet")
    assert served.ask(served.world.training.features[0]).release == 2


class Page:
    """Locust's own page, of the world's store."""

    def __init__(self, world, port):
        self.url = f"http://127.0.0.1:{port}"
        words = ["-f", LOCUSTFILE, "--web-host", "127.0.0.1", "--web-port", port, "--store", "store"]
        words += ["--registry", world.registry.tracking_uri]
        self.log = (world.root / "locust.log").open("w")
        self.process = subprocess.Popen([LOCUST, *map(str, words)], cwd=world.root, stdout=self.log, stderr=self.log)

    def __enter__(self):
        self.until("", lambda page: "Locust" in page)
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def swarm(self, **fields):
        request = urllib.request.Request(f"{self.url}/swarm", urlencode(fields).encode())
        return json.loads(urllib.request.urlopen(request, timeout=30).read())

    def until(self, path, wanted):
        """The page at *path* once it is as *wanted*."""
        deadline, never = time.monotonic() + PATIENCE_S, threading.Event()
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                page = urllib.request.urlopen(f"{self.url}/{path}", timeout=30).read().decode()
            except OSError:
                page = ""
            if page and wanted(page):
                return page
            never.wait(0.1)
        raise AssertionError(Path(self.log.name).read_text())


def test_locusts_own_page_drives_the_same_users(served):
    """What it asks beside its usual fields is known; a run is started, counted, and ends by itself."""
    ports = choose_ports(Ports())
    with Page(served.world, ports.http) as page:
        options = page.until("", lambda text: "templateArgs" in text)
        started = page.swarm(user_count=3, spawn_rate=3, run_time="2s", host=served.triton.address.http, shape="spike")
        stats = json.loads(page.until("stats/requests", lambda text: json.loads(text)["state"] == "stopped"))

    assert '"pipeline": {' in options
    assert started["success"]
    (asked, _) = stats["stats"]
    assert (asked["method"], asked["name"], asked["num_failures"]) == ("http", "locate", 0)
    assert asked["num_requests"] > 3
