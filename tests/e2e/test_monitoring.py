"""Prometheus reads a Triton and a watch; every panel of the dashboards has data, and a provoked alert fires."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from label_world import LabelWorld, zones
from metric_pages import samples, until, value
from prometheus_server import Prometheus, free_port
from promotion_stage import resumed
from sextant.errors import LeaseHeld, RequestRefused
from sextant_client import Client
from sextant_export.live import Live
from sextant_export.receipt import read_receipt
from sextant_promote.canary.routing import route, unroute
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet, Server
from sextant_promote.lease import lease
from sextant_promote.live import log_known_cases
from sextant_server import EmbeddedTriton
from small_world import draw

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]  # a watch in a process of its own, which imports MLflow

DASHBOARDS = Path(__file__).parents[2] / "deploy" / "monitoring" / "grafana" / "dashboards"
LIVE = {"rows": 4, "every_s": 1}
ZONE = {"logistic": "models:/zone_logistic@champion", "neighbours": "models:/zone_neighbours@champion"}
CACHED = {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": 1, "response_cache": True}
PATIENCE_S = 150.0


class Zones(LabelWorld):
    """The same registry and store, with a page of labels beside the other."""

    @property
    def spec(self):
        return self.root / "zone.yaml"


@pytest.fixture(scope="module")
def site(first_world, kept, tmp_path_factory):
    """Two releases of ``locate`` on trial, and labels that a real ``sextant watch`` promoted; callers, Prometheus."""
    world = resumed(first_world, kept / "moved", tmp_path_factory.mktemp("monitored"))
    locate = world.write_spec()
    labels = Zones(world.root)
    labels.register_classifier("zone_logistic", LogisticRegression(C=10.0, max_iter=500), zones(world.training))
    labels.register_classifier("zone_neighbours", KNeighborsClassifier(7), zones(world.training))
    labels.write_labels(members=ZONE, rows=300, changes={"live": LIVE, "serving": CACHED})
    with ExitStack() as stack:
        triton = stack.enter_context(EmbeddedTriton(world.store.prepare().root))
        control = stack.enter_context(Control(triton.address.grpc, triton.address.token))
        watched = stack.enter_context(watching(world, triton, world.spec, labels.spec))
        until(lambda: world.store.served_release("zone"), bool, PATIENCE_S)
        targets = {"triton": triton.address.metrics, "watcher": watched}
        bare = {name: url.partition("//")[2].partition("/")[0] for name, url in targets.items()}
        prometheus = stack.enter_context(Prometheus(world.root, bare))
        stack.enter_context(trial(world.store, Fleet(world.store, [Server(control)])))
        ask_known_cases(replace(locate, live=Live(rows=LIVE["rows"])), world, triton.address.grpc)
        stack.enter_context(callers(triton.address.grpc))
        yield SimpleNamespace(
            store=world.store,
            triton=triton,
            page=watched,
            triton_page=f"{triton.address.metrics}/metrics",
            prometheus=prometheus,
        )


@contextmanager
def watching(world, triton, *pages):
    """The command in a process of its own; gives the URL of its metrics."""
    port = free_port()
    command = [sys.executable, "-m", "sextant_cli", "watch", *map(str, pages), "--every", "1"]
    command += ["--store", str(world.store.root), "--registry", world.registry.tracking_uri]
    command += ["--server", triton.address.grpc, "--token", triton.address.token, "--metrics", f"127.0.0.1:{port}"]
    with (world.root / "watch.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, (world.root / "watch.log").read_text()


def ask_known_cases(pipeline, world, url):
    """As a watch does where the page says ``live``; to say it there would make another release."""
    serving = read_receipt(world.store, pipeline.name, 2)

    assert log_known_cases(pipeline, world.store, world.registry, serving, url) == ()


@contextmanager
def trial(store, fleet):
    """Half of the callers of ``locate`` are answered by its first release; the watch waits, for we hold the lease."""
    serving, candidate = (read_receipt(store, "locate", number) for number in (2, 1))
    with ExitStack() as held:
        until(lambda: entered(held, store), bool)
        fleet.load("locate.r1")
        route(store, fleet, serving, candidate, weight=0.5)
        try:
            yield
        finally:
            unroute(store, fleet, serving)


def entered(held, store):
    """Whether the lease could be had: the watch may be at work."""
    with suppress(LeaseHeld):
        held.enter_context(lease(store, "locate"))
        return True


@contextmanager
def callers(url):
    """One that asks both pipelines every half second, other rows each time, and what they refuse."""
    enough = threading.Event()

    def call():
        seeds = count()
        with Client(url) as client:
            while not enough.wait(0.5):
                for row in draw(20, seed=next(seeds)).features:  # the cache has none of them
                    client.pipeline("locate")(row)
                    client.pipeline("zone")(row)
                with suppress(RequestRefused):
                    client.pipeline("zone")(np.full(8, np.nan, np.float32))

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def questions():
    """Every question of every panel, as Grafana would put it over a minute."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                said = target["expr"].replace("$pipeline", ".+").replace("$__rate_interval", "1m")
                yield f"{path.stem}, {panel['title']}: {said}", said


