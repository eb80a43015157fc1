"""Steps of a pipeline as one graph: which, under what names, from graphs of whatever kind."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from fusing_world import OPSETS, ORIGIN, RANDOM, Fused, Member, linear, page, parsed, three_members
from sextant.errors import ConversionError, InputRefused
from sextant_export.copies.onnx import OnnxCopy
from sextant_export.fusing.choice import chosen
from sextant_export.fusing.compiler import compiled
from sextant_export.fusing.foresight import foreseen
from sextant_export.fusing.graph import FusedGraph
from sextant_export.fusing.merging import merge
from sextant_export.fusing.questions import questions
from sextant_export.fusing.raising import raised
from sextant_export.fusing.reach import reaches, too_far
from sextant_export.fusing.rehearsal import rehearse, texts
from sextant_export.known_cases import KnownCases
from sextant_export.onnx_graph.external import locations
from sextant_export.onnx_graph.sessions import open_session


@pytest.fixture
def trees(tmp_path):
    return three_members(tmp_path)


def test_members_of_several_operator_sets_are_one_graph(trees, tmp_path):
    """And it answers as the steps one after the other, rows that are refused left out."""
    fused = Fused(page(), trees, tmp_path)
    asked = questions(fused.parts, fused.wiring.inputs, None)
    told = rehearse(fused.parts, asked)

    given = fused.graph().answer(asked)

    assert fused.choice.left == {}
    for name in given:
        expected = told.tensors[name]
        if expected.dtype.kind == "f":
            assert given[name][told.answered] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        else:
            assert texts(given[name][told.answered]).tolist() == texts(expected).tolist()


def test_a_refused_row_is_nothing_in_every_output(trees, tmp_path):
    """NaN, -1, false and no text; its neighbours are what they are without it."""
    rows = np.array([[1, 2, 3], [np.nan, 2, 3], [4, 5, 6]], np.float32)
    graph = Fused(page(), trees, tmp_path).graph()

    given, alone = graph.answer({"features": rows}), graph.answer({"features": rows[[0, 2]]})

    nothing = {"f": np.nan, "i": -1, "b": False, "O": ""}
    for name, array in given.items():
        row = array[1].reshape(-1).tolist()
        assert row == pytest.approx([nothing[array.dtype.kind]] * len(row), nan_ok=True)
        assert array[[0, 2]].tolist() == alone[name].tolist()


def test_a_graph_takes_any_number_of_rows(trees, tmp_path):
    """Its first axis is free, and no other is."""
    graph = Fused(page(), trees, tmp_path).graph()

    assert graph.inputs[0].dims == (3,)
    assert {tensor.name: tensor.dims for tensor in graph.outputs}["ellipse"] == (2, 3)
    assert [len(graph.answer({"features": np.ones((n, 3), np.float32)})["position"]) for n in (1, 2, 65)] == [1, 2, 65]


def test_members_alone_give_what_the_steps_after_them_take(trees, tmp_path):
    """Under the ensemble's names."""
    fused = Fused(page(), trees, tmp_path)
    alone = [part for part in fused.parts if part.group in {"scale", "members"}]

    graph = compiled(alone, [name for part in alone[1:] for name in part.outputs], tmp_path / "alone").graph

    assert [tensor.name for tensor in graph.outputs] == ["oak.position", "elm.position", "ash.position"]


def test_the_same_steps_are_the_same_bytes(trees, tmp_path):
    """A release made twice is one release."""
    one, other = (Fused(page(), trees, tmp_path / word).graph() for word in ("one", "other"))

    assert one.sha256 == other.sha256


def test_weights_beside_members_lie_beside_the_graph(tmp_path):
    """Each member's in a folder of its own, though both call the file the same; no byte goes through Python."""
    members = []
    for i, name in enumerate(("oak", "elm")):
        folder = tmp_path / f"logged-{name}"
        folder.mkdir()
        model = linear(seed=i)
        weights = RANDOM.normal(0, 10, (3, 600)).astype(np.float32)
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w"))
        model.graph.node[1].CopyFrom(onnx.helper.make_node("MatMul", ["t1", "v"], ["y"]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((600, 2), np.float32) / 600, "v"))
        onnx.save(model, folder / "logged.onnx", save_as_external_data=True, location="weights", size_threshold=1024)
        logged = onnx.load(folder / "logged.onnx", load_external_data=False)
        members.append(Member(name, logged, tmp_path, weights=folder))
    fused = Fused(page(("oak", "elm")), members, tmp_path)
    graph = fused.graph()
    asked = {"features": RANDOM.uniform(0, 4, (5, 3)).astype(np.float32)}

    graph.write(empty(tmp_path / "written"))

    assert locations(graph.model) == ["elm/weights", "oak/weights"]
    assert (tmp_path / "written" / "oak" / "weights").is_file()
    told = rehearse(fused.parts, asked).tensors["position"]
    assert graph.answer(asked)["position"] == pytest.approx(told, abs=1e-9)


