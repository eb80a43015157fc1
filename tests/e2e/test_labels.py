"""Registered classifiers that vote, from MLflow through Triton to a caller's Label."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from label_world import MEMBERS, ZONES, classifiers, make_label_world, numbers, zones
from promotion_stage import ServedWorld
from sextant.blocks import BLOCKS, Vote
from sextant.errors import BreakingChange, CalibrationError, ParametersError, PipelineError, RequestRefused
from sextant.reliability import expected_calibration_error
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_promote.promotion import promote, rollback
from shy_models import Brittle, Shy, Unsure, log_own_python
from small_world import SCALE, draw

pytestmark = pytest.mark.e2e


class Stage(ServedWorld):
    """A label world with a Triton on its store."""

    def promote(self, vote=None, **page):
        self.world.write_labels(vote, **page)
        return promote(load_pipeline(self.world.spec), self.world.store, self.world.registry, self.control)

    def ask(self, features):
        with Client(self.triton.address.grpc) as client:
            return client.pipeline("zone")(features)

    def tensors(self, features):
        with Client(self.triton.address.grpc) as client:
            return client.pipeline("zone").tensors(features)


@pytest.fixture(scope="module")
def first_label_world(tmp_path_factory):
    return make_label_world(tmp_path_factory.mktemp("labels"))


def staged(world, root):
    """A stage of its own, with the models of *world*."""
    shutil.copyfile(world.root / "mlflow.db", root / "mlflow.db")
    return Stage(replace(world, root=root))


@pytest.fixture
def stage(first_label_world, tmp_path):
    with staged(first_label_world, tmp_path) as stage:
        yield stage


@pytest.fixture(scope="module", params=[zones, numbers], ids=["text", "numbers"])
def voting(request, first_label_world, tmp_path_factory):
    """One stage and kind of labels for every method: each is a release of its own, and members are exported once."""
    with staged(first_label_world, tmp_path_factory.mktemp("voting")) as stage:
        yield stage, request.param


def seen(cases):
    """What the block ``scale`` makes of rows, for scikit-learn itself."""
    return BLOCKS["scale"]({"width": 8, **SCALE})(features=cases.features)["scaled"]


def slots(world, rows, labels):
    """What scikit-learn's own classifiers answer to *rows*, under the names of the slots."""
    given = {}
    for i, model in enumerate(classifiers().values()):
        model.fit(world.training.scaled, labels(world.training))
        given[f"label_{i}"] = model.predict(rows).astype(object if labels is zones else np.int64)
        given[f"probabilities_{i}"] = model.predict_proba(rows).astype(np.float32)
    return given


def right(answers, truth):
    return np.array([answer.label == true for answer, true in zip(answers, truth, strict=True)])


@pytest.mark.parametrize(
    "vote",
    [
        {"method": "plurality"},
        {"method": "weighted"},
        {"method": "weighted", "weights": [1, 2, 3]},
        {"method": "soft"},
        {"method": "soft", "pool": "geometric", "weights": [1, 2, 3]},
        {"method": "dawid_skene"},
        {"method": "dawid_skene", "errors": "one_coin"},
    ],
    ids=lambda vote: "-".join(str(value) for value in vote.values()),
)
def test_a_vote_served_is_the_vote_of_the_registered_models(voting, vote):
    """Members, weights and confusions went through MLflow, ONNX, JSON and Triton, and nothing got lost."""
    stage, labels = voting
    names = MEMBERS if labels is zones else [f"{name}_number" for name in MEMBERS]
    members = {name: f"models:/{name}@champion" for name in names}
    done = stage.promote({**vote, "confidence_levels": [0.9]}, members=members, truth=labels)
    unseen = draw(300, seed=9)

    served = stage.tensors(unseen.features)
    here = Vote(done.receipt.blocks["vote"])(**slots(stage.world, seen(unseen), labels))

    # Where two classes are as likely to the last bit, ONNX Runtime and scikit-learn may round to either side.
    same = np.abs(served["probabilities"] - here["probabilities"]).max(axis=1) < 1e-4
    assert same.mean() > 0.99
    assert served["label"][same].tolist() == here["label"][same].tolist()
    for name in ("agreement", "tied", "members_used", "calibrated", "release"):
        assert served[name][same].tolist() == here[name][same].tolist(), name
    np.testing.assert_allclose(served["confidence"][same], here["confidence"][same], atol=0.05)
    assert np.mean(served["label"].ravel() == _as_served(labels(unseen))) > 0.9


def _as_served(labels):
    return np.array([name.encode() for name in labels], object) if labels.dtype.kind == "U" else labels


