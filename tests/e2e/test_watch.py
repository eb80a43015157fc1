"""A watch keeps what serves equal to what the registry says, and says so once."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import Ridge

from sextant.errors import ConversionError, ParametersError, StoreError
from sextant_cli.command import run
from sextant_client import Client
from sextant_export.journal import SERVED, TOLD, note, since_flip
from sextant_export.receipt import read_receipt, releases
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote import reconcile, registry_record
from sextant_promote import watch as watching
from sextant_promote.backoff import Backoff
from sextant_promote.bell import Bell
from sextant_promote.canary.routing import route, routed
from sextant_promote.control import Control
from sextant_promote.copies import StoreCopy
from sextant_promote.drift import repair
from sextant_promote.fleet import Fleet, Server
from sextant_promote.lease import lease
from sextant_promote.page import Page
from sextant_promote.promotion import rollback
from sextant_promote.reconcile import LOSSES
from sextant_promote.registry_record import record
from sextant_promote.results import read_results
from sextant_promote.watch import Post, watch
from sextant_server import EmbeddedTriton
from small_world import draw

pytestmark = pytest.mark.e2e

GOOD, OTHER, BROKEN = 1, 2, 3
PATIENCE_S = 150.0
"""How long a notice may take on a machine that is busy with something else; none takes that long by itself."""
PAGE = {
    "members": {"ridge": "models:/ridge@champion", "knn": "models:/knn@champion"},
    "live": {"rows": 4},
}


class Kept:
    """A world of two members on one Triton; ridge has a good version, another one, and one without a signature."""

    def __init__(self, world, triton):
        self.world, self.triton, self.store = world, triton, world.store
        self.control = Control(triton.address.grpc, triton.address.token)
        self.client = MlflowClient(world.registry.tracking_uri)

    def fleet(self):
        return Fleet(self.store, [Server(self.control)])

    def post(self, told, every_s=0.05):
        fleet = self.fleet()
        return Post(
            store=self.store,
            registry=self.world.registry,
            fleet=lambda: fleet,
            told=told,
            every_s=every_s,
            backoff=lambda: Backoff(first_s=0.01, most_s=0.1, rng=np.random.default_rng(1)),
        )

    def alias(self, version):
        self.client.set_registered_model_alias("ridge", "champion", str(version))

    def look(self):
        """One pass of a watch that knows nothing; gives what it said, but for the steps."""
        notices = []
        watch([self.world.spec], self.post(notices.append), once=True)
        return [notice for notice in notices if notice.event != "step"]

    @contextmanager
    def watching(self, every_s=0.05, heard=None):
        """A watch in a thread; gives a function that waits for the next notice of an event, all notices, its bell."""
        heard, notices, bell = heard or queue.Queue(), [], Bell()

        def told(notice):
            notices.append(notice)
            heard.put(notice)

        def until(event):
            while (notice := heard.get(timeout=PATIENCE_S)).event != event:
                pass
            return notice

        thread = threading.Thread(target=watch, args=([self.world.spec], self.post(told, every_s), bell))
        thread.start()
        try:
            yield until, notices, bell
        finally:
            bell.end()
            thread.join()

    def edit(self, text):
        """Write the page, and let it have been written some time ago."""
        self.world.spec.write_text(text)
        os.utime(self.world.spec, (1.0, 1.0))

    def release(self):
        with Client(self.triton.address.grpc) as client:
            return client.pipeline("locate")(draw(1, seed=9).features[0]).release


@pytest.fixture(scope="module")
def one_triton(first_world, tmp_path_factory):
    """The world and its Triton, shared by all tests here: r1 is of the good version, r2 of the other."""
    root = tmp_path_factory.mktemp("watched")
    shutil.copyfile(first_world.root / "mlflow.db", root / "mlflow.db")
    world = replace(first_world, root=root)
    world.write_spec(PAGE)
    world.register("ridge", Ridge(alpha=50.0), alias="spare")
    world.register("ridge", Ridge(alpha=60.0), alias="spare", signature=False)
    with EmbeddedTriton(world.store.prepare().root) as triton:
        kept = Kept(world, triton)
        kept.first = kept.look()
        kept.alias(OTHER)
        kept.second = kept.look()
        yield kept
        kept.control.close()


@pytest.fixture
def kept(one_triton):
    """The good version serves."""
    one_triton.world.write_spec(PAGE)
    one_triton.alias(GOOD)
    one_triton.look()
    assert one_triton.release() == 1
    return one_triton


def test_what_the_alias_says_is_served(kept):
    """The first pass promotes, and the pass after the alias has moved."""
    said = [[(notice.event, notice.release) for notice in notices] for notices in (kept.first, kept.second)]

    assert said == [[("promoted", 1)], [("promoted", 2)]]
    assert kept.first[0].sentence == "r1 serves: ridge version 1, knn version 1"


def test_an_alias_that_moved_back_is_a_rollback(kept):
    """And forth again: nothing is made anew, and a pass with nothing to do says nothing."""
    kept.alias(OTHER)
    forth, then = kept.look(), kept.look()
    answered = kept.release()
    kept.alias(GOOD)
    (back,) = kept.look()

    assert [notice.event for notice in forth] == ["promoted"]
    assert then == []
    assert (answered, kept.release()) == (2, 1)
    assert (back.event, back.sentence) == ("rolled back", "r1 serves, r2 before: ridge version 1, knn version 1")


def test_a_version_that_breaks_is_tried_once(kept):
    """By the watch that tried it, and by one that starts again; what serves goes on serving."""
    before = releases(kept.store, "locate")
    with kept.watching() as (until, notices, _):
        kept.alias(BROKEN)
        refused = until("refused")
        kept.alias(GOOD)
        until("back")
        kept.alias(BROKEN)
        until("refused")
    again = kept.look()

    tried = [notice for notice in notices if notice.event == "step" and "failed" in notice.sentence]
    assert len(tried) == 1
    assert "r1 serves on: models:/ridge/3: it was logged without a signature" in refused.sentence
    assert [(notice.event, notice.sentence) for notice in again] == [("refused", refused.sentence)]
    assert kept.release() == 1
    assert releases(kept.store, "locate") == before


def test_a_registry_that_is_away_is_said_once(kept):
    """And that it is back; what the alias says by then is served."""
    database, aside = kept.world.root / "mlflow.db", kept.world.root / "aside.db"
    kept.alias(OTHER)
    database.rename(aside)
    try:
        with kept.watching() as (until, notices, _):
            until("away")
            kept.control.unload("locate")
            until("repaired")
            aside.rename(database)
            promoted = until("promoted")
            until("back")
    finally:
        if aside.exists():
            aside.rename(database)

    assert [notice.event for notice in notices].count("away") == 1
    assert promoted.release == 2


def test_a_server_that_is_away_is_said_once(kept):
    """Another Triton on the same store takes its place, and is brought to what serves."""
    away = Control("grpc://127.0.0.1:9")
    fleets = [Fleet(kept.store, [Server(away)])]
    heard = queue.Queue()
    post = replace(kept.post(heard.put), fleet=lambda: fleets[-1])
    bell = Bell()
    thread = threading.Thread(target=watch, args=([kept.world.spec], post, bell))
    thread.start()
    try:
        first = heard.get(timeout=PATIENCE_S)
        fleets.append(kept.fleet())
        events = [first.event]
        while events[-1] != "back":
            events.append(heard.get(timeout=PATIENCE_S).event)
    finally:
        bell.end()
        thread.join()
        away.close()

    assert [event for event in events if event != "warned"] == ["away", "back"]


@pytest.mark.parametrize("model", ["ridge", "locate.r1", "locate"])
def test_a_model_that_somebody_unloaded_is_loaded_again(kept, model):
    """A member, the release, the front: callers are answered again after one pass."""
    kept.control.unload(model)

    said = kept.look()

    assert [notice.event for notice in said] == ["repaired"]
    assert kept.release() == 1


def test_a_server_with_another_front_is_brought_to_what_serves(kept):
    """As after a promotion that was killed between the store and the server."""
    front = kept.store.config("locate")
    kept.store.write_ensemble(kept.store.config("locate"))
    other = type(front)()
    other.CopyFrom(front)
    other.parameters["release"].string_value = "7"
    kept.store.write_ensemble(other)
    kept.control.load("locate")
    kept.store.write_ensemble(front)

    (said,) = kept.look()

    assert "serves r7 of locate, and not r1: repaired" in said.sentence
    assert kept.control.release("locate") == 1


def test_a_router_that_a_killed_trial_left_is_taken_back(kept):
    """Its front is the ensemble of the serving release again."""
    serving, candidate = (read_receipt(kept.store, "locate", number) for number in (1, 2))
    route(kept.store, kept.fleet(), serving, candidate, weight=0.5)

    said = kept.look()

    assert [notice.event for notice in said] == ["repaired"]
    assert "r1 answers everyone again" in said[0].sentence
    assert not routed(kept.store, "locate")
    assert kept.control.ready()["locate"] == {1}


def test_a_server_that_kept_the_router_is_brought_back(kept):
    """As one that was away when the trial ended."""
    serving, candidate = (read_receipt(kept.store, "locate", number) for number in (1, 2))
    ensemble = kept.store.config("locate")
    route(kept.store, kept.fleet(), serving, candidate, weight=0.5)
    kept.store.write_ensemble(ensemble)

    (said,) = kept.look()

    assert said.sentence == "the router of a trial that was killed is taken back: r1 answers everyone again"
    assert kept.control.ready()["locate"] == {1}


def test_a_server_that_joins_with_a_copy_of_its_own_is_brought_to_what_serves(kept, tmp_path):
    """From an empty folder; and again when a file of its copy is another."""
    copy, said = StoreCopy(str(tmp_path / "copy")), []
    with (
        EmbeddedTriton(Store(tmp_path / "copy").prepare().root) as triton,
        Control(triton.address.grpc, triton.address.token) as control,
    ):
        fleet = Fleet(kept.store, [*kept.fleet().servers, Server(control, copy=copy)])
        post = replace(kept.post(said.append), fleet=lambda: fleet)
        watch([kept.world.spec], post, once=True)
        joined = control.release("locate")
        (tmp_path / "copy" / "models" / "ridge" / "1" / "model.onnx").write_bytes(b"something else")
        watch([kept.world.spec], post, once=True)

    assert joined == 1
    assert [notice.event for notice in said] == ["repaired", "repaired"]
    assert said[1].sentence == f"{control.url} holds other files of ridge: repaired"
    assert copy.differing(kept.store) == ()


def test_two_watches_do_not_fight(kept):
    """One of them moves; the other finds it done, or waits."""
    heard = queue.Queue()
    with kept.watching(heard=heard) as (until, ones, _), kept.watching(heard=heard) as (_, others, _):
        kept.alias(OTHER)
        until("promoted")
        kept.alias(GOOD)
        until("rolled back")

    moves = [notice.event for notice in (*ones, *others) if notice.event in {"promoted", "rolled back", "refused"}]
    assert sorted(moves) == ["promoted", "rolled back"]
    assert kept.release() == 1


def test_somebody_else_at_work_is_waited_for(kept):
    """A promotion by hand holds the lease: that is said once, and no error."""
    kept.control.unload("locate")
    with ExitStack() as held:
        held.enter_context(lease(kept.store, "locate"))
        with kept.watching() as (until, notices, _):
            waiting = until("waiting")
            held.close()
            until("repaired")

    assert "holds its lease" in waiting.sentence
    assert [notice.event for notice in notices].count("waiting") <= 1


def test_a_page_that_became_wrong_is_said_once(kept):
    """What serves goes on; the page that is sound again is read anew."""
    sound = kept.world.spec.read_text()
    kept.control.unload("locate")
    with kept.watching() as (until, notices, _):
        until("repaired")
        kept.edit(sound.replace("ellipse", "elipse"))
        said = until("refused")
        answered = kept.release()
        kept.control.unload("locate")
        until("repaired")
        kept.edit(sound)
        until("back")

    assert "elipse" in said.sentence
    assert answered == 1
    assert [notice.event for notice in notices].count("refused") == 1


def test_a_page_that_is_being_written_is_not_read(tmp_path, one_triton, monkeypatch):
    """The half of a page may be sound, and mean something else."""
    monkeypatch.setattr("sextant_promote.page.STILL_S", 3600.0)
    path = tmp_path / "page.yaml"
    sound = one_triton.world.spec.read_text()
    path.write_text(sound)
    page = Page(path)

    path.write_text(sound.replace("  knn: models:/knn@champion\n", ""))
    page.reread()
    before = list(page.pipeline.members)
    os.utime(path, (1.0, 1.0))
    page.reread()

    assert (before, list(page.pipeline.members)) == (["ridge", "knn"], ["ridge"])


def test_a_candidate_that_its_server_lost_is_tried_again_but_not_for_ever(kept):
    """Whether Triton was started again while it was tried, or whether the candidate ends it, cannot be seen."""
    kept.world.write_spec({**PAGE, "gate": {"p95_ms": {"at_most": 60_000}}})
    said = []

    def told(notice):
        said.append((notice.event, notice.sentence))
        if notice.sentence.startswith("prove again"):
            kept.control.unload(f"locate.r{max(releases(kept.store, 'locate'))}")

    for _ in range(LOSSES + 1):
        watch([kept.world.spec], kept.post(told), once=True)

    assert [event for event, _ in said if event != "step"] == ["away"] * (LOSSES - 1) + ["refused"] * 2
    assert len([sentence for _, sentence in said if sentence.startswith("prove again")]) == LOSSES
    assert kept.release() == 1


def test_what_fails_when_the_alias_has_moved_on_is_held_against_nobody(kept, monkeypatch):
    """A promotion looks the aliases up itself: what it found out may be of the version they mean by then."""

    def promoted(*_, **__):
        kept.alias(BROKEN)
        raise ConversionError("it does not convert")

    kept.world.write_spec({**PAGE, "live": {"rows": 5}})
    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "promote", promoted)
        assert [notice.event for notice in kept.look()] == ["refused"]
    kept.alias(GOOD)

    assert [notice.event for notice in kept.look()] == ["promoted"]


def test_what_a_killed_promoter_told_nobody_the_watch_tells(kept):
    """It flipped, and ended before it wrote the journal, where another release was the last."""
    note(kept.store, "locate", SERVED, 2)

    said = kept.look()

    assert [event.event for event in since_flip(kept.store, "locate", 1)] == [SERVED, TOLD]
    assert (said, kept.look(), kept.release()) == ([], [], 1)


def test_a_release_that_is_not_meant_any_more_is_not_gone_back_to(kept):
    """The alias has moved while somebody else was at work on the pipeline."""
    done = rollback(kept.store, "locate", kept.fleet(), 2, unless=lambda: True)

    assert (done.changed, done.release, kept.release()) == (False, 1, 1)


def test_a_fault_in_the_live_cases_does_not_end_the_watch(kept, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such column")

    monkeypatch.setattr(watching, "log_known_cases", broken)
    with kept.watching() as (until, notices, _):
        said = until("warned")
        kept.alias(OTHER)
        until("promoted")

    assert said.sentence == "RuntimeError: no such column"
    assert [notice.sentence for notice in notices].count(said.sentence) == 1


def test_a_server_that_cannot_be_repaired_keeps_no_other_from_it(kept):
    class Away(StoreCopy):
        def differing(self, store):
            raise StoreError("the bucket is away")

    servers = [Server(kept.control, copy=Away("memory://away")), Server(kept.control)]
    kept.control.unload("locate")
    repaired = repair(kept.store, Fleet(kept.store, servers), "locate")

    assert next(repaired).endswith("does not serve locate version 1: repaired")
    with pytest.raises(StoreError, match="the bucket is away"):
        next(repaired)
    assert kept.release() == 1


def test_two_pages_of_one_pipeline_are_refused(one_triton):
    kept, twin = one_triton, one_triton.world.root / "twin.yaml"
    twin.write_text(kept.world.spec.read_text())

    with pytest.raises(ParametersError, match="locate is the pipeline of more than one page"):
        watch([kept.world.spec, twin], kept.post(print), once=True)


def test_mlflow_sees_what_serves(kept):
    """Tags on the versions, and the receipt beside the run's artifacts."""
    kept.alias(OTHER)
    kept.look()
    kept.alias(GOOD)
    kept.look()

    good, other = (kept.client.get_model_version("ridge", str(version)) for version in (GOOD, OTHER))
    logged = mlflow.artifacts.load_text(f"runs:/{good.run_id}/sextant/locate/r1.json")

    proof = good.tags.pop("sextant.proof")
    assert good.tags == {"sextant.serving": "true", "sextant.release": "locate.r1", "sextant.pipeline": "locate"}
    assert proof.startswith("|delta| ")
    assert (other.tags["sextant.serving"], other.tags["sextant.release"]) == ("false", "locate.r2")
    assert json.loads(logged)["identity"] == read_receipt(kept.store, "locate", 1).identity


