"""``fuse_graph``: one graph serves what an ensemble of blocks did, and says where it could not."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from promotion_stage import Stage, keep, resumed
from sextant.errors import ParityError, ReceiptError, RequestRefused, StoreError
from sextant_client import Client
from sextant_export.evidence import proof_path
from sextant_export.receipt import read_receipt
from sextant_export.release import export, plan
from sextant_promote.promotion import promote, rollback
from sextant_promote.removal import remove
from sextant_promote.status import status
from small_world import ORIGIN, SCALE, draw

pytestmark = pytest.mark.e2e

SERVING = {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": 1}
FUSED = {**SERVING, "fuse_graph": True}
ALL = ["scale", "members", "fuse", "ellipse"]


class FusedStage(Stage):
    """A stage whose page is changed as it is promoted."""

    def __enter__(self):
        super().__enter__()
        self.client = Client(self.triton.address.grpc)
        return self

    def __exit__(self, *exception):
        self.client.close()
        super().__exit__(*exception)

    def promote(self, **changes):
        """Promote the page with *changes* to its top level."""
        return super().promote(self.world.write_spec(changes))

    def fixes(self, features):
        return self.client.pipeline("locate")(features)

    def tensors(self, features, **others):
        return self.client.pipeline("locate").tensors(features, **others)

    def steps(self, ensemble="locate"):
        return [step.model_name for step in self.store.config(ensemble).ensemble_scheduling.step]


@pytest.fixture
def stage(world):
    with FusedStage(world) as stage:
        yield stage


@pytest.fixture
def plain(first_world, kept, tmp_path):
    """A stage whose first release, of blocks and members, serves."""
    with FusedStage(resumed(first_world, kept / "served", tmp_path)) as stage:
        yield stage


@pytest.fixture(scope="module")
def kept_fused(first_world, tmp_path_factory):
    """The folder of a small world whose first release is a graph."""
    root, folder = tmp_path_factory.mktemp("told"), tmp_path_factory.mktemp("kept") / "fused"
    shutil.copyfile(first_world.root / "mlflow.db", root / "mlflow.db")
    with FusedStage(replace(first_world, root=root)) as stage:
        stage.promote(serving=FUSED)
        keep(stage.world, folder)
    return folder


@pytest.fixture
def fused(first_world, kept_fused, tmp_path):
    """A stage whose first release, a graph, serves."""
    with FusedStage(resumed(first_world, kept_fused, tmp_path)) as stage:
        yield stage


def features(rows=200, seed=9):
    return draw(rows, seed).features


def assert_equal(one, other):
    """The same tensors, to less than a millimetre and a millionth; the release apart."""
    assert one.keys() == other.keys()
    for name in one.keys() - {"release"}:
        assert (one[name].shape, one[name].dtype) == (other[name].shape, other[name].dtype)
        if one[name].dtype.kind == "f":
            assert one[name] == pytest.approx(other[name], rel=1e-6, abs=9e-9)
        else:
            assert one[name].tolist() == other[name].tolist()


def test_a_fused_release_answers_as_the_ensemble_did(plain):
    """Every tensor, from a single model without a Python block."""
    before = plain.tensors(features())

    done = plain.promote(serving=FUSED)

    assert done.receipt.fused["steps"] == ALL
    assert (plain.steps(), done.receipt.models) == (["locate.graph"], (("locate.graph", 2),))
    assert_equal(plain.tensors(features()), before)
    assert [fix.release for fix in plain.fixes(features(3))] == [2, 2, 2]


def test_the_receipt_says_how_the_graph_was_proven(fused):
    """Here and through Triton, output by output, with the tolerance of each and the rows that both refuse."""
    receipt = read_receipt(fused.store, "locate", 1)

    facts = receipt.fused
    assert (facts["exact"], facts["left"], facts["members"]) == (True, {}, ["ridge", "forest", "knn"])
    assert facts["rows_refused"] > 0
    assert set(facts["proof"]["outputs"]) == set(fused.tensors(features(1)))
    assert facts["proof"]["outputs"]["position"]["max_abs_delta"] < 1e-3
    assert facts["proof"]["outputs"]["position"]["tolerance"] < 2e-3
    assert receipt.proof["locate.graph"]["rows"] == facts["proof"]["rows"] - facts["rows_unsteady"]
    assert list(receipt.proof) == ["locate.graph"]


def test_a_bad_row_is_refused_by_number_and_never_touches_its_batch_mates(stage):
    """The graph answers NaN there; the client makes a refusal of it that names the rows."""
    stage.promote(serving=FUSED, steps=bounded())
    good = features(20)
    bad = good.copy()
    bad[3, 2], bad[7, 0] = np.nan, 150.0

    given = stage.tensors(bad)
    with pytest.raises(RequestRefused, match=r"row 3 \(features: nan at \[2\]\); row 7$"):
        stage.fixes(bad)
    with pytest.raises(RequestRefused, match="row 0"):
        stage.fixes(bad[7])

    wrong = np.isin(np.arange(20), [3, 7])
    for name, array in stage.tensors(good).items():
        assert given[name][~wrong].tolist() == array[~wrong].tolist()
        if array.dtype.kind == "f":
            assert np.isnan(given[name][wrong]).all()
    assert given["members_used"][wrong].tolist() == [[-1], [-1]]
    assert given["scale_method"][wrong].tolist() == [[b""], [b""]]


def bounded():
    """The page's steps, with features of a known range."""
    return [
        {"block": "scale", "with": {**SCALE, "at_least": -150, "at_most": 100}},
        "members",
        {"block": "fuse", "with": {"frame": "east_north_m", "origin": list(ORIGIN)}},
        {"block": "ellipse", "with": {"confidence_levels": [0.5, 0.9, 0.95]}},
    ]


