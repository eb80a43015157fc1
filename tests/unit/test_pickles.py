"""Which files of a registered model are pickles, told by its flavours and by what lies in the files."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import onnx
import pytest
from sklearn.linear_model import Ridge
from skops import io as skops_io

from sextant.errors import PickleRefused
from sextant_export.pickles import is_pickle, pickles, refuse_pickles
from sextant_export.registry import Artifact, RegisteredVersion


def zipped(*names):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return held.getvalue()


def saved_array():
    held = io.BytesIO()
    np.save(held, np.zeros(3))
    return held.getvalue()


PROGRAMS = {
    "model.bin": pickle.dumps({"weights": [1.0]}, protocol=2),
    "model.dat": pickle.dumps(Ridge(), protocol=5),
    "model.pth": zipped("model/data.pkl", "model/data/0"),
    "model.pkl": b"\x00compressed",
    "model.joblib": b"x\x9c",
}
NONE = {
    "model.skops": skops_io.dumps(Ridge()),
    "model.onnx": onnx.ModelProto(ir_version=8).SerializeToString(),
    "model.safetensors": b"\x10\x00\x00\x00\x00\x00\x00\x00{}",
    "script.pt": zipped("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py"),
    "weights.bin": b"\x80\x04\xff\xff\xff",
    "rows.npy": saved_array(),
    "model.py": b"import sys\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_a_pickle_is_known_by_its_name_or_its_bytes(tmp_path, name):
    (tmp_path / name).write_bytes(PROGRAMS[name])

    assert is_pickle(tmp_path / name)


@pytest.mark.parametrize("name", NONE)
def test_what_runs_nothing_is_none(tmp_path, name):
    (tmp_path / name).write_bytes(NONE[name])

    assert not is_pickle(tmp_path / name)


def artifact(folder, **flavors):
    version = RegisteredVersion(name="m", version=1, run_id=None, source="", flavors=flavors, signature=None)
    return Artifact(version=version, path=folder, digest="")


def test_flavours_say_so_where_the_file_does_not(tmp_path):
    """Compressed, a pickle shows nothing."""
    (tmp_path / "own").write_bytes(b"\x1f\x8b")

    assert pickles(artifact(tmp_path, python_function={"python_model": "own"})) == ("own",)
    assert pickles(artifact(tmp_path, sklearn={"pickled_model": "own", "serialization_format": "skops"})) == ()


@pytest.mark.parametrize(
    ("flavor", "sentence"),
    [
        ("sklearn", r"m/1: model.pkl is a pickle.*serialization_format='skops'\), or export it to ONNX"),
        ("python_function", r"models from code.*python_model='model.py'"),
        ("pytorch", r"serialization_format='pt2'"),
        ("unheard_of", r"none may be loaded: export it to ONNX and log it with mlflow.onnx.log_model"),
    ],
)
def test_a_refusal_says_what_to_log_instead(tmp_path, flavor, sentence):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(1))

    with pytest.raises(PickleRefused, match=sentence) as caught:
        refuse_pickles(artifact(tmp_path, **{flavor: {}}))

    assert caught.value.files == ("model.pkl",)


def test_a_model_without_one_is_not_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(NONE["model.onnx"])

    refuse_pickles(artifact(tmp_path, onnx={}))

    assert pickles(artifact(tmp_path, onnx={})) == ()
