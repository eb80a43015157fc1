"""Members that answer on grids, or say their own errors, from the registry to what a caller gets."""

from __future__ import annotations

import warnings

import numpy as np
import pyproj
import pytest
import yaml
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

from sextant.errors import PipelineError
from sextant.geodesy import to_east_north
from sextant.scores import evaluate
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_export.receipt import read_receipt
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton
from small_world import ORIGIN, SCALE, draw

pytestmark = pytest.mark.e2e


@pytest.fixture
def grids(world):
    """The small world with two members more: one answers in UTM zone 32, one on the web map."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, code in (("utm", 25832), ("web", 3857)):
            latitude, longitude = world.training.truth.T
            to_grid = pyproj.Transformer.from_crs(4326, code, always_xy=True).transform
            model = Ridge(alpha=0.1).fit(world.training.scaled, np.stack(to_grid(longitude, latitude), axis=-1))
            world.log(name, lambda mlflow, model=model, **facts: logged(mlflow, model, facts), model, "champion")
    return world


def logged(mlflow, model, facts):
    return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", **facts)


def written(world, *, members, fuse, **more):
    uris = {name: f"models:/{name}@champion" for name in members}
    steps = [
        {"block": "scale", "with": dict(SCALE)},
        "members",
        {"block": "fuse", "with": fuse},
        {"block": "ellipse", "with": {"confidence_levels": [0.5, 0.9, 0.95]}},
    ]
    return world.write_spec({"members": uris, "steps": steps, **more})


def served(world, page, features):
    """What a caller gets of *features* once *page* is promoted, and the receipt."""
    with EmbeddedTriton(world.store.root) as triton:
        with Control(triton.address.grpc, triton.address.token) as control:
            done = promote(page, world.store, world.registry, control)
        with Client(triton.address.grpc) as client:
            return client.pipeline("locate")(features), read_receipt(world.store, "locate", done.release)


def test_members_of_three_frames_give_one_calibrated_fix(grids):
    """The same model on a grid, on the stretched web map and in metres about an origin: nobody can tell which."""
    page = written(
        grids,
        members=["ridge", "utm", "web"],
        fuse={
            "frame": {"ridge": "east_north_m", "utm": "EPSG:25832", "web": "EPSG:3857"},
            "origin": list(ORIGIN),
            "method": "covariance_intersection",
        },
    )
    unseen = draw(300, seed=9)

    fixes, receipt = served(grids, page, unseen.features)

    scores = evaluate(fixes, unseen.truth)
    assert scores.median_error_m < 30
    assert all(abs(share - level) < 0.07 for level, share in scores.coverage.items())
    told = receipt.calibration["member_median_error_m"]
    assert told["utm"] == pytest.approx(told["ridge"], abs=0.6)
    assert told["web"] == pytest.approx(told["ridge"], abs=0.6)
    assert sorted(receipt.blocks["fuse"]["projections"]) == ["EPSG:25832", "EPSG:3857"]
    assert receipt.blocks["fuse"]["projections"]["EPSG:3857"]["error_m"] < 1e-3
    own = (grids.training.scaled.astype(np.float64), grids.training.east_north)
    alone = Ridge(alpha=0.1).fit(*own).predict(unseen.scaled)
    apart = to_east_north(ORIGIN, np.array([(fix.latitude, fix.longitude) for fix in fixes])) - alone
    assert np.abs(apart).max() < 0.6  # what float32 leaves of a northing


def test_the_spread_of_members_needs_no_known_case(world):
    """Its ellipses stand on the F scale of as few draws as there are members, and say that nothing was calibrated."""
    fuse = {"frame": "east_north_m", "origin": list(ORIGIN), "method": "spread"}
    written(world, members=["ridge", "forest", "knn"], fuse=fuse)
    spec = yaml.safe_load(world.spec.read_text())
    world.spec.write_text(yaml.safe_dump({k: v for k, v in spec.items() if k not in ("calibration", "gate")}))

    fixes, receipt = served(world, load_pipeline(world.spec), draw(20, seed=9).features)

    assert receipt.calibration is None
    assert {fix.scale_method for fix in fixes} == {"f"}
    assert {(fix.calibrated, fix.members_used, fix.members_rejected) for fix in fixes} == {(False, 3, ())}
    wide = fixes[0].ellipse(0.95).semi_major_m / fixes[0].ellipse(0.5).semi_major_m
    assert wide == pytest.approx(np.sqrt((0.05**-2 - 1) / (0.5**-2 - 1)), rel=1e-6)


def test_float32_degrees_are_refused_before_anything_is_staged(world):
    page = written(world, members=["ridge", "forest", "knn"], fuse={"frame": "latitude_longitude"})

    with (
        EmbeddedTriton(world.store.root) as triton,
        Control(triton.address.grpc, triton.address.token) as control,
        pytest.raises(PipelineError, match="members.ridge: .* is FP32, in which degrees are 1 m coarse"),
    ):
        promote(page, world.store, world.registry, control)
    assert not list(world.store.models.iterdir())


def test_who_is_overruled_is_named_in_whatever_order_members_stand(grids):
    """One of four sees a place 4 km off where its first receiver is too loud, and after a reorder."""
    deaf, loud = grids.training.scaled.copy(), grids.training.scaled.copy()
    deaf[:, 0], loud[:, 0] = 0, 4
    latitude, longitude = grids.training.truth.T
    to_grid = pyproj.Transformer.from_crs(4326, 25832, always_xy=True).transform
    truths = {"ridge": grids.training.east_north, "utm": np.stack(to_grid(longitude, latitude), axis=-1)}
    models = {name: Ridge(alpha=0.1).fit(deaf, truth) for name, truth in truths.items()}
    models["second"] = Ridge(alpha=1.0).fit(deaf, grids.training.east_north)
    astray = grids.training.east_north + np.array([0.0, 4000.0])
    models["shaken"] = KNeighborsRegressor(5).fit(
        np.concatenate([grids.training.scaled, loud]), np.concatenate([grids.training.east_north, astray])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in models.items():
            grids.log(name, lambda mlflow, model=model, **facts: logged(mlflow, model, facts), model, "champion")
    asked = draw(30, seed=9)
    asked.features[::3, 0] = 99.0

    for order in (["ridge", "shaken", "utm", "second"], ["shaken", "utm", "second", "ridge"]):
        frame = {name: "EPSG:25832" if name == "utm" else "east_north_m" for name in order}
        page = written(grids, members=order, fuse={"frame": frame, "origin": list(ORIGIN)})

        fixes, _ = served(grids, page, asked.features)

        assert [fix.members_rejected for fix in fixes] == [("shaken",), (), ()] * 10
        assert [fix.members_used for fix in fixes] == [3, 4, 4] * 10