def test_a_confidence_is_how_often_it_is_right(stage):
    """The main promise: on rows nobody has seen, calibrated confidence is true when counted, and the count is not."""
    stage.promote({"method": "soft"})
    unseen = draw(2_000, seed=9)

    answers = stage.ask(unseen.features)

    hits = right(answers, zones(unseen))
    confidence = np.array([answer.confidence / 100 for answer in answers])
    agreement = np.array([answer.agreement for answer in answers])
    assert all(answer.calibrated for answer in answers)
    assert expected_calibration_error(confidence, hits) < 0.04
    assert expected_calibration_error(confidence, hits) < expected_calibration_error(agreement, hits)


def test_prediction_sets_hold_the_truth_as_often_as_they_say(stage):
    """A hard vote of few cases right: where 90 % need more than one class, there is more than one."""
    noisy = draw(1_500, seed=9)
    noisy = replace(noisy, features=noisy.features + np.random.default_rng(2).normal(0, 6, noisy.features.shape))
    cases = draw(600, seed=3)
    cases = replace(cases, features=cases.features + np.random.default_rng(4).normal(0, 6, cases.features.shape))
    stage.world.write_labels({"method": "soft", "confidence_levels": [0.8, 0.9, 0.95]})
    _rewrite(stage.world, cases)
    promote(load_pipeline(stage.world.spec), stage.world.store, stage.world.registry, stage.control)

    answers = stage.ask(noisy.features.astype(np.float32))

    sizes = {}
    for level in (0.8, 0.9, 0.95):
        sets = [answer.prediction_set(level) for answer in answers]
        held = np.mean([true in names for names, true in zip(sets, zones(noisy), strict=True)])
        sizes[level] = np.mean([len(names) for names in sets])
        assert level - 0.035 < held, level
    assert 1 <= sizes[0.8] <= sizes[0.9] <= sizes[0.95] < 4
    with pytest.raises(ParametersError, match=r"no prediction set at 0\.5: this pipeline answers 0\.8, 0\.9, 0\.95"):
        answers[0].prediction_set(0.5)


def _rewrite(world, cases):
    import pandas as pd

    table = pd.DataFrame(cases.features.astype(np.float32), columns=[f"receiver_{i}" for i in range(8)])
    table.assign(zone=zones(cases)).to_parquet(world.root / "zones.parquet")


def test_a_label_says_what_its_probabilities_are_of(stage):
    """Over gRPC and HTTP, alone and in a batch, and as JSON."""
    stage.promote({"method": "soft", "confidence_levels": [0.9]})
    row = draw(1, seed=9).features[0]

    with Client(stage.triton.address.grpc) as one, Client(stage.triton.address.http) as other:
        label, same = one.pipeline("zone")(row), other.pipeline("zone")(row)

    assert label == same
    assert label.classes == ZONES
    assert label.classes[int(np.argmax(label.probabilities))] == label.label
    assert json.loads(json.dumps(label.to_dict()))["sets"] == [list(label.prediction_set(0.9))]


def test_without_known_cases_the_confidence_is_counted_and_says_so(stage):
    """Three of three are 80 of 100, and nothing pretends to have measured it."""
    stage.promote(changes={"calibration": None})

    answers = stage.ask(draw(200, seed=9).features)

    assert {answer.calibrated for answer in answers} == {False}
    unanimous = [answer for answer in answers if answer.agreement == 1]
    assert {answer.confidence for answer in unanimous} == {80.0}


def test_a_tie_goes_to_the_first_member_of_the_page(stage):
    """Two members that differ: each page's first decides, and the answer says that it was a tie."""
    two = ("logistic", "knn")
    unseen = draw(300, seed=9)
    own = {}
    for name, model in classifiers().items():
        own[name] = model.fit(stage.world.training.scaled, zones(stage.world.training)).predict(seen(unseen))
    split = own["logistic"] != own["knn"]
    assert 5 < split.sum() < 100

    for names in (two, two[::-1]):
        labels = {
            name: {"model_uri": f"models:/{name}@champion", "output_map": {"prediction": f"{name}.label"}}
            for name in names
        }
        stage.promote({"quorum": 1}, members=labels)
        answers = stage.ask(unseen.features)
        assert [answer.tied for answer in answers] == split.tolist()
        assert [a.label for a, s in zip(answers, split, strict=True) if s] == own[names[0]][split].tolist()


