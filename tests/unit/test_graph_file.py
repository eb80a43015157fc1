"""A graph on disk: its weights stay in their files, whole and each once, and the same graph is the same bytes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export import graph_file
from sextant_export.graph_file import GraphFile, read, settle
from sextant_export.onnx_graph import external, sessions

WIDTH = 300
ROWS = np.random.default_rng(0).random((5, WIDTH), np.float32)
ONE, OTHER = (np.random.default_rng(seed).random((WIDTH, WIDTH), np.float32) for seed in (1, 2))


def weight(name: str, array: np.ndarray, place: Path | None = None, offset: int = 0) -> TensorProto:
    """A weight, whose numbers go into the file *place* from *offset* on where there is one."""
    tensor = numpy_helper.from_array(array, name)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("r+b" if place.exists() else "wb") as file:
            file.seek(offset)
            file.write(tensor.raw_data)
    return tensor


def placed(tensor: TensorProto, location: str, offset: int | None = None, length: int | None = None) -> TensorProto:
    onnx.external_data_helper.set_external_data(tensor, location, offset, length)
    tensor.ClearField("raw_data")
    return tensor


def chain(*weights: TensorProto, opset: int = 21, names: tuple[str, ...] | None = None) -> onnx.ModelProto:
    """x, multiplied by one weight after the other."""
    steps = names or tuple(tensor.name for tensor in weights)
    nodes = [
        helper.make_node("MatMul", ["x" if i == 0 else f"h{i}", name], ["y" if i == len(steps) - 1 else f"h{i + 1}"])
        for i, name in enumerate(steps)
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in "xy")
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])


def two_files(folder: Path) -> onnx.ModelProto:
    """One weight in a file beside the graph, the other far into a file in a subfolder."""
    one = placed(weight("one", ONE, folder / "one.bin"), "one.bin")
    other = placed(weight("other", OTHER, folder / "deep" / "er" / "other.bin", 8192), "deep/er/other.bin", 8192)
    return chain(one, other)


def expected() -> np.ndarray:
    return ROWS @ ONE @ OTHER


@pytest.fixture
def logged(tmp_path) -> Path:
    folder = tmp_path / "logged"
    folder.mkdir()
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_weights_in_several_files_stay_there(logged, tmp_path):
    graph = settle(two_files(logged), logged, tmp_path / "settled")

    assert files(tmp_path / "settled") == ["deep/er/other.bin", "model.onnx", "one.bin"]
    assert graph.path.stat().st_size < 2000
    assert graph.files == ("model.onnx", "deep/er/other.bin", "one.bin")
    np.testing.assert_allclose(graph.answer({"x": ROWS})["y"], expected(), rtol=1e-5)


def test_no_byte_of_a_file_of_weights_is_copied_on_the_way(logged, tmp_path):
    settle(two_files(logged), logged, tmp_path / "settled")

    assert (tmp_path / "settled" / "one.bin").samefile(logged / "one.bin")


def test_what_is_written_is_whole_and_its_own(logged, tmp_path):
    """A store must not change where somebody writes into the folder that it was made from."""
    graph = settle(two_files(logged), logged, tmp_path / "settled")
    written = tmp_path / "store" / "7"
    written.mkdir(parents=True)

    graph.write(written)

    again = read(written / "model.onnx")
    (logged / "one.bin").write_bytes(b"")
    assert files(written) == ["deep/er/other.bin", "model.onnx", "one.bin"]
    assert again.sha256 == GraphFile(written / "model.onnx").sha256
    np.testing.assert_allclose(again.answer({"x": ROWS})["y"], expected(), rtol=1e-5)


def test_a_file_system_without_links_gets_copies(logged, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "copy_file_range", refuse)

    graph = settle(two_files(logged), logged, tmp_path / "settled")

    np.testing.assert_allclose(graph.answer({"x": ROWS})["y"], expected(), rtol=1e-5)


def test_the_same_graph_twice_is_the_same_bytes(logged, tmp_path):
    one, other = (settle(two_files(logged), logged, tmp_path / name) for name in ("a", "b"))

    assert one.sha256 == other.sha256
    assert one.path.read_bytes() == other.path.read_bytes()


def test_the_digest_is_over_every_file(logged, tmp_path):
    model = two_files(logged)
    before = settle(two_files(logged), logged, tmp_path / "a").sha256
    with (logged / "deep" / "er" / "other.bin").open("r+b") as file:
        file.seek(9000)
        file.write(b"changed")

    assert settle(model, logged, tmp_path / "b").sha256 != before


def test_lowering_keeps_weights_outside(logged, tmp_path):
    model = two_files(logged)
    model.opset_import[0].version = 24

    graph = settle(model, logged, tmp_path / "settled")

    assert graph.model.opset_import[0].version == 21
    assert graph.files[1:] == ("deep/er/other.bin", "one.bin")
    np.testing.assert_allclose(graph.answer({"x": ROWS})["y"], expected(), rtol=1e-5)


def test_a_small_weight_comes_inside(logged, tmp_path):
    """A shape in a file could not be understood without reading it, and TensorRT's parser wants it inside."""
    shape = np.array([-1, WIDTH])
    model = chain(placed(weight("one", ONE, logged / "w"), "w"))
    model.graph.node[0].output[0] = "flat"
    model.graph.initializer.append(placed(weight("shape", shape, logged / "w", ONE.nbytes), "w", ONE.nbytes, 16))
    model.graph.node.append(helper.make_node("Reshape", ["flat", "shape"], ["y"]))

    graph = settle(model, logged, tmp_path / "settled")

    inside = [w.name for w in graph.model.graph.initializer if w.data_location == TensorProto.DEFAULT]
    assert inside == ["shape"]


