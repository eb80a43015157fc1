"""Converters are found by their entry points, the most exact first; the one that the documentation shows works."""

from __future__ import annotations

import json
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sextant.columns import Column
from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export import converters
from sextant_export.converters import convert, source
from sextant_export.graph_file import settle
from sextant_export.parity import prove
from sextant_export.registry import Artifact, RegisteredVersion
from sextant_export.signature import Signature

pytestmark = pytest.mark.models

PAGE = Path(__file__).parents[2] / "docs" / "converters.md"
VOLTS = Column(name="volts", tensor="volts", type="double")


def artifact(path: Path, **flavors: object) -> Artifact:
    """A model that was saved in *flavors*."""
    version = RegisteredVersion(
        name="net",
        version=3,
        run_id="r",
        source=str(path),
        flavors=flavors,
        signature=Signature(form="columns", inputs=(VOLTS,)),
    )
    return Artifact(version=version, path=path, digest="")


def identity() -> onnx.ModelProto:
    described = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 1]) for name in ("features", "prediction")
    ]
    node = helper.make_node("Identity", ["features"], ["prediction"])
    return helper.make_model(helper.make_graph([node], "g", described[:1], described[1:]))


def refusing(*_):
    raise ConversionError("it is too curved")


@pytest.fixture
def installed(monkeypatch):
    """Three converters, of which the most exact refuses."""
    modules = {
        "exact": SimpleNamespace(convert=refusing, EXACTNESS=100),
        "good": SimpleNamespace(convert=lambda *_: identity(), original=lambda _: "its own answers"),
        "rough": SimpleNamespace(convert=lambda *_: identity(), EXACTNESS=10),
    }
    entries = {name: SimpleNamespace(load=lambda module=module: module) for name, module in modules.items()}
    monkeypatch.setattr(converters, "converters", lambda: entries)


def test_the_most_exact_flavour_that_converts_wins(tmp_path, installed):
    conversion = convert(artifact(tmp_path, rough={}, good={}, exact={}, python_function={}))

    assert conversion.source.flavor == "good"
    assert conversion.source.original() == "its own answers"
    assert conversion.refused == {"exact": "it is too curved"}


def test_a_flavour_can_be_asked_for(tmp_path, installed):
    assert convert(artifact(tmp_path, rough={}, good={}), "rough").source.flavor == "rough"


def test_a_flavour_that_was_asked_for_is_not_replaced_by_another(tmp_path, installed):
    with pytest.raises(ConversionError, match="it is too curved"):
        convert(artifact(tmp_path, exact={}, good={}), "exact")


def test_a_flavour_that_was_not_saved_is_guessed(tmp_path, installed):
    with pytest.raises(ConversionError, match=r"models:/net/3 was not saved as goood.*good"):
        convert(artifact(tmp_path, good={}), "goood")


def test_a_graph_says_which_flavour_it_was_made_of(tmp_path, installed):
    model = artifact(tmp_path, rough={}, good={})

    assert source(model, convert(model, "rough").model).flavor == "rough"


def test_a_flavour_without_a_converter_is_refused_with_advice(tmp_path, installed):
    with pytest.raises(ConversionError, match=r"was saved as fastai, python_function, and converted are exact, good"):
        convert(artifact(tmp_path, fastai={}, python_function={}))


def broken():
    raise ModuleNotFoundError("No module named 'curves'")


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (broken, "the converter of exact cannot be loaded: ModuleNotFoundError: No module named 'curves'"),
        (lambda: SimpleNamespace(convert=lambda *_: 1 / 0), "the converter of exact failed: ZeroDivisionError"),
        (lambda: SimpleNamespace(convert=lambda *_: None), "the converter of exact gave a NoneType"),
    ],
)
def test_a_converter_of_somebody_elses_that_breaks_is_a_reason_and_no_traceback(tmp_path, installed, load, said):
    converters.converters()["exact"] = SimpleNamespace(name="exact", load=load)

    assert said in convert(artifact(tmp_path, exact={}, good={})).refused["exact"]
    with pytest.raises(ConversionError, match=said):
        convert(artifact(tmp_path, exact={}))


def test_a_flavour_that_was_refused_before_is_not_tried_again(tmp_path, installed):
    model = artifact(tmp_path, rough={}, good={})

    assert convert(model, refused={"good": "its graph cannot be mended"}).source.flavor == "rough"


def test_a_graph_whose_converter_is_gone_says_so(tmp_path, installed):
    model = artifact(tmp_path, good={})
    graph = convert(model).model
    del converters.converters()["good"]

    with pytest.raises(ConversionError, match=r"was made of good, and its converter is not installed any more"):
        source(model, graph)


@pytest.fixture
def sensorcurve(tmp_path, monkeypatch) -> Path:
    """The package of the documentation, installed: its file, and what pip makes of its pyproject.toml."""
    site = tmp_path / "site"
    information = site / "sextant_sensorcurve-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "sextant_sensorcurve.py").write_text(block("python"), encoding="utf-8")
    project = ConfigParser()
    project.read_string(block("toml").replace("requires = [", "#"))
    name = project["project"]["name"].strip('"')
    entries = project['project.entry-points."sextant.converters"'].items()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{flavor} = {module}".replace('"', "") for flavor, module in entries]
    (information / "entry_points.txt").write_text("\n".join(["[sextant.converters]", *lines]))
    monkeypatch.syspath_prepend(site)
    return tmp_path


def block(language: str) -> str:
    """The one block of *language* on the page."""
    (found,) = PAGE.read_text(encoding="utf-8").split(f"```{language}\n")[1:]
    return found.partition("```")[0]


def curve(path: Path, **facts: object) -> Artifact:
    (path / "curve.json").write_text(json.dumps(facts))
    return artifact(path, sensorcurve={"version": "1"}, python_function={})


def test_the_documented_package_converts_its_flavour(sensorcurve):
    model = curve(sensorcurve, kind="polynomial", coefficients=[0.25, -1.5, 3.0])

    conversion = convert(model)
    graph = settle(conversion.model, model.path, sensorcurve / "graph")
    rows = {"features": np.random.default_rng(0).uniform(0, 5, (1000, 1)).astype(np.float32)}
    proof, answers = prove(graph.answer, conversion.source.original(), rows)

    assert conversion.source.flavor == "sensorcurve"
    assert graph.inputs == (Tensor("features", "FP32", (1,)),)
    assert proof.proven
    np.testing.assert_allclose(answers["prediction"][:, 0], np.polyval([0.25, -1.5, 3], rows["features"][:, 0]), 1e-5)


def test_the_documented_package_refuses_what_it_does_not_know(sensorcurve):
    with pytest.raises(ConversionError, match="models:/net/3: a curve of kind spline is no polynomial: fit one to it"):
        convert(curve(sensorcurve, kind="spline", coefficients=[1.0, 2.0]))
