"""A promotion with a canary, through a real Triton, while callers ask: who serves in the end, and who answered."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from hosts import Host
from label_world import LabelWorld, zones
from routed_releases import kill_idle, process_of
from sextant.errors import TrialFailed
from sextant.route_shell import THREADS
from sextant_cli.command import run
from sextant_export.journal import CANARY as TRIED
from sextant_export.journal import REFUSED, SERVED, read_journal
from sextant_export.receipt import read_receipt
from sextant_export.store import Store
from sextant_promote import phases
from sextant_promote.canary import routing
from sextant_promote.canary.routing import route, routed, unroute
from sextant_promote.control import Control
from sextant_promote.copies import StoreCopy
from sextant_promote.drift import repair
from sextant_promote.fleet import Fleet, Server
from sextant_promote.front import ENSEMBLE
from sextant_promote.phases import flip
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton
from tried_sums import CANARY, CANDIDATE, SERVING, WAITS_US, Callers, heard_at, page, register

pytestmark = pytest.mark.e2e
BETWEEN = pytest.mark.filterwarnings("ignore:unclosed .socket:ResourceWarning")
"""An interrupt may come where the standard library has made a socket, and nobody holds it yet."""


class Tried:
    """A world, and a Triton on its store that serves ``sums``."""

    def __init__(self, world, triton):
        self.world, self.triton, self.store = world, triton, world.store
        self.server = Server(Control(triton.address.grpc, triton.address.token), f"{triton.address.metrics}/metrics")
        self.fleet = Fleet(self.store, [self.server])

    @property
    def urls(self):
        """One caller over gRPC and one over HTTP."""
        return self.triton.address.grpc, self.triton.address.http

    def promote(self, name, canary=False, *, fleet=None, waits_us=0, **how):
        """Promote the version *name*; with another *waits_us* it is another release."""
        spec = page(self.world, name, canary, waits_us=waits_us)
        return promote(spec, self.store, self.world.registry, fleet or self.fleet, **how)

    def serving(self):
        return self.store.served_release("sums")

    def last(self, pipeline="sums"):
        """The receipt of the newest release, and what the journal says of it."""
        journal = read_journal(self.store, pipeline)
        number = max(event.release for event in journal)
        events = [event for event in journal if event.release == number]
        return read_receipt(self.store, pipeline, number), {event.event: event.facts for event in events}


@pytest.fixture(scope="module")
def one_triton(first_world, tmp_path_factory):
    """The registry's versions: one that serves, one as good, one that fails on some rows."""
    root = tmp_path_factory.mktemp("tried")
    shutil.copyfile(first_world.root / "mlflow.db", root / "mlflow.db")
    world = replace(first_world, root=root)
    register(world, "steady", SERVING)
    register(world, "sound", CANDIDATE)
    register(world, "poisoned", CANDIDATE, poisoned=True)
    with EmbeddedTriton(world.store.prepare().root) as triton:
        tried = Tried(world, triton)
        yield tried
        tried.server.control.close()