def test_weights_that_nobody_asks_for_are_left_behind(logged, tmp_path):
    model = two_files(logged)
    model.graph.initializer.append(placed(weight("spare", ONE + 1, logged / "spare.bin"), "spare.bin"))

    graph = settle(model, logged, tmp_path / "settled")

    assert "spare.bin" not in files(tmp_path / "settled")
    assert [w.name for w in graph.model.graph.initializer] == ["one", "other"]


def test_nodes_that_nobody_asks_for_are_left_out_with_their_weights(logged, tmp_path):
    model = two_files(logged)
    model.graph.node.append(helper.make_node("MatMul", ["x", "unread"], ["nowhere"]))
    model.graph.node.append(helper.make_node("Neg", ["nowhere"], ["nothing"]))
    model.graph.initializer.append(weight("unread", ONE))

    graph = settle(model, logged, tmp_path / "settled")

    assert [node.op_type for node in graph.model.graph.node] == ["MatMul", "MatMul"]
    assert [w.name for w in graph.model.graph.initializer] == ["one", "other"]


def test_equal_weights_are_one(logged, tmp_path):
    inner = chain(weight("one", ONE), weight("again", ONE.copy()), weight("other", OTHER))
    outer = chain(
        placed(weight("one", ONE, logged / "one.bin"), "one.bin"),
        placed(weight("again", ONE, logged / "again.bin", 64), "again.bin", 64),
    )

    inner, outer = settle(inner, logged, tmp_path / "in"), settle(outer, logged, tmp_path / "out")

    assert [w.name for w in inner.model.graph.initializer] == ["one", "other"]
    assert files(tmp_path / "out") == ["model.onnx", "one.bin"]
    np.testing.assert_allclose(outer.answer({"x": ROWS})["y"], ROWS @ ONE @ ONE, rtol=1e-5)


def test_numbers_are_equal_only_in_the_same_type_and_shape(logged, tmp_path):
    text = (
        "g (float[n, 2] x) => (float[n, 2] y, int64[n, 2] z) "
        "{ p = Add(x, a) y = Add(p, b) i = Cast <to = 7> (x) z = Add(i, c) }"
    )
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    zeros = {"a": np.zeros((1, 2), np.float32), "b": np.zeros(2, np.float32), "c": np.zeros(1, np.int64)}
    model.graph.initializer.extend(weight(name, array) for name, array in zeros.items())

    graph = settle(model, logged, tmp_path / "settled")

    assert [w.name for w in graph.model.graph.initializer] == ["a", "b", "c"]


BRANCHES = """
<ir_version: 10, opset_import: ["" : 21]>
g (float[n, 2] x) => (float[n, 2] y) <float[2] spare = {9, 9}, float[2] outer = {1, 2}> {
  k = Constant <value = bool {1}> ()
  y = If (k) <
    then_branch = t () => (float[n, 2] d) <float[2] w = {3, 4}, float[2] same = {3, 4}, float[2] none = {7, 7}>
      { a = Mul(x, w) b = Add(a, same) d = Add(b, outer) },
    else_branch = e () => (float[n, 2] f) <float[2] w = {5, 6}> { f = Mul(x, w) }
  >
}
"""