def test_a_member_that_wanders_off_the_plane_has_no_answer(plain):
    """The ensemble would fuse it on the ellipsoid, by iteration; a graph says that it cannot."""
    wild = features(2)
    wild[1, 0] = 1e6
    answered = plain.fixes(wild)
    with pytest.raises(RequestRefused, match="half the way round the earth, from member 'ridge'"):
        plain.fixes(1000 * wild)
    plain.promote(serving=FUSED)

    assert answered[1].multimodal or answered[1].covariance[0][0] > 1e6
    with pytest.raises(RequestRefused, match="row 1$"):
        plain.fixes(wild)


def test_rows_of_another_width_are_refused_by_triton_itself(fused):
    """Before any graph runs."""
    with pytest.raises(RequestRefused, match="features"):
        fused.fixes(features(1)[:, :5])


def test_the_way_back_to_an_ensemble_and_forth_again(plain):
    """The front's tensors are the same either way, so that callers notice the release alone."""
    row = features(1)[0]
    before = plain.fixes(row)
    plain.promote(serving=FUSED)

    back = rollback(plain.store, "locate", plain.control)
    again = plain.fixes(row)
    forth = plain.promote(serving=FUSED)

    assert (back.release, again, forth.release, plain.fixes(row).release) == (1, before, 2, 2)


def test_from_a_graph_alone_to_an_ensemble(fused):
    """Members that stood in a graph are published by themselves when they are needed."""
    graph = fused.tensors(features())
    in_store = fused.models()

    fused.promote(serving=SERVING)

    assert in_store == ["locate", "locate.graph", "locate.r1"]
    assert_equal(fused.tensors(features()), graph)
    assert "forest" in fused.models()


def test_a_new_version_of_a_member_is_a_new_version_of_the_graph(fused):
    """And both are there, for the way back."""
    fused.world.register("ridge", Ridge(alpha=50.0))

    done = fused.promote(serving=FUSED)

    assert done.release == 2
    assert fused.control.ready()["locate.graph"] == {1, 2}
    assert rollback(fused.store, "locate", fused.control).release == 1
    assert fused.fixes(features(1)[0]).release == 1