def empty(folder):
    folder.mkdir()
    return folder


def test_names_inside_members_and_their_branches_are_kept_apart(tmp_path):
    """Two graphs with the same names within, in branches too, and an outer name that a branch uses."""
    text = """net (float[n, 3] x) => (float[n, 2] y) {
        total = ReduceSum <keepdims = 0> (x)
        some = Greater(total, limit)
        t = MatMul(x, w)
        y = If (some) <
            then_branch = up () => (float[n, 2] r) { r = Add(t, limit) },
            else_branch = down () => (float[n, 2] r) { r = Neg(t) }
        >
    }"""
    weights = [RANDOM.normal(0, 10, (3, 2)).astype(np.float32) for _ in range(2)]
    limits = [np.array(1e6, np.float32), np.array(-1e6, np.float32)]
    models = [parsed(text, 17, w=w, limit=limit) for w, limit in zip(weights, limits, strict=True)]
    members = [Member(name, model, tmp_path) for name, model in zip(("oak", "elm"), models, strict=True)]
    fused = Fused(page(("oak", "elm")), members, tmp_path)
    asked = {"features": RANDOM.uniform(0, 4, (6, 3)).astype(np.float32)}
    names = ["oak.position", "elm.position"]
    inside = [part for part in fused.parts if part.group in {"scale", "members"}]

    graph = compiled(inside, names, tmp_path / "alone").graph

    told = rehearse(inside, asked).tensors
    for name in names:
        assert graph.answer(asked)[name] == pytest.approx(told[name], rel=1e-6)


def test_merging_leaves_what_it_was_given_as_it_was():
    """The member's graph is still proven, and may be merged again."""
    model = linear()
    before = model.SerializeToString()

    merge(FusedGraph(), model, "oak", {"x": "features"})

    assert model.SerializeToString() == before


@pytest.mark.parametrize("opset", [11, 13, 15, 17, 19, 21])
def test_a_graph_raised_to_a_newer_operator_set_answers_the_same(opset):
    """Where reductions, splits, paddings and casts became others on the way."""
    text = """net (float[n, 4] x) => (float[n, 2] y) {
        m = ReduceMax <axes = [1]> (x)
        s = Sub(x, m)
        e = Exp(s)
        a, b = Split <axis = 1> (e)
        y = Add(a, b)
    }"""
    if opset > 17:
        text = text.replace("ReduceMax <axes = [1]> (x)", "ReduceMax (x, one)")
        text = text.replace("Split <axis = 1>", "Split <axis = 1, num_outputs = 2>")
    model = parsed(text, opset, **({"one": np.array([1])} if opset > 17 else {}))
    rows = {"x": RANDOM.normal(size=(7, 4)).astype(np.float32)}

    (before,), (after,) = (open_session(m).run(None, rows) for m in (model, raised(model, {"": 21})))

    assert after.tolist() == before.tolist()


def test_a_member_whose_operators_cannot_be_raised_is_named(trees, tmp_path):
    """With what to do."""
    old, new = ("ai.onnx.ml", 1), ("ai.onnx.ml", 3)
    for member, (domain, version) in zip(trees, (old, new), strict=False):
        model = member.copy.graph.model
        node = model.graph.node.add(op_type="LabelEncoder", domain=domain, input=["x"], output=["unused"])
        node.name = "odd"
        model.opset_import.append(onnx.helper.make_opsetid(domain, version))

    reason = Fused(page(), trees, tmp_path).choice.left["members"]

    assert reason.startswith("oak uses LabelEncoder of ai.onnx.ml 1")
    assert reason.endswith("export it with that operator set")


def test_a_member_that_is_no_graph_leaves_the_members_and_what_is_before_them(trees, tmp_path):
    """The blocks after them are a graph nevertheless."""
    trees[1].copy = SimpleNamespace(kind="pyfunc")
    choice = Fused(page(), trees, tmp_path).choice

    assert choice.steps == ("fuse", "ellipse")
    assert choice.left == {
        "scale": "it is not beside fuse and ellipse",
        "members": "elm is served as its own Python, no graph",
    }


def test_a_member_for_tensorrt_is_no_graph_for_this(trees, tmp_path):
    """Neither as plans nor through ONNX Runtime."""
    trees[0].copy = SimpleNamespace(kind="tensorrt")
    trees[1].copy = OnnxCopy(graph=trees[1].copy.graph, accelerator="tensorrt")

    reason = Fused(page(), trees, tmp_path).choice.left["members"]

    assert reason == (
        "oak is served as TensorRT plans, no graph; elm asks for the accelerator tensorrt, which computes no FP64"
    )


def test_one_member_between_blocks_that_cannot_join_it_is_left_alone(tmp_path):
    """It is a graph already."""
    pipeline = page(("oak",), answer="tensors", steps=["members"])

    choice = Fused(pipeline, [Member("oak", linear(), tmp_path)], tmp_path).choice

    assert (choice.inside, list(choice.left)) == ((), ["members"])


