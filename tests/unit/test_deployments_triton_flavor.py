"""Models of the flavour ``triton``: what is an ONNX graph is taken, what is not is refused with advice."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from sextant.errors import ConversionError
from sextant_export.converters import triton_flavor
from sextant_export.registry import Artifact, RegisteredVersion
from triton_folder import NAME, sum_and_difference, write_folder


def artifact(path, data=NAME):
    version = RegisteredVersion(
        name=NAME, version=1, run_id=None, source=str(path), flavors={"triton": {"data": data}}, signature=None
    )
    return Artifact(version=version, path=path, digest="")


def test_the_graph_in_the_folder_is_the_model(tmp_path):
    """Two inputs, two outputs, as published."""
    write_folder(tmp_path)

    model = triton_flavor.convert(artifact(tmp_path), None)

    assert [value.name for value in model.graph.input] == ["INPUT0", "INPUT1"]
    assert [value.name for value in model.graph.output] == ["OUTPUT0", "OUTPUT1"]


def test_a_folder_without_configuration_is_taken_as_onnx(tmp_path):
    """Triton itself would complete one."""
    write_folder(tmp_path, config=None)

    assert triton_flavor.convert(artifact(tmp_path), None).graph.name == "sum_and_difference"


def test_the_newest_version_of_several_is_taken(tmp_path):
    """By number, not by text."""
    folder = write_folder(tmp_path, versions=(2, 10))
    (folder / "2" / "model.onnx").unlink()

    assert triton_flavor.convert(artifact(tmp_path), None).graph.name == "sum_and_difference"


def test_the_configurations_own_file_name_is_read(tmp_path):
    """``default_model_filename``."""
    folder = write_folder(tmp_path, config='backend: "onnxruntime" default_model_filename: "net.onnx"')
    (folder / "1" / "model.onnx").rename(folder / "1" / "net.onnx")

    assert triton_flavor.convert(artifact(tmp_path), None).graph.name == "sum_and_difference"


def test_weights_beside_the_graph_are_found_from_the_artifacts_folder(tmp_path):
    """Their place is rewritten, their bytes are not touched."""
    folder = write_folder(tmp_path)
    model = sum_and_difference()
    bias = onnx.numpy_helper.from_array(np.ones(16, np.float32), "bias")
    model.graph.initializer.append(bias)
    model.graph.node[0].input[1] = "bias"
    path = folder / "1" / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)

    converted = triton_flavor.convert(artifact(tmp_path), None)

    (location,) = [e.value for e in converted.graph.initializer[0].external_data if e.key == "location"]
    assert location == f"{NAME}/1/weights"
    assert (tmp_path / location).stat().st_size >= 64


def test_the_original_is_the_published_file_itself(tmp_path):
    """Asked in ONNX Runtime, by the names of its tensors."""
    write_folder(tmp_path)
    rows = np.arange(32, dtype=np.float32).reshape(2, 16)

    answers = triton_flavor.original(artifact(tmp_path))({"INPUT0": rows, "INPUT1": np.ones_like(rows)})

    assert np.array_equal(answers["OUTPUT0"], rows + 1)
    assert np.array_equal(answers["OUTPUT1"], rows - 1)
    assert answers["OUTPUT0"].dtype == np.int32


def test_a_graph_of_a_fixed_batch_is_asked_row_by_row(tmp_path):
    """As Triton would, with max_batch_size 0."""
    folder = write_folder(tmp_path)
    onnx.save(sum_and_difference(batch=1), folder / "1" / "model.onnx")
    rows = np.arange(48, dtype=np.float32).reshape(3, 16)

    answers = triton_flavor.original(artifact(tmp_path))({"INPUT0": rows, "INPUT1": rows})

    assert np.array_equal(answers["OUTPUT0"], 2 * rows)


def test_a_weight_file_in_a_folder_of_the_graphs_name_is_found(tmp_path):
    """Triton takes ``1/model.onnx/model.onnx`` too."""
    folder = write_folder(tmp_path)
    inside = folder / "1" / "inside"
    inside.mkdir()
    (folder / "1" / "model.onnx").rename(inside / "model.onnx")
    inside.rename(folder / "1" / "model.onnx")

    assert triton_flavor.convert(artifact(tmp_path), None).graph.name == "sum_and_difference"


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda folder: (folder / "config.pbtxt").write_text('backend: "python"'), "for the backend 'python'.*export"),
        (lambda folder: (folder / "config.pbtxt").write_text("backend = onnx"), "is no model configuration"),
        (lambda folder: (folder / "1" / "model.onnx").unlink(), "expected .*1/model.onnx, and it is not there"),
        (lambda folder: (folder / "1").rename(folder / "first"), "expected a version folder like .*/1/, found none"),
        (lambda folder: (folder / "1" / "model.onnx").write_bytes(b"half"), "no whole ONNX file"),
    ],
    ids=["another backend", "no configuration", "no graph", "no version", "no ONNX"],
)
def test_what_cannot_be_taken_is_refused_in_words(tmp_path, break_it, sentence):
    """With what was expected, or what to do."""
    break_it(write_folder(tmp_path))

    with pytest.raises(ConversionError, match=sentence):
        triton_flavor.convert(artifact(tmp_path), None)


@pytest.mark.parametrize("data", ["nowhere", "../elsewhere", ""])
def test_a_folder_outside_the_artifact_is_not_followed(tmp_path, data):
    """Whatever the MLmodel file says."""
    (tmp_path / "elsewhere").mkdir()
    inside = tmp_path / "artifact"
    inside.mkdir()

    with pytest.raises(ConversionError, match="is not among its files"):
        triton_flavor.convert(artifact(inside, data), None)