def test_a_step_that_cannot_be_a_graph_stays_a_block_and_says_why(stage):
    """
    Four members and a gate: the median that it asks is found by iteration.

    Bad rows are refused by that block, which sees that members answer no number.
    """
    members = four_members(stage)
    stage.promote(serving=SERVING, members=members)
    before = stage.tensors(features())

    done = stage.promote(serving=FUSED, members=members)

    assert done.receipt.fused["steps"] == ["scale", "members"]
    assert "may leave out one of 4 members" in done.receipt.fused["left"]["fuse"]
    assert done.receipt.fused["left"]["ellipse"] == "it is not beside scale and members"
    assert stage.steps() == ["locate.graph", "locate.fuse", "locate.ellipse"]
    assert_equal(stage.tensors(features()), before)
    bad = features(5)
    bad[2, 2] = np.nan
    with pytest.raises(RequestRefused, match="got nan in row 2"):
        stage.fixes(bad)


def test_another_choice_of_steps_is_another_model(fused):
    """Triton has one configuration for all versions of a model, and the release before must stay a rollback away."""
    first = fused.fixes(features(1)[0])

    fused.promote(serving=FUSED, members=four_members(fused))

    assert fused.steps() == ["locate.graph.2", "locate.fuse", "locate.ellipse"]
    assert rollback(fused.store, "locate", fused.control).release == 1
    assert fused.fixes(features(1)[0]) == first


def four_members(stage):
    """The page's members with one more of another name."""
    stage.world.register("lasso", Ridge(alpha=5.0))
    return {name: f"models:/{name}@champion" for name in ("ridge", "forest", "knn", "lasso")}


def test_a_member_that_is_no_graph_leaves_the_blocks_after_it_to_one(stage):
    """Served by its own Python; fusion and ellipse still need none."""
    own = {"knn": {"model_uri": "models:/knn@champion", "flavor": "python_function"}}
    members = {name: f"models:/{name}@champion" for name in ("ridge", "forest")}
    stage.promote(serving=SERVING, members={**members, **own})
    before = stage.tensors(features())

    done = stage.promote(serving=FUSED, members={**members, **own})

    assert done.receipt.fused["steps"] == ["fuse", "ellipse"]
    assert done.receipt.fused["left"]["members"] == "knn is served as its own Python, no graph"
    assert stage.steps()[-1] == "locate.graph"
    assert set(done.receipt.proof) == {"ridge", "forest", "knn", "locate.graph"}
    assert_equal(stage.tensors(features()), before)


def test_groups_that_the_caller_names_reach_the_graph(stage):
    """And a row of a group that nobody knows is refused."""
    cases = draw(600, seed=3)
    floors = np.where(cases.truth[:, 0] > np.median(cases.truth[:, 0]), "upper", "lower")
    page = {"calibration": {"data": "cases.parquet", "truth": ["latitude", "longitude"], "per": {"column": "floor"}}}
    world = stage.world

    def promoted(serving):
        spec = world.write_spec({"serving": serving, **page})
        world.write_cases(cases)
        add_column(world.root / "cases.parquet", "floor", floors)
        return promote(spec, stage.store, world.registry, stage.control)

    rows, words = features(6), np.array([["upper"], ["lower"]] * 3)
    promoted(SERVING)
    before = stage.tensors(features=rows, group=words)
    fused = promoted(FUSED).receipt.fused

    assert fused["steps"] == ALL
    assert_equal(stage.tensors(features=rows, group=words), before)
    with pytest.raises(RequestRefused, match="row 1"):
        stage.client.pipeline("locate")(features=rows, group=np.array([["upper"], ["attic"]] * 3))


def add_column(path, name, values):
    import pandas as pd

    pd.read_parquet(path).assign(**{name: values}).to_parquet(path)