def test_plain_tensors_are_fused_too(tmp_path):
    """What validates them joins the member."""
    pipeline = page(("oak",), answer="tensors", steps=[{"block": "scale"}, "members"])
    fused = Fused(pipeline, [Member("oak", linear(), tmp_path)], tmp_path)

    assert fused.choice.steps == ("scale", "members")
    assert np.isnan(fused.graph().answer({"features": np.full((1, 3), np.inf, np.float32)})["y"]).all()


def test_known_cases_and_what_members_were_proven_on_are_asked_and_bad_rows_last(trees, tmp_path):
    """What members saw comes back through the blocks before them; each bad row has one bad value."""
    fused = Fused(page(), trees, tmp_path, scale={"at_least": -100.0, "at_most": 0.0})
    cases = KnownCases(features=np.full((30, 3), -50, np.float32), truth=np.zeros((30, 2)), sha256="")

    rows = questions(fused.parts, fused.wiring.inputs, cases)["features"]

    assert (len(rows), rows[:30].tolist()) == (30 + 3 * 40 + 9, cases.features.tolist())
    assert np.abs(rows[30:70] - (trees[0].feed["x"] - 100)).max() < 1e-4
    assert rows[-9:-4, 2].tolist() == pytest.approx([np.nan, np.inf, -np.inf, -100, 0], nan_ok=True)
    assert len(rehearse(fused.parts, {"features": rows}).answered) == len(rows) - 5


def test_a_rehearsal_refuses_rows_one_by_one(trees, tmp_path):
    """However many there are, and never more than those."""
    fused = Fused(page(), trees, tmp_path)
    rows = RANDOM.uniform(0, 4, (300, 3)).astype(np.float32)
    rows[[0, 7, 255, 256, 299], 1] = np.nan

    told = rehearse(fused.parts, {"features": rows})

    assert sorted(set(range(300)) - set(told.answered.tolist())) == [0, 7, 255, 256, 299]
    assert np.isnan(told.whole(["position"], 300)["position"][[0, 7]]).all()
    with pytest.raises(ConversionError, match="refuses every row"):
        rehearse(fused.parts, {"features": rows[[0]]})


def test_members_that_work_beyond_the_plane_leave_fuse_a_block(tmp_path):
    """A stray row of those that were drawn is no reason; one known case is, and so is a habit."""
    stray = np.concatenate([np.full(99, 1e3), [5e5]])

    assert (too_far(np.zeros(9)), too_far(stray), too_far(np.zeros(9), np.full(9, 1e5))) == (None, None, None)
    assert too_far(np.zeros(9), stray).startswith("its members answer up to 500 km from the origin, on 1% of the rows")
    reason = too_far(np.full(10, 250_000.0))
    assert "on 100% of the rows beyond 100 km, where they are fused on the ellipsoid, by iteration" in reason
    fused = Fused(page(), [Member(n, linear(seed=i), tmp_path) for i, n in enumerate(OPSETS)], tmp_path)
    assert chosen(fused.parts, {"fuse": reason}).steps == ("scale", "members")


def test_reaches_are_the_farthest_member_s(trees, tmp_path):
    """By row; nothing where no fuse is among the steps."""
    fused = Fused(page(), trees, tmp_path)
    told = rehearse(fused.parts, {"features": np.array([[0, 0, 0], [9, 9, 9]], np.float32)})

    members = np.stack([told.tensors[f"{name}.position"] for name in OPSETS])
    assert reaches(fused.parts, told.tensors) == pytest.approx(np.abs(members).max(axis=(0, 2)))
    assert reaches(fused.parts[:2], told.tensors).tolist() == [0, 0]


def test_what_the_page_alone_tells_is_foreseen():
    """Members' kinds, a gate for four, bands of distance."""
    changes = {
        "members": {
            "oak": {"model_uri": "models:/oak/1", "flavor": "python_function"},
            "elm": {"model_uri": "models:/elm/1", "target": "tensorrt"},
            "ash": {"model_uri": "models:/ash/1", "accelerator": "tensorrt"},
            "fir": "models:/fir/1",
        },
        "calibration": {
            "data": "cases.parquet",
            "truth": ["latitude", "longitude"],
            "per": {"distance_m": [1000], "from": ORIGIN},
        },
    }

    found = foreseen(page(**changes))

    assert set(found) == {"members", "fuse", "ellipse"}
    assert found["members"] == (
        "oak is to be served as its own Python, no graph; elm is to be served as TensorRT plans, no graph; "
        "ash asks for the accelerator tensorrt, which computes no FP64"
    )
    assert foreseen(page()) == {}


def test_a_block_that_refuses_a_row_here_refuses_it_in_the_rehearsal(trees, tmp_path):
    """The rehearsal asks the very blocks."""
    fused = Fused(page(), trees, tmp_path)

    with pytest.raises(InputRefused):
        fused.parts[0].answer({"features": np.full((1, 3), np.nan, np.float32)})