def test_a_member_that_abstains_counts_against_the_agreement(stage):
    """An empty label of a member's own Python: two of the three that were asked, at most."""
    log_own_python(stage.world, "shy", Shy())
    stage.promote({"method": "plurality"}, members={**_of("logistic", "forest"), "shy": "models:/shy@champion"})
    unseen = draw(300, seed=9)

    answers = stage.ask(unseen.features)

    silent = seen(unseen)[:, 0] < 0.45
    used = np.array([answer.members_used for answer in answers])
    assert 30 < silent.sum() < 270
    assert used.tolist() == np.where(silent, 2, 3).tolist()
    assert max(answer.agreement for answer, s in zip(answers, silent, strict=True) if s) == pytest.approx(2 / 3)


def test_a_member_that_fails_on_a_row_counts_against_the_agreement_there(stage):
    """It raises for the whole batch; the rows that it can answer are asked again without the others."""
    log_own_python(stage.world, "brittle", Brittle())
    stage.promote({"method": "plurality"}, members={**_of("logistic", "forest"), "brittle": "models:/brittle@champion"})
    unseen = draw(120, seed=9)

    answers = stage.ask(unseen.features)

    silent = seen(unseen)[:, 0] < 0.45
    assert [answer.members_used for answer in answers] == np.where(silent, 2, 3).tolist()
    assert max(answer.agreement for answer, s in zip(answers, silent, strict=True) if s) == pytest.approx(2 / 3)


def test_probabilities_that_are_nan_leave_the_pool(stage):
    """The others' mean is answered, and the member that failed is counted."""
    log_own_python(stage.world, "unsure", Unsure())
    members = {**_of("logistic", "forest"), "unsure": {"model_uri": "models:/unsure@champion"}}
    done = stage.promote({"method": "soft"}, members=members)
    unseen = draw(200, seed=9)

    answers = stage.tensors(unseen.features)

    silent = seen(unseen)[:, 0] < 0.45
    assert answers["members_used"].ravel().tolist() == np.where(silent, 2, 3).tolist()
    assert np.isfinite(answers["probabilities"]).all()
    assert done.receipt.calibration["members"]["unsure"]["abstained"] > 0.1


def test_too_few_votes_are_an_error_to_that_caller_alone(stage):
    """Two of three members are shy of the same rows: whoever asks one hears why, and the others get their labels."""
    for name in ("shy", "shyer"):
        log_own_python(stage.world, name, Shy())
    members = {**_of("logistic"), "shy": "models:/shy@champion", "shyer": "models:/shyer@champion"}
    stage.promote({"method": "plurality"}, members=members)
    unseen = draw(60, seed=9)
    silent = seen(unseen)[:, 0] < 0.45

    with Client(stage.triton.address.grpc) as client:
        answered = [_told(client.pipeline("zone"), row) for row in unseen.features]

    assert 5 < silent.sum() < 55
    for answer, quiet in zip(answered, silent, strict=True):
        if quiet:
            assert "members: expected votes of at least 2 of 3, got 1 in row 0" in answer
        else:
            assert answer.label in ZONES


def _told(pipeline, row):
    try:
        return pipeline(row)
    except RequestRefused as refusal:
        return str(refusal)


def _of(*names):
    return {name: f"models:/{name}@champion" for name in names}


def softmax_graph(order, world):
    """A graph of logistic regression that gives probabilities alone, its columns in *order* of ZONES."""
    model = classifiers()["logistic"].fit(world.training.scaled, zones(world.training))
    weights = model.coef_[order].T.astype(np.float32)
    intercept = model.intercept_[order].astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["features", "w", "b"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "softmax",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 4])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(intercept, "b")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 10
    return made


ORDER = [2, 0, 3, 1]


def log_graph(world, name, graph, **facts):
    class Original:
        def predict(self, rows):
            return np.zeros((len(rows), 4), np.float32)

    return world.log(name, lambda flow, **given: flow.onnx.log_model(graph, **given, **facts), Original(), "champion")


def test_columns_in_another_order_are_not_mixed_silently(stage):
    """A graph that lists no classes and gives them otherwise: known cases find it out."""
    log_graph(stage.world, "graph", softmax_graph(ORDER, stage.world))

    with pytest.raises(CalibrationError, match="member graph says .* is true.*stand in another order.*metadata="):
        stage.promote({"method": "soft"}, members={**_of("logistic", "forest"), "graph": "models:/graph@champion"})


def test_columns_whose_order_the_model_says_are_put_in_order(stage):
    """The same graph, logged with its classes: it votes as the logistic regression that it is."""
    listed = {"classes": [ZONES[i] for i in ORDER]}
    log_graph(stage.world, "graph", softmax_graph(ORDER, stage.world), metadata=listed)

    done = stage.promote({"method": "soft"}, members={**_of("logistic"), "graph": "models:/graph@champion"})
    answers = stage.tensors(draw(200, seed=9).features)

    assert done.receipt.blocks["vote"]["orders"] == {"probabilities_1": ORDER}
    assert answers["agreement"].min() == 1


