"""Where Triton's response cache could answer wrongly, a page is refused with the place and the reason."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from embedded_models import doubling, graph
from sextant.errors import PipelineError
from sextant.tensors import Tensor
from sextant_export.cache_problems import random_nodes, refuse_open, refuse_unsteady
from sextant_export.config import Configs, ensemble_config
from sextant_export.placing import front_config, release_configs
from sextant_export.problems import problems
from sextant_export.receipt import Receipt
from sextant_export.store import Store
from sextant_export.wiring import EnsembleStep
from sextant_promote.canary.routing import router_config
from sextant_promote.live import asked_model

pytestmark = pytest.mark.models

X, TEXT = Tensor("x", "FP32", (2, 3)), Tensor("text", "BYTES", (1,))
SHAPE = TensorProto.FLOAT, ("rows", 2)


def page(member, *, cached=True):
    """A page of one *member*."""
    serving = {"response_cache": cached}
    return {"name": "p", "answer": "tensors", "members": {"oak": member}, "steps": ["members"], "serving": serving}


OWN_PYTHON = {"model_uri": "models:/oak@champion", "flavor": "python_function"}


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (OWN_PYTHON, "members.oak.deterministic: missing: oak is served by its own Python"),
        (OWN_PYTHON | {"deterministic": False}, "members.oak.deterministic: false, and serving.response_cache repeats"),
        (
            {"model_uri": "models:/oak@champion", "deterministic": False},
            "members.oak.deterministic: false, and serving.response_cache repeats",
        ),
    ],
    ids=["nobody knows", "its own Python is not", "a graph is not"],
)
def test_a_member_that_may_answer_otherwise_next_time_is_not_cached(member, said):
    (problem,) = problems(page(member))

    assert str(problem).startswith(said)
    assert list(problems(page(member, cached=False))) == []


@pytest.mark.parametrize("member", [OWN_PYTHON | {"deterministic": True}, "models:/oak@champion"])
def test_a_member_that_always_answers_the_same_may_be_cached(member):
    assert list(problems(page(member))) == []


@pytest.mark.parametrize("name", ["locate.r3", "locate.r3.cached.0123456789ab"])
def test_a_pipeline_is_not_called_like_a_release_of_another(name):
    """What the repository holds of ``locate`` is found by such names, and taken out by them."""
    (problem,) = problems({**page("models:/oak@champion"), "name": name})

    assert str(problem) == f"name: {name!r} reads like release r3 of another pipeline; rename it"


def test_what_turns_out_to_be_served_by_its_own_python_is_refused_then():
    with pytest.raises(PipelineError, match=r"members.oak.deterministic: missing"):
        refuse_unsteady("oak", None, deterministic=None)

    refuse_unsteady("oak", None, deterministic=True)
    refuse_unsteady("oak", doubling(), deterministic=None)


def dropout(training):
    """A graph that drops some of its input at random where it is told to train."""
    flag = helper.make_tensor("training", TensorProto.BOOL, [], [training])
    ratio = helper.make_tensor("ratio", TensorProto.FLOAT, [], [0.5])
    node = helper.make_node("Dropout", ["x", "ratio", "training"], ["y"])
    return graph([node], {"x": SHAPE}, {"y": SHAPE}, [ratio, flag])


@pytest.mark.parametrize("constant", [False, True], ids=["weight", "constant"])
def test_a_dropout_that_is_told_not_to_train_is_none(constant):
    """As some exporters leave it behind: its third input is there, and says false for good."""
    quiet = dropout(training=False)
    if constant:
        flag = quiet.graph.initializer.pop()
        quiet.graph.node.insert(0, helper.make_node("Constant", [], [flag.name], value=flag))

    assert refuse_unsteady("oak", quiet, deterministic=None) is None


def test_a_dropout_that_somebody_else_tells_whether_to_train_is_refused():
    """Of what is no constant nobody knows what it will say."""
    told = dropout(training=False)
    told.graph.initializer.pop()
    told.graph.input.append(helper.make_tensor_value_info("training", TensorProto.BOOL, []))

    assert random_nodes(told) == ("Dropout",)


def noisy():
    """A graph that adds noise, in a branch."""
    noise = helper.make_node("RandomNormalLike", ["x"], ["noise"])
    branch = helper.make_graph([noise], "noisy", [], [helper.make_tensor_value_info("noise", *SHAPE)])
    quiet = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["same"])], "quiet", [], [helper.make_tensor_value_info("same", *SHAPE)]
    )
    chosen = helper.make_tensor("chosen", TensorProto.BOOL, [], [True])
    node = helper.make_node("If", ["chosen"], ["y"], then_branch=branch, else_branch=quiet)
    return graph([node], {"x": SHAPE}, {"y": SHAPE}, [chosen])


@pytest.mark.parametrize(("made", "named"), [(noisy(), "RandomNormalLike"), (dropout(training=True), "Dropout")])
def test_a_graph_that_draws_at_random_is_refused_whatever_the_page_says(made, named):
    with pytest.raises(PipelineError, match=rf"serving.response_cache: oak draws at random \({named}\)"):
        refuse_unsteady("oak", made, deterministic=True)


def test_what_picks_words_at_random_is_refused():
    """ONNX Runtime's own operator, of a domain of its own."""
    made = onnx.ModelProto()
    made.CopyFrom(doubling())
    made.graph.node.add(op_type="Sampling", domain="com.microsoft")

    assert random_nodes(made) == ("Sampling",)