def test_every_panel_has_data(site):
    """Numbers, and not the nothing that a rate of nothing is."""

    left = dict(questions())

    def empty():
        """The places that had no number yet."""
        for place, query in list(left.items()):
            if any(np.isfinite(one) for _, one in site.prometheus.query(query)):
                del left[place]
        return set(left)

    assert len(left) > 40
    until(empty, lambda places: places == set())


def test_every_rule_can_be_evaluated(site):
    """On what the servers really say, which may have other labels than a test of rules has."""
    until(lambda: site.prometheus.query("sextant:errors:ratio5m"), lambda said: len(said) == 2)

    assert site.prometheus.faulty_rules() == {}


def test_what_a_block_refuses_is_no_error_of_the_pipeline(site):
    """Triton counts it among the failures, a tenth of all here; the share of errors leaves it out."""
    failed = "sextant:failed_requests:rate5m{pipeline='zone'} / sextant:requests:rate5m{pipeline='zone'}"
    until(lambda: site.prometheus.query(f"{failed} > 0.05"), bool)

    ((_, errors),) = until(
        lambda: site.prometheus.query("sextant:errors:ratio5m{pipeline='zone'}"), lambda found: found[0][1] < 0.02
    )

    assert errors >= 0


def test_the_watch_says_what_serves(site):
    """By server, and of the trial that somebody else runs its weight; known cases with their coverage."""
    url = site.triton.address.grpc
    until(lambda: value(site.page, "sextant_canary_weight", pipeline="locate", release="1"), lambda now: now == 0.5)
    until(lambda: value(site.page, "sextant_known_cases_coverage", pipeline="locate"), bool)

    said = {
        "up": value(site.page, "sextant_server_up", server=url),
        "locate": value(site.page, "sextant_serving_release", pipeline="locate", server=url),
        "zone": value(site.page, "sextant_promoted_release", pipeline="zone"),
        "promotions": value(site.page, "sextant_watch_events_total", pipeline="zone", event="promoted"),
    }
    assert said == {"up": 1, "locate": 2, "zone": 1, "promotions": 1}
    assert value(site.page, "sextant_known_cases_answered", pipeline="zone") == LIVE["rows"]
    assert value(site.page, "sextant_known_cases_accuracy", pipeline="zone") >= 0.5
    assert value(site.page, "sextant_known_cases_median_error_m", pipeline="locate") < 100


def test_a_block_that_is_loaded_again_and_again_is_an_alert(site):
    """Four times within a minute; it carries what to do, and where that is written."""
    assert "SextantBlockReloading" not in site.prometheus.alerts()
    place = site.store.models / "zone.vote" / "1" / "parameters.json"
    for loads in range(2, 6):
        os.utime(place, (time.time(), time.time()))
        site.triton.load("zone.vote")
        until(lambda: value(site.triton_page, "sextant_block_loads_total", step="vote"), lambda now, n=loads: now == n)
        until(lambda n=loads: site.prometheus.query(f"sextant_block_loads_total{{step='vote'}} == {n}"), bool)

    alert = until(site.prometheus.alerts, lambda found: "SextantBlockReloading" in found)["SextantBlockReloading"]

    assert alert["labels"]["step"] == "vote"
    assert alert["annotations"]["runbook_url"] == "docs/metrics.md#sextantblockreloading"


def test_every_metric_of_the_page_is_documented(site):
    """What a server and a watch really say of themselves stands in the table of docs/metrics.md."""
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    said = {name for url in (site.triton_page, site.page) for name, _ in samples(url) if name.startswith("sextant_")}

    missing = {name for name in said if not any(f"`{family}`" in page for family in families(name))}

    assert missing == set()


def families(name):
    """What a table may call the sample *name*."""
    return name, re.sub("_(bucket|sum|count|created)$", "", name), re.sub("_created$", "_total", name)