@pytest.mark.parametrize("changes", [{}, {"calibration": None}], ids=["known cases", "none"])
def test_a_list_of_classes_that_the_labels_deny_is_refused(stage, changes):
    """scikit-learn sorts its classes; whoever lists them in the order they think of would add them up crosswise."""
    model = classifiers()["logistic"].fit(stage.world.training.scaled, zones(stage.world.training))

    def log(mlflow, **facts):
        listed = {"classes": [ZONES[i] for i in ORDER]}
        return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", metadata=listed, **facts)

    stage.world.log("listed", log, model, "champion")
    members = {**_of("forest"), "listed": "models:/listed@champion"}

    with pytest.raises(CalibrationError, match="member listed answers other labels than its likeliest classes"):
        stage.promote({"method": "soft"}, members=members, changes=changes)


def test_probabilities_alone_without_a_known_case_are_refused(stage):
    log_graph(stage.world, "graph", softmax_graph([0, 1, 2, 3], stage.world))
    page = {"members": {**_of("logistic"), "graph": "models:/graph@champion"}, "changes": {"calibration": None}}

    with pytest.raises(CalibrationError, match="nothing says whether the probabilities of member graph stand in the"):
        stage.promote({"method": "soft"}, **page)


@pytest.mark.parametrize(
    ("vote", "members", "said"),
    [
        (
            {},
            ("logistic", "knn_number"),
            "member knn_number knows the classes 10, 20, 30, 40, and the vote has 'garden'",
        ),
        ({"classes": ["garden", "hall", "yard"]}, MEMBERS, "gives probabilities of 4 classes, and the vote has 3"),
        ({"classes": ["Garden", "Hall", "Office", "Yard"]}, MEMBERS, "knows the classes 'garden', 'hall'"),
        ({"classes": [10, 20, 30, 40]}, MEMBERS, "the vote has 10, 20, 30, 40"),
    ],
)
def test_members_that_know_other_classes_are_refused(stage, vote, members, said):
    with pytest.raises(CalibrationError, match=said):
        stage.promote(vote, members=_of(*members))


def test_what_has_to_be_learned_asks_for_known_cases(stage):
    with pytest.raises(PipelineError, match="weighted learns the weights of its members: name known cases under"):
        stage.promote({"method": "weighted"}, changes={"calibration": None})


def test_known_cases_of_no_known_class_are_refused(stage):
    with pytest.raises(CalibrationError, match="none of the true labels, such as 'Z"):
        stage.promote({}, truth=lambda cases: np.char.add("Z", zones(cases)))


def test_a_regressor_is_no_voter(stage):
    """Its two numbers a row are read as probabilities, and there are four classes."""
    from sklearn.linear_model import Ridge

    stage.world.register("ridge", Ridge())
    with pytest.raises(CalibrationError, match="member ridge gives probabilities of 2 classes, and the vote has 4"):
        stage.promote({"method": "soft"}, members=_of("logistic", "ridge"))


def test_classes_in_another_order_would_mislead_callers(stage):
    """They know probabilities by their place: a release that moves them is a breaking change."""
    stage.promote({"method": "soft"})

    with pytest.raises(
        BreakingChange, match="its classes would change from .*callers know probabilities by their order"
    ):
        stage.promote({"method": "soft", "classes": list(ZONES[::-1])})


def test_a_member_more_and_back_again(stage):
    """Releases of two and of three members share one model of the block, and one front."""
    stage.promote({"method": "soft"}, members=_of("logistic", "knn"))
    row = draw(1, seed=9).features[0]
    first = stage.ask(row)

    stage.promote({"method": "soft"})
    second = stage.ask(row)
    rollback(stage.world.store, "zone", stage.control)

    assert (first.members_used, second.members_used) == (2, 3)
    assert stage.ask(row) == first


def test_a_promotion_tells_what_the_known_cases_taught(stage):
    """The receipt holds the figures, and the narration says them in a line."""
    done = stage.promote({"method": "weighted", "confidence_levels": [0.9]})

    facts = done.receipt.calibration
    assert facts["rows"] == 600
    assert facts["accuracy"] > 0.9
    assert set(facts["members"]) == set(MEMBERS)
    assert all(0.8 < each["accuracy"] <= 1 and each["abstained"] == 0 for each in facts["members"].values())
    assert len(done.receipt.blocks["vote"]["weights"]) == 3