def test_a_function_of_a_graph_is_looked_into():
    made = onnx.ModelProto()
    made.CopyFrom(doubling())
    noise = helper.make_node("RandomUniformLike", ["a"], ["b"])
    made.functions.append(helper.make_function("home", "noise", ["a"], ["b"], [noise], [helper.make_opsetid("", 17)]))

    assert random_nodes(made) == ("RandomUniformLike",)


def test_axes_that_callers_choose_are_refused_and_fixed_ones_are_not():
    """Text says its length in its bytes, so that its dims alone must be fixed."""
    refuse_open([X, TEXT])

    with pytest.raises(PipelineError) as refusal:
        refuse_open([X, Tensor("signal", "FP32", (-1,)), Tensor("words", "BYTES", (-1,))])

    assert [problem.address for problem in refusal.value.problems] == ["serving.response_cache"] * 2
    assert [problem.message.split(" is ")[0] for problem in refusal.value.problems] == ["signal", "words"]


def receipt(*, cached, identity="0123456789abcdef"):
    """A receipt of release 3 of ``locate``, of one member."""
    step = EnsembleStep("oak", 7, {"x": "x"}, {"y": "y"})
    ensemble = ensemble_config("locate.r3", 3, [step], [X], [X._replace(name="y"), TEXT], 8)
    facts = dict.fromkeys(("created", "spec", "members", "blocks", "calibration", "models", "introduced", "tools"))
    return Receipt(
        pipeline="locate", release=3, identity=identity, ensemble=str(ensemble), cached=cached, **{**facts, "spec": {}}
    )


def test_the_cache_stands_between_the_front_and_the_steps():
    """The front asks it for everything, and the release under its own name has none."""
    front = front_config(receipt(cached=True))
    own, cached = release_configs(receipt(cached=True))

    (step,) = front.ensemble_scheduling.step
    assert (step.model_name, step.model_version) == ("locate.r3.cached.0123456789ab", 1)
    assert {*step.output_map.values()} == {output.name for output in front.output} == {"y", "text"}
    assert [config.response_cache.enable for config in (front, own, cached)] == [False, False, True]
    assert own.ensemble_scheduling == cached.ensemble_scheduling
    assert front.parameters["release"].string_value == "3"


def test_a_release_of_other_models_is_cached_under_another_name():
    """Triton's key begins with the name, and a cache may be shared by several servers, each with its own release 3."""
    one, other = (release_configs(receipt(cached=True, identity=digit * 64))[1].name for digit in "ab")

    assert one != other


def test_without_the_cache_nothing_of_it_is_there():
    (own,) = release_configs(receipt(cached=False))

    assert not own.HasField("response_cache")
    assert front_config(receipt(cached=False)).ensemble_scheduling == own.ensemble_scheduling


def test_known_cases_are_computed_each_time(tmp_path):
    """From the cache each round would be the first one again; a canary's router asks what has no cache itself."""
    store, cached = Store(tmp_path).prepare(), receipt(cached=True)
    store.write_ensemble(front_config(cached))
    asked = asked_model(store, cached), asked_model(store, receipt(cached=False))

    store.write_configs(Configs(router_config(front_config(cached), candidate=4, version=5)))

    assert asked == ("locate.r3", "locate")
    assert asked_model(store, cached) == "locate"