def test_what_mlflow_was_not_told_it_is_told_by_the_next_pass(kept, monkeypatch):
    """And what it still believes of a version that served before is put right."""
    tags = lambda version: kept.client.get_model_version("ridge", str(version)).tags  # noqa: E731
    kept.client.set_model_version_tag("ridge", str(BROKEN), "sextant.serving", "true")
    kept.client.set_model_version_tag("ridge", str(BROKEN), "sextant.release", "locate.r9")
    kept.alias(OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(registry_record, "_told", lambda *_: "the registry takes nothing")
        events = [notice.event for notice in kept.look()]
    before = tags(OTHER)["sextant.serving"]

    assert kept.look() == []
    assert (events, before, tags(OTHER)["sextant.serving"]) == (["promoted", "warned"], "false", "true")
    assert (tags(GOOD)["sextant.serving"], tags(BROKEN)["sextant.serving"]) == ("false", "false")


def test_a_version_of_two_pipelines_names_both(kept):
    """It serves as long as one of them serves it."""
    receipt = read_receipt(kept.store, "locate", 1)
    another = replace(receipt, pipeline="find", release=7)
    knn = lambda: kept.client.get_model_version("knn", "1").tags  # noqa: E731

    warnings = record(kept.store, kept.world.registry, another, None)
    both = knn()
    record(kept.store, kept.world.registry, replace(another, release=8, members={}), another)
    one = knn()

    assert warnings == ()
    assert (both["sextant.release"], both["sextant.pipeline"]) == ("find.r7,locate.r1", "find,locate")
    assert (one["sextant.release"], one["sextant.serving"]) == ("locate.r1", "true")


def test_a_registry_that_takes_nothing_is_a_warning(kept):
    receipt = read_receipt(kept.store, "locate", 1)

    (warning,) = record(kept.store, Registry(f"sqlite:///{kept.world.root}/nowhere.db"), receipt, None)

    assert warning.startswith("MLflow was not told of locate.r1, neither by tags nor by its receipt: ")


def test_known_cases_through_what_serves_are_logged(kept):
    """Each with what was expected, how far off it was, and who answered."""
    kept.look()

    last = read_results(kept.store, "locate", last=4)

    assert len({result.case for result in last}) == 4
    for result in last:
        assert (result.release, result.error) == (1, None)
        assert result.versions == {"ridge": "models:/ridge/1", "knn": "models:/knn/1"}
        assert result.error_m < 100
        assert result.correct == result.inside["0.95"]
        assert result.latency_ms > 0


def test_the_training_step_of_the_version_is_logged(kept):
    """What the run's newest metric says, and a tag of the version before that."""
    from sextant_export.training_step import _asked, training_step

    other = kept.client.get_model_version("ridge", str(OTHER))
    steps = [training_step(kept.world.registry, f"models:/ridge/{OTHER}")]
    for step in (400, 1200):
        kept.client.log_metric(other.run_id, "loss", 0.5, timestamp=step, step=step)
    _asked.cache_clear()
    steps.append(training_step(kept.world.registry, f"models:/ridge/{OTHER}"))
    kept.client.set_model_version_tag("ridge", str(OTHER), "checkpoint_step", "900")
    _asked.cache_clear()
    steps.append(training_step(kept.world.registry, f"models:/ridge/{OTHER}"))

    assert steps == [None, 1200, 900]


def test_a_server_that_does_not_answer_is_in_the_log(kept):
    """One line, and the rest of the cases is left for later."""
    from sextant_export.pipeline import load_pipeline
    from sextant_promote.live import log_known_cases

    pipeline = load_pipeline(kept.world.spec)
    receipt = read_receipt(kept.store, "locate", 1)

    warnings = log_known_cases(pipeline, kept.store, kept.world.registry, receipt, "grpc://127.0.0.1:9")

    (last,) = read_results(kept.store, "locate", last=1)
    assert len(warnings) == 1
    assert last.prediction is None
    assert "127.0.0.1:9" in last.error


def command(kept, *options):
    """The words of `sextant watch` on what is kept."""
    address = kept.triton.address
    where = ["--store", str(kept.store.root), "--registry", kept.world.registry.tracking_uri]
    return ["watch", str(kept.world.spec), *where, "--server", address.grpc, "--token", address.token, *options]


def test_the_command_ends_on_a_signal(kept, capsys):
    """Its lines are JSON when asked for; SIGTERM ends it after the step under way, with 0."""
    kept.alias(OTHER)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def end():
        while kept.store.served_release("locate") != 2:
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    ending = threading.Thread(target=end)
    ending.start()
    code = run(command(kept, "--json"))
    ending.join()

    lines = map(json.loads, capsys.readouterr().out.splitlines())
    (line,) = (each for each in lines if each["event"] == "promoted")
    assert (code, line["release"], line["pipeline"]) == (0, 2, "locate")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


def test_the_command_tells_once_what_is_in_trouble(kept, capsys):
    """In lines for people, with 1."""
    kept.alias(BROKEN)

    code = run(command(kept, "--once"))

    said = capsys.readouterr().out.splitlines()[-1]
    assert code == 1
    assert re.match(
        r"\d{4}-\d\d-\d\dT[\d:]{8}\+00:00 locate refused: not tried again until it changes, r1 serves", said
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hook", "127.0.0.1:0", "--hook-secret-env", "NOT_SET"], "in the environment variable NOT_SET"),
        (["--hook", "8085"], "write HOST:PORT"),
        (["--hook", "127.0.0.1:99999"], "write HOST:PORT"),
    ],
    ids=["no secret", "no host", "no port"],
)
def test_a_hook_that_cannot_be_is_a_usage_error(one_triton, capsys, options, said):
    code = run(command(one_triton, *options))

    assert code == 2
    assert said in " ".join(capsys.readouterr().err.split())