def test_weights_are_tidied_inside_branches_too(logged, tmp_path):
    """A branch sees the weights around it, and its own may be called like another branch's."""
    graph = settle(onnx.parser.parse_model(BRANCHES), logged, tmp_path / "settled")

    then, other = (attribute.g for node in graph.model.graph.node[1:] for attribute in node.attribute)
    assert [w.name for w in graph.model.graph.initializer] == ["outer"]
    assert [w.name for w in then.initializer] == ["w"]
    assert [w.name for w in other.initializer] == ["w"]
    assert graph.answer({"x": np.array([[1, 1]], np.float32)})["y"].tolist() == [[7.0, 10.0]]


def test_a_branch_s_own_weight_is_not_taken_for_the_one_around_it(logged, tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[n, 2] x) => (float[n, 2] y) '
        "<float[2] first = {2, 2}, float[2] w = {2, 2}> { k = Constant <value = bool {1}> () p = Mul(x, first) "
        "z = Mul(p, w) y = If (k) <then_branch = t () => (float[n, 2] d) <float[2] w = {3, 4}> { e = Mul(z, w) "
        "d = Mul(e, first) }, else_branch = e () => (float[n, 2] f) { f = Neg(x) }> }"
    )

    graph = settle(model, logged, tmp_path / "settled")

    assert graph.answer({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[24.0, 32.0]]


def test_weights_listed_as_inputs_are_no_inputs(logged, tmp_path):
    """So old exporters wrote them, and Triton would ask callers for them."""
    model = chain(weight("one", ONE))
    model.ir_version = 3
    model.graph.input.append(helper.make_tensor_value_info("one", TensorProto.FLOAT, [WIDTH, WIDTH]))

    graph = settle(model, logged, tmp_path / "settled")

    assert graph.inputs == (Tensor("x", "FP32", (WIDTH,)),)
    assert [value.name for value in graph.model.graph.input] == ["x"]
    assert graph.model.ir_version >= 4


def test_a_large_graph_has_its_weights_moved_out(logged, tmp_path, monkeypatch):
    monkeypatch.setattr(external, "LARGE_BYTES", 100_000)
    model = chain(weight("one", ONE), weight("other", OTHER), weight("again", ONE))
    model.graph.initializer[1].CopyFrom(
        helper.make_tensor("other", TensorProto.FLOAT, OTHER.shape, OTHER.ravel().tolist())
    )

    graph = settle(model, logged, tmp_path / "settled")

    assert graph.files == ("model.onnx", "model.onnx.data")
    assert (tmp_path / "settled" / "model.onnx.data").stat().st_size < 2 * ONE.nbytes + 2 * external.PAGE
    assert all(int(entry.value) % 4096 == 0 for w in graph.model.graph.initializer for entry in w.external_data[1:2])
    np.testing.assert_allclose(graph.answer({"x": ROWS})["y"], expected() @ ONE, rtol=1e-5)


def test_a_large_constant_can_lie_outside_too(logged, tmp_path, monkeypatch):
    monkeypatch.setattr(external, "LARGE_BYTES", 100_000)
    model = chain(weight("one", ONE), weight("other", OTHER))
    del model.graph.initializer[1]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["other"], value=weight("v", OTHER)))

    graph = settle(model, logged, tmp_path / "settled")

    assert graph.path.stat().st_size < 2000
    np.testing.assert_allclose(graph.answer({"x": ROWS})["y"], expected(), rtol=1e-5)


def test_more_than_two_gigabytes_are_served_from_where_they_lie(logged, tmp_path):
    """No message may be larger than that; the file has a hole for all but a few of its numbers."""
    rows, size = 600_000_000, 4
    with (logged / "table").open("wb") as file:
        file.truncate(rows * size)
        file.seek(599_999_999 * size)
        file.write(np.float32(7).tobytes())
    table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[rows])
    table.data_location = TensorProto.EXTERNAL
    table.external_data.add(key="location", value="table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["y"])],
        "lookup",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [table],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 23)])

    settled = settle(model, logged, tmp_path / "settled")

    assert settled.path.stat().st_size < 1000
    assert settled.answer({"ids": np.array([[599_999_999], [0]])})["y"].tolist() == [[7.0], [0.0]]