def test_plan_and_status_say_what_is_in_the_graph_and_what_is_not(stage):
    """Before the export as far as the page tells, and afterwards as it was made."""
    spec = stage.world.write_spec({"serving": FUSED, "members": four_members(stage)})
    foreseen = plan(spec, stage.store, stage.world.registry).left
    promote(spec, stage.store, stage.world.registry, stage.control)

    made = plan(spec, stage.store, stage.world.registry).left
    (found,) = status(stage.store, stage.control)

    assert set(foreseen) == {"fuse"}
    assert set(made) == {"fuse", "ellipse"}
    assert (found.graph.model, found.graph.steps) == ("locate.graph", ("scale", "members"))
    assert found.graph.left == made
    assert {member.inside for member in found.members.values()} == {"locate.graph"}
    assert {member.backend for member in found.members.values()} == {"onnxruntime"}


def test_plan_says_nothing_of_graphs_where_none_is_asked_for(world):
    """None and not an empty mapping."""
    assert plan(world.write_spec(), world.store, world.registry).left is None


def test_promoting_twice_changes_nothing(fused):
    """The same inputs are the same release."""
    again = fused.promote(serving=FUSED)

    assert (again.release, again.changed) == (1, False)


def test_a_graph_that_answers_otherwise_through_triton_is_not_served(plain):
    """The second proof asks the graph: here what was expected of it was another."""
    spec = plain.world.write_spec({"serving": FUSED})
    receipt = export(spec, plain.store, plain.world.registry)
    tamper(proof_path(plain.store, "locate", receipt.release))

    with pytest.raises(ParityError, match=r"locate\.graph version 2, asked through Triton"):
        promote(spec, plain.store, plain.world.registry, plain.control)
    assert plain.fixes(features(1)[0]).release == 1


def tamper(path):
    """Move one expected position by 20 cm."""
    with np.load(path) as file:
        arrays = dict(file)
    arrays[":graph/answers/position"] = arrays[":graph/answers/position"].copy()
    arrays[":graph/answers/position"][5, 0] += 2e-6
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def test_without_its_evidence_a_graph_cannot_be_proven_again(stage):
    """And the sentence says what to do."""
    spec = stage.world.write_spec({"serving": FUSED})
    receipt = export(spec, stage.store, stage.world.registry)
    proof_path(stage.store, "locate", receipt.release).unlink()

    with pytest.raises(ReceiptError, match="promote again"):
        promote(spec, stage.store, stage.world.registry, stage.control)


def test_a_damaged_graph_does_not_replace_what_serves(plain):
    """It is not even loaded: the front stays, and what the candidate brought goes."""
    spec = plain.world.write_spec({"serving": FUSED})
    export(spec, plain.store, plain.world.registry)
    (plain.store.models / "locate.graph" / "2" / "model.onnx").write_bytes(b"no graph")

    with pytest.raises(StoreError, match=r"locate\.graph/2/model\.onnx has other bytes"):
        promote(spec, plain.store, plain.world.registry, plain.control)

    assert plain.fixes(features(1)[0]).release == 1
    assert read_receipt(plain.store, "locate", 2).outcome == "refused"
    assert "locate.graph" not in plain.models()


def test_removing_the_pipeline_takes_its_graph_along(fused):
    """Nothing but receipts is left."""
    gone = remove(fused.store, "locate", fused.control)

    assert "locate.graph" in gone.models
    assert fused.models() == []
    assert json.loads((fused.store.releases / "locate" / "r1.json").read_text())["outcome"] == "removed"


def test_many_callers_at_once_get_their_own_answers(fused):
    """Gathered into batches by Triton, a bad row among them now and then."""
    rows = features(64)
    expected = fused.tensors(rows)["position"]

    def ask(i):
        row = rows[i].copy()
        if i % 9 == 0:
            row[1] = np.inf
        try:
            fix = fused.fixes(row)
        except RequestRefused:
            return None
        return fix.latitude, fix.longitude

    with ThreadPoolExecutor(16) as crowd:
        answers = list(crowd.map(ask, range(64)))

    for i, answer in enumerate(answers):
        assert answer is None if i % 9 == 0 else answer == pytest.approx(expected[i], abs=1e-9)
