"""Settings are tried on a Triton of their own, and what is found is written, accepted and served."""

from __future__ import annotations

import json

import pytest
from tritonclient.grpc import InferenceServerClient

from sextant.errors import LoadTestError, ServerUnreachable
from sextant_cli.command import run
from sextant_client import Client
from sextant_export.pipeline import Serving, load_pipeline
from sextant_export.release import export
from sextant_export.spec_file import read_mapping
from sextant_export.store import Store
from sextant_loadtest.figures import Figures, Samples
from sextant_loadtest.load import Outcome
from sextant_loadtest.tuning import search, tune
from sextant_loadtest.tuning.candidates import candidates
from sextant_loadtest.tuning.release import release_of
from sextant_promote.control import Control
from small_world import draw

pytestmark = pytest.mark.e2e

ROW = draw(1, seed=9).features
COMMENT = "# what it takes of this machine\n"


def configured(url, model):
    """How the Triton at *url* serves *model*."""
    with InferenceServerClient(url.removeprefix("grpc://")) as client:
        return client.get_model_config(model).config


class Counted:
    """A load that asks once, and says it was answered the quicker the more instances the server has of the ridge."""

    def __init__(self):
        self.asked = []

    def __call__(self, plan, inputs):
        with Client(plan.urls[0]) as client:
            client.pipeline(plan.pipeline).tensors(**{name: rows[:1] for name, rows in inputs.items()})
        found = configured(plan.urls[0], f"{plan.pipeline}.ridge")
        self.asked.append(found.instance_group[0].count)
        rate = 100.0 * self.asked[-1] + len(self.asked) % 2
        total = Figures.of(Samples.of([(0.0, 1e3 / rate, "")] * 10), 10 / rate)
        return Outcome(plan=plan, began="", seconds=1.0, ended="done", total=total, by_class={}, sentences={})


@pytest.fixture
def counted(monkeypatch):
    """In the place of Locust's load, on a machine of two cores, where instances alone are tried: a Triton for each."""
    counted = Counted()
    monkeypatch.setattr(tune, "load", counted)
    monkeypatch.setattr(tune.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(search, "AXES", ("instances",))
    return counted


def command(world, *options):
    """The verb on the page of *world*."""
    place = ["--store", str(world.store.root), "--registry", world.registry.tracking_uri]
    return run(["loadtest", str(world.spec), "--tune", *place, *options])


def every_file(store):
    """When each file of *store* was changed last, its names included."""
    stats = {path: path.stat() for path in store.models.rglob("*") if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_nlink) for path, stat in stats.items()}


def test_what_suits_the_machine_is_written_and_serves_with_the_next_promotion(
    served, counted, capsys, monkeypatch, tmp_path_factory
):
    """And the store, the server on it, and the temporary folder are as if nothing had been tried."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tune.tempfile, "tempdir", str(folder))
    page = served.world.spec
    page.write_text(COMMENT + page.read_text())
    files, models = every_file(served.store), served.control.ready()
    before = served.ask(ROW)

    code = command(served.world, "--users", "4")
    said, after = capsys.readouterr(), served.ask(ROW)

    assert code == 0
    assert {*counted.asked} == {1, 2}
    assert not list(folder.glob("sextant-tune-*"))
    assert "serving: instances: 2; promote it to serve so." in said.out
    assert (every_file(served.store), served.control.ready(), after) == (files, models, before)
    assert page.read_text().startswith(COMMENT)
    assert read_mapping(page)["serving"] == {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": 2}
    assert run(["check", str(page)]) == 0
    assert served.promote().changed
    assert served.loaded("ridge").instance_group[0].count == 2


@pytest.mark.usefixtures("counted")
def test_without_writing_the_page_stays_and_the_figures_are_told(served, capsys):
    page = served.world.spec.read_bytes()

    code = command(served.world, "--no-write", "--json")
    told = json.loads(capsys.readouterr().out)

    assert (code, told["written"], told["changes"]) == (0, False, {"instances": 2})
    assert told["gain"]["at_least"] > 0.9
    assert [comparison["axis"] for comparison in told["comparisons"]] == ["instances", "now and best"]
    assert served.world.spec.read_bytes() == page


def test_a_setting_answers_as_the_release_does(served):
    receipt = release_of(load_pipeline(served.world.spec), served.store, served.world.registry)
    plain = Serving(instances=2, dynamic_batching=False, intra_op_thread_count=2)

    with candidates(receipt, served.store, served.world.root / "tried") as tried, Client(tried.url) as client:
        name = tried.load(plain)
        given = client.pipeline(name)(ROW)
        config = configured(tried.url, f"{name}.forest")
        tried.unload(plain)
        left = {model for model, versions in tried.control.ready().items() if versions}

    assert given == served.ask(ROW)
    assert (config.instance_group[0].count, config.HasField("dynamic_batching")) == (2, False)
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert not {model for model in left if model.startswith(name)}


def test_a_release_with_other_settings_will_do_and_one_of_other_members_will_not(served):
    other = {"serving": {"instances": 7, "max_queue_delay_us": 9}}

    found = release_of(served.world.write_spec(other), served.store, served.world.registry)
    served.new_ridge(alpha=50.0)

    assert found.release == 1
    with pytest.raises(LoadTestError, match="has no release of locate as its page and the registry now say: make one"):
        release_of(served.world.write_spec(other), served.store, served.world.registry)


def test_a_release_that_never_served_will_do(world):
    store = Store(world.root / "elsewhere")
    page = world.write_spec()

    made = export(page, store, world.registry)

    assert release_of(page, store, world.registry) == made


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--shape", "ramp"], 2, "--shape does not go with --tune"),
        (["--against", "grpc://127.0.0.1:1"], 2, "--against does not go with --tune"),
        (["--duration", "10"], 1, "measurements take"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_started(world, capsys, options, code, said):
    assert command(world, *options) == code
    assert said in capsys.readouterr().err


def test_options_of_tuning_are_refused_without_it(world, capsys):
    code = run(["loadtest", str(world.spec), "--store", str(world.store.root), "--no-write"])

    assert (code, "--no-write is of --tune alone" in capsys.readouterr().err) == (2, True)


def test_ctrl_c_writes_nothing_and_leaves_no_server(served, monkeypatch, capsys):
    page, asked = served.world.spec.read_bytes(), []

    def interrupted(plan, _):
        asked.append(plan.urls[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "load", interrupted)

    code = command(served.world)

    assert code == 130
    assert served.world.spec.read_bytes() == page
    with pytest.raises(ServerUnreachable), Control(asked[0]) as control:
        control.require_live()
