"""Rules, dashboards and documentation of the metrics hold together."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sextant.measures import MEASURES
from sextant.refusals import REASONS
from sextant.route_tally import PREFIX
from sextant_client import ClientMetrics
from sextant_export.store import Store
from sextant_promote.watch_metrics import WatchMetrics

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
PROMETHEUS = MONITORING / "prometheus"
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
RULES = [
    rule
    for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]


@pytest.fixture
def promtool():
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not here: apt-get install prometheus")
    return lambda *words: subprocess.run([found, *map(str, words)], capture_output=True, text=True, timeout=120)


@pytest.fixture
def dashboards():
    """The script that writes them."""
    sys.path.insert(0, str(MONITORING / "grafana"))
    try:
        import dashboards
    finally:
        sys.path.pop(0)
    return dashboards


def test_prometheus_takes_the_configuration_and_the_rules(promtool):
    done = promtool("check", "config", PROMETHEUS / "prometheus.yml")

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_on_its_cause_and_not_before(promtool):
    done = promtool("test", "rules", PROMETHEUS / "tests" / "alerts.yml")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_and_says_what_to_do(alert):
    """In a summary, a description, and under its name in the documentation."""
    (rule,) = (rule for rule in RULES if rule.get("alert") == alert)
    tests = yaml.safe_load((PROMETHEUS / "tests" / "alerts.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}

    assert alert in fired
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/metrics.md#{alert.lower()}"
    assert f"\n### {alert}\n" in PAGE


def test_the_documentation_knows_no_alert_that_is_gone():
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == sorted(ALERTS, key=PAGE.index)


def test_the_dashboards_are_what_their_script_writes(dashboards):
    written = {path.name: path.read_text() for path in (MONITORING / "grafana" / "dashboards").glob("*.json")}

    assert written == dashboards.pages()


def test_panels_do_not_lie_on_each_other(dashboards):
    for said in dashboards.DASHBOARDS.values():
        places = [panel["gridPos"] for panel in dashboards.dashboard(*said)["panels"]]
        cells = [
            (x, y)
            for at in places
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]

        assert len(set(cells)) == len(cells)
        assert max(x for x, _ in cells) < dashboards.WIDTH


def test_grafana_finds_its_source_and_the_dashboards():
    """In the places that the services mount."""
    provisioning = MONITORING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "sextant.yml").read_text())["providers"]

    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


@pytest.mark.parametrize("name", [measure.name for measure in MEASURES])
def test_every_measure_of_a_block_is_documented(name):
    assert f"\n| `{name}` |" in PAGE


def test_every_metric_of_watch_client_and_router_is_documented(tmp_path):
    """Those of the pages of real servers are looked at by the end-to-end test."""
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in WatchMetrics(Store(tmp_path)).registry.collect()
    }
    names |= set(re.findall(r"# TYPE (\w+)", str(ClientMetrics())))
    names |= {
        name for name in re.findall(r"`(\w+)`", (ROOT / "docs" / "canary.md").read_text()) if name.startswith(PREFIX)
    }

    assert {name for name in names if f"`{name}`" not in PAGE} == set()


def test_every_reason_is_documented():
    (said,) = re.findall(r"^`reason` is one of few words: (.*)$", PAGE, re.MULTILINE)

    assert sorted(re.findall(r"`(\w+)`", said)) == sorted(REASONS)


def test_the_example_of_the_documentation_runs():
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    names = {}

    exec(compile(program, "docs/metrics.md", "exec"), names)

    assert names["said"].requests == 5
