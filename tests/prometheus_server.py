"""Debian's own Prometheus, on the committed configuration and rules, reading a test's servers every second."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from metric_pages import until

EXECUTABLE = Path("/usr/bin/prometheus")
COMMITTED = Path(__file__).parents[1] / "deploy" / "monitoring" / "prometheus"


class Prometheus:
    """A process on *folder* that reads *targets*: ``host:port`` by the name of the job."""

    def __init__(self, folder, targets):
        if not EXECUTABLE.exists():
            pytest.skip("Prometheus is not here: apt-get install prometheus")
        self._folder = folder
        self._port = free_port()
        (folder / "prometheus.yml").write_text(yaml.safe_dump(self._config(targets)))

    def __enter__(self):
        with (self._folder / "prometheus.log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    EXECUTABLE,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        until(self._ready, bool)
        return self

    def __exit__(self, *exception):
        self._process.terminate()
        self._process.wait(30)

    def query(self, expression):
        """The samples of *expression* now: labels and value of each."""
        answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]

    def alerts(self):
        """The names of the alerts that fire."""
        found = self._get("/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"]: alert for alert in found if alert["state"] == "firing"}

    def faulty_rules(self):
        """The rules that could not be evaluated, each with the reason."""
        groups = self._get("/api/v1/rules")["data"]["groups"]
        return {
            rule["name"]: rule.get("lastError")
            for group in groups
            for rule in group["rules"]
            if rule["health"] == "err"
        }

    def _ready(self):
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def _get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=30) as answer:
            return json.load(answer)

    def _config(self, targets):
        """The committed page with other addresses, in other intervals, and its rules where they lie."""
        page = yaml.safe_load((COMMITTED / "prometheus.yml").read_text())
        page["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        page["rule_files"] = [str(COMMITTED / name) for name in page["rule_files"]]
        named = {job["job_name"]: job for job in page["scrape_configs"]}
        for name, target in targets.items():
            named[name]["static_configs"] = [{"targets": [target]}]
        page["scrape_configs"] = [named[name] for name in targets]
        return page


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