def test_a_session_of_large_weights_ends_with_the_question(logged, tmp_path, monkeypatch):
    """Else the copy's weights and the original's would be in memory together."""
    opened = []
    monkeypatch.setattr(graph_file, "LARGE_BYTES", 100_000)
    monkeypatch.setattr(graph_file, "open_file", lambda *asked: opened.append(asked) or sessions.open_file(*asked))
    graph = settle(two_files(logged), logged, tmp_path / "settled")

    graph.answer({"x": ROWS})
    graph.answer({"x": ROWS})

    assert len(opened) == 2
    assert not any("session" in type(value).__name__.lower() for value in vars(graph).values())


def test_a_small_graph_is_opened_once(logged, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(graph_file, "open_file", lambda *asked: opened.append(asked) or sessions.open_file(*asked))
    graph = settle(two_files(logged), logged, tmp_path / "settled")

    graph.answer({"x": ROWS})
    graph.answer({"x": ROWS})

    assert len(opened) == 1


def test_many_rows_are_asked_in_parts(logged, tmp_path):
    graph = settle(two_files(logged), logged, tmp_path / "settled")
    rows = np.tile(ROWS, (120, 1))

    np.testing.assert_allclose(graph.answer({"x": rows})["y"], np.tile(expected(), (120, 1)), rtol=1e-5)
    assert graph.answer({"x": rows[:0]})["y"].shape == (0, WIDTH)


def test_a_missing_file_is_named(logged, tmp_path):
    model = two_files(logged)
    (logged / "one.bin").unlink()

    with pytest.raises(ConversionError, match=r"its weights 'one' lie in one\.bin, not there; log the model again"):
        settle(model, logged, tmp_path / "settled")


@pytest.mark.parametrize("offset", [None, 4096])
def test_a_file_that_is_cut_short_is_named(logged, tmp_path, offset):
    model = chain(placed(weight("one", ONE, logged / "w", offset or 0), "w", offset))
    needed = ONE.nbytes + (offset or 0)
    os.truncate(logged / "w", needed - 1)

    with pytest.raises(ConversionError, match=rf"w is cut short: {needed - 1} bytes of at least {needed}"):
        settle(model, logged, tmp_path / "settled")


@pytest.mark.parametrize("location", ["../w", "deep/../../w", "{folder}/w", "", "link"])
def test_a_file_outside_the_model_is_not_read(logged, tmp_path, location):
    (tmp_path / "w").write_bytes(ONE.tobytes())
    (logged / "link").symlink_to(tmp_path / "w")
    (logged / "deep").mkdir()
    model = chain(placed(weight("one", ONE), location.format(folder=tmp_path)))

    with pytest.raises(ConversionError, match=r"its weights 'one' lie in .*not there: they must lie in the model's"):
        settle(model, logged, tmp_path / "settled")


def test_a_place_that_is_none_is_refused(logged, tmp_path):
    model = chain(placed(weight("one", ONE, logged / "w"), "w", 0))
    model.graph.initializer[0].external_data[1].value = "-8"

    with pytest.raises(ConversionError, match=r"its weights 'one' lie nowhere: .*non-negative"):
        settle(model, logged, tmp_path / "settled")


def test_what_was_renamed_is_a_fact_of_the_graph(logged, tmp_path):
    model = chain(weight("one", ONE))
    model.graph.input[0].name = model.graph.node[0].input[0] = "x (m)"

    graph = settle(model, logged, tmp_path / "settled")

    assert read(graph.path).facts() == {"onnx_sha256": graph.sha256, "renamed": {"x_m": "x (m)"}}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_file_that_is_no_whole_graph_is_refused(logged, tmp_path, share):
    path = settle(two_files(logged), logged, tmp_path / "settled").path
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(ConversionError, match=r"model\.onnx is no whole ONNX file"):
        read(path)


def test_a_stored_graph_without_its_weights_is_refused(logged, tmp_path):
    path = settle(two_files(logged), logged, tmp_path / "settled").path
    (path.parent / "one.bin").unlink()

    with pytest.raises(ConversionError, match=r"its weights 'one' lie in one\.bin, not there"):
        read(path)


def test_what_cannot_be_served_leaves_no_graph(logged, tmp_path):
    model = two_files(logged)
    model.graph.node[1].op_type = "MatMool"

    with pytest.raises(ConversionError, match=r"does not run MatMool"):
        settle(model, logged, tmp_path / "settled")
    assert not (tmp_path / "settled" / "model.onnx").exists()