@pytest.fixture
def ears():
    """Ctrl-C is heard even where the tests themselves were started in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def tried(one_triton, monkeypatch, ears):
    """The steady version serves; a router of one process loads four times as fast."""
    monkeypatch.setattr(routing, "PROCESSES", 1)
    one_triton.promote("steady")
    return one_triton


def canary(**changes):
    return {**CANARY, **changes}


def once(whom, act):
    """Acts as soon as *whom* is heard, and never again."""
    acts = iter([act])
    return lambda heard: next(acts, int)() if heard == whom else None


def refused(tried, name, changes, urls=None, **how):
    """What came of a candidate that is not to serve: the error, and its callers."""
    before = tried.serving()
    with Callers(urls or tried.urls) as callers, pytest.raises(TrialFailed) as failed:
        tried.promote(name, canary(**changes), **how)

    assert tried.serving() == before
    assert not routed(tried.store, "sums")
    assert heard_at(urls or tried.urls) == {SERVING}
    return failed.value, callers


def test_a_sound_candidate_advances_and_serves(tried):
    """Step after step, and nobody notices but by who answers."""
    with Callers(tried.urls) as callers:
        done = tried.promote("sound", canary())

    verdict, (receipt, journal) = done.receipt.canary, tried.last()
    assert (done.changed, tried.serving()) == (True, done.release)
    assert verdict["outcome"] == "advance"
    assert verdict["requests"] >= 2 * CANARY["requests"]
    assert receipt.canary == verdict
    assert journal[TRIED]["outcome"] == "advance"
    assert callers.failures == []
    assert callers.answers.keys() == {SERVING, CANDIDATE}
    assert heard_at(tried.urls) == {CANDIDATE}


def test_one_that_fails_on_some_rows_is_taken_back(tried):
    """Its callers heard the errors; the receipt keeps the evidence."""
    error, callers = refused(tried, "poisoned", {})

    receipt, journal = tried.last()
    assert error.verdict.outcome == "roll back"
    assert error.verdict.reason.startswith("errors ")
    assert callers.failures
    assert receipt.outcome == "refused"
    assert receipt.canary == error.verdict.to_dict()
    assert receipt.canary["evidence"]["errors"]["harm"] >= 1 / CANARY["alpha"]
    assert journal[TRIED]["outcome"] == "roll back"
    assert journal[REFUSED]["reason"] == str(error)
    assert not tried.fleet.ready().get(receipt.name)


def test_one_that_is_slow_is_taken_back(tried):
    """It waits for company before it answers."""
    error, _ = refused(tried, "sound", {"slow": 0.2}, waits_us=WAITS_US)

    assert error.verdict.outcome == "roll back"
    assert error.verdict.reason.startswith("slow (above ")


def test_a_shadow_that_fails_is_taken_back_unheard(tried):
    error, callers = refused(tried, "poisoned", {"weights": [], "shadow": 1.0})

    assert error.verdict.outcome == "roll back"
    assert error.verdict.reason.startswith("errors ")
    assert callers.failures == []
    assert callers.answers.keys() == {SERVING}


def test_a_shadow_that_answers_advances(tried):
    """Though it answers otherwise, which is what it is for."""
    with Callers(tried.urls) as callers:
        done = tried.promote("sound", canary(weights=[], shadow=1.0))
    told = done.receipt.canary["evidence"]["differing"]

    assert done.changed
    assert told["compared"] >= CANARY["requests"] - THREADS  # a look may fall between two counts of one request
    assert told["differing"] > 0
    assert callers.failures == []


def test_what_nobody_asks_is_undecided(tried):
    with pytest.raises(TrialFailed, match="ended as undecided after 0 requests: 0.1 s were not enough") as failed:
        tried.promote("sound", canary(at_most_s=0.1), waits_us=1)

    assert failed.value.verdict.outcome == "undecided"
    assert tried.last()[0].outcome == "refused"


@BETWEEN
def test_ctrl_c_in_the_middle_leaves_what_served(tried):
    """As soon as a caller hears the candidate."""
    before = tried.serving()

    with (
        Callers(tried.urls, once(CANDIDATE, lambda: os.kill(os.getpid(), signal.SIGINT))) as callers,
        pytest.raises(KeyboardInterrupt),
    ):
        tried.promote("sound", canary(requests=1_000_000), waits_us=2)

    receipt, journal = tried.last()
    assert callers.failures == []
    assert (receipt.outcome, journal[REFUSED]["reason"]) == ("refused", "interrupted")
    assert (tried.serving(), routed(tried.store, "sums"), heard_at(tried.urls)) == (before, False, {SERVING})


@BETWEEN
def test_what_waits_in_the_router_when_the_trial_ends_is_answered(tried):
    """The candidate that it is meant for stays until then: more callers ask than the router serves at a time."""
    with (
        Callers(tried.urls * 24, once(CANDIDATE, lambda: os.kill(os.getpid(), signal.SIGINT))) as callers,
        pytest.raises(KeyboardInterrupt),
    ):
        tried.promote("sound", canary(weights=[0.9], requests=1_000_000), waits_us=WAITS_US)

    assert callers.failures == []
    assert heard_at(tried.urls) == {SERVING}


@BETWEEN
def test_a_second_ctrl_c_fails_nobody(tried, monkeypatch):
    """It comes when the store says already that the router is gone, and the server does not know yet."""
    load_front, presses = routing.load_front, iter([KeyboardInterrupt])

    def pressed(fleet, receipt, version=ENSEMBLE):
        if version == ENSEMBLE:
            for press in presses:
                raise press
        load_front(fleet, receipt, version)

    monkeypatch.setattr(routing, "load_front", pressed)
    with (
        Callers(tried.urls, once(CANDIDATE, lambda: os.kill(os.getpid(), signal.SIGINT))) as callers,
        pytest.raises(KeyboardInterrupt),
    ):
        tried.promote("sound", canary(requests=1_000_000), waits_us=3)

    assert (callers.failures, heard_at(tried.urls)) == ([], {SERVING})
    assert tried.fleet.ready()["sums"] == {ENSEMBLE}


def test_a_router_that_only_the_server_knows_of_is_taken_back_first(tried):
    """As where a promoter is killed between the store's word and the server's; nobody who is sent there fails."""
    ensemble = tried.store.config("sums")
    left_by_a_killed_promoter(tried)
    tried.store.write_ensemble(ensemble)
    with Callers(tried.urls) as callers:
        callers.wait_for(12)
        done = tried.promote("steady")

    assert (done.changed, callers.failures, heard_at(tried.urls)) == (False, [], {SERVING})


def test_the_serving_release_is_tried_as_it_is_though_only_its_front_was_loaded(tried):
    """A front needs no ensemble but itself; a router asks the release by its own name."""
    tried.server.control.unload(f"sums.r{tried.serving()}")

    with Callers(tried.urls) as callers:
        done = tried.promote("sound", canary(), waits_us=4)

    assert (done.receipt.canary["outcome"], callers.failures) == ("advance", [])


def test_what_serves_is_not_tried_against_itself(tried):
    """A server lost one of its models, which is loaded again; a trial that nobody asks would end undecided."""
    with Callers(tried.urls):
        first = tried.promote("sound", canary(), waits_us=5)
    tried.server.control.unload("sound")

    again = tried.promote("sound", canary(), waits_us=5)

    assert (again.release, tried.serving(), heard_at(tried.urls)) == (first.release, first.release, {CANDIDATE})


def test_ctrl_c_after_the_flip_leaves_what_was_flipped_to(tried, monkeypatch):
    """It passed everything, and callers have its answers; the next promotion says so in the journal."""

    def pressed(*of):
        flip(*of)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(phases, "flip", pressed)
        with Callers(tried.urls) as callers, pytest.raises(KeyboardInterrupt):
            tried.promote("sound", waits_us=6)
    receipt, journal = tried.last()
    again, (_, noted) = tried.promote("sound", waits_us=6), tried.last()

    assert (receipt.outcome, receipt.release, heard_at(tried.urls)) == ("served", tried.serving(), {CANDIDATE})
    assert callers.failures == []
    assert (again.changed, SERVED in journal, SERVED in noted) == (False, False, True)


def promoted_by_the_command(tried, world, spec):
    """The exit code of ``sextant promote``."""
    address, settings = tried.triton.address, world.root / "sextant.toml"
    settings.write_text(f'[[server]]\nurl = "{address.grpc}"\nmetrics = "{address.metrics}/metrics"\n')
    where = ["--store", str(world.store.root), "--registry", world.registry.tracking_uri, "--token", address.token]
    return run(["--settings", str(settings), "promote", str(spec), *where])


def test_a_job_that_is_cancelled_leaves_what_served(tried):
    """SIGTERM in the middle of a trial is no kill: all is taken back, and the exit code says what it was."""
    before = tried.serving()
    page(tried.world, "sound", canary(requests=1_000_000), waits_us=7)

    with Callers(tried.urls, once(CANDIDATE, lambda: os.kill(os.getpid(), signal.SIGTERM))) as callers:
        code = promoted_by_the_command(tried, tried.world, tried.world.root / "sums.yaml")

    assert (code, callers.failures) == (143, [])
    assert (tried.serving(), routed(tried.store, "sums"), heard_at(tried.urls)) == (before, False, {SERVING})


def left_by_a_killed_promoter(tried):
    """A router between what serves and a candidate that is loaded."""
    done = tried.promote("sound", until="gate")
    serving = read_receipt(tried.store, "sums", tried.serving())
    route(tried.store, tried.fleet, serving, done.receipt, weight=0.5)
    assert heard_at(tried.urls, 40) == {SERVING, CANDIDATE}


def test_who_asks_by_the_command_may_say_who_it_is(tried, capsys):
    """One caller is answered by one release; of many callers some by the other."""
    left_by_a_killed_promoter(tried)

    def who(key):
        capsys.readouterr()
        where = ["--server", tried.triton.address.grpc, "--route-key", key, "--json"]
        assert run(["ask", "sums", f"features={[0.0] * 8}", *where]) == 0
        return json.loads(capsys.readouterr().out)["total"][0]

    said = {key: {who(key) for _ in range(4)} for key in map(str, range(8))}
    unroute(tried.store, tried.fleet, read_receipt(tried.store, "sums", tried.serving()))

    assert {len(releases) for releases in said.values()} == {1}
    assert set.union(*said.values()) == {SERVING, CANDIDATE}


def test_the_next_promotion_takes_back_what_a_killed_one_left(tried):
    left_by_a_killed_promoter(tried)

    done = tried.promote("steady")

    assert (done.changed, routed(tried.store, "sums"), heard_at(tried.urls)) == (False, False, {SERVING})


def test_a_watch_takes_back_what_a_killed_promotion_left(tried):
    left_by_a_killed_promoter(tried)

    said = list(repair(tried.store, tried.fleet, "sums"))

    assert said == [f"the router of a trial that was killed is taken back: r{tried.serving()} answers everyone again"]
    assert (routed(tried.store, "sums"), heard_at(tried.urls)) == (False, {SERVING})


def test_a_router_that_dies_ends_the_trial(tried, monkeypatch):
    """Triton does not start it again: every request would fail until somebody notices."""
    monkeypatch.setattr(routing, "DRAINS_S", 1.0)  # what it had taken is never answered

    def kill():
        version = max(tried.store.versions("sums"))
        kill_idle(process_of(tried.triton, f"/models/sums/{version}/"))

    before = tried.serving()
    with Callers(tried.urls[:1], once(CANDIDATE, kill), timeout_s=5) as callers, pytest.raises(TrialFailed) as failed:
        tried.promote("sound", canary(requests=1_000_000))

    assert failed.value.verdict.outcome == "undecided"
    assert failed.value.verdict.reason.startswith("requests that the router itself failed: ")
    assert callers.failures
    assert (tried.serving(), routed(tried.store, "sums"), heard_at(tried.urls)) == (before, False, {SERVING})


def test_a_fleet_is_tried_together(tried, tmp_path):
    """Both servers route, both are counted, and both go back."""
    host = Host(tried.store, tmp_path / "second")
    host.start()
    try:
        address = host.triton.address
        second = Server(host.server.control, f"{address.metrics}/metrics")
        fleet, urls = Fleet(tried.store, [tried.server, second]), (tried.urls[0], address.http)
        error, callers = refused(tried, "poisoned", {}, urls, fleet=fleet)
        done = heard_at([address.grpc])
    finally:
        host.stop()

    told = error.verdict.evidence["errors"]
    assert error.verdict.outcome == "roll back"
    assert callers.answers.keys() == {SERVING, CANDIDATE}
    assert told["candidate"] + told["serving"] > 0
    assert done == {SERVING}


def test_a_server_with_a_copy_of_its_own_is_tried_too(tried, tmp_path):
    """The router travels there and goes again; callers of both advance to the candidate."""
    root = tmp_path / "copy"
    with (
        EmbeddedTriton(Store(root).prepare().root) as triton,
        Control(triton.address.grpc, triton.address.token) as control,
    ):
        other = Server(control, f"{triton.address.metrics}/metrics", StoreCopy(str(root)))
        fleet, urls = Fleet(tried.store, [tried.server, other]), (tried.urls[0], triton.address.http)
        tried.promote("steady", fleet=fleet, waits_us=8)
        with Callers(urls) as callers:
            done = tried.promote("sound", canary(), fleet=fleet, waits_us=8)
        heard = heard_at([triton.address.grpc])

    assert (done.receipt.canary["outcome"], callers.failures, heard) == ("advance", [], {CANDIDATE})
    assert {path.name for path in (root / "models" / "sums").iterdir()} == {"1", "config.pbtxt"}
    assert other.copy.differing(tried.store, read=True) == ()


@pytest.fixture
def zoned(tried):
    """
    A label pipeline beside: a version that knows the zones serves, the newest takes most yards for gardens.

    Its known cases are a dataset that was logged with the run of each version.
    """
    world = LabelWorld(tried.world.root)
    changes = {
        "calibration": None,
        "gate": {"data": {"dataset": "zoner", "truth": "zone"}},
        "canary": canary(wrong=0.05),
    }
    spec = world.write_labels(members={"zoner": "models:/zoner@champion"}, changes=changes)
    truth = zones(world.training)
    register_zoner(world, truth)
    promote(spec, world.store, world.registry, tried.fleet)
    mistaken = (truth == "yard") & (np.arange(len(truth)) % 5 > 0)  # a class that is never named would be gone
    register_zoner(world, np.where(mistaken, "garden", truth))
    return world


def register_zoner(world, labels):
    model = DecisionTreeClassifier(max_depth=9, random_state=0).fit(world.training.scaled, labels)

    def log(mlflow, **facts):
        rows = pd.read_parquet(world.root / "zones.parquet")
        source = str(world.root / "zones.parquet")
        mlflow.log_input(mlflow.data.from_pandas(rows, source=source, name="walked"), context="testing")
        return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", **facts)

    world.log("zoner", log, model, "champion")


def test_one_that_is_worse_on_known_cases_is_taken_back(tried, zoned, capsys):
    """Though nobody asks; the command says so, with the evidence."""
    code = promoted_by_the_command(tried, zoned, zoned.spec)

    said = capsys.readouterr().err.splitlines()
    receipt, _ = tried.last("zone")
    assert code == 1, said
    head = next(place for place, line in enumerate(said) if line.startswith("criterion"))
    assert said[head].split() == ["criterion", "candidate", "serving", "margin", "harm", "harmless"]
    assert re.match(r"wrong +\+[\d.]+% of \d+ +- +\+5% ", said[head + 3])
    assert said[-1].startswith(
        "sextant: zone.r2 is not promoted: its canary ended as roll back after 0 requests: wrong"
    )
    assert receipt.canary["outcome"] == "roll back"
    assert tried.store.served_release("zone") == 1
