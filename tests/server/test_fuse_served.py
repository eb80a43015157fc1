"""Each method and each frame of ``fuse``, asked of a real Triton: it answers as the library does."""

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest

from block_doors import RefusedError
from served_blocks import ServedBlock, copy_committed, infer
from sextant.blocks import Fuse
from sextant.geodesy import to_east_north, to_latitude_longitude
from sextant_export.projection import projections

pytestmark = pytest.mark.server

SPOT = (48.137, 11.575)
NAMES = ["oak", "elm", "ash", "fir", "yew"]
MEASURED = [
    [[100, 0], [0, 400]],
    [[225, 50], [50, 100]],
    [[400, -100], [-100, 225]],
    [[90, 9], [9, 90]],
    [[50, 0], [0, 60]],
]
METHODS = [
    {"method": "moment"},
    {"method": "covariance_intersection"},
    {"method": "covariance_intersection", "minimise": "trace"},
    {"method": "inverse_variance", "members_are_independent": True},
    {"method": "spread"},
]
FRAMES = [
    {"frame": "latitude_longitude"},
    {"frame": "east_north_m", "origin": SPOT},
    {"frame": "EPSG:25832"},
    {"frame": "EPSG:3857"},
    {
        "frame": dict(
            zip(NAMES, ["EPSG:25832", "east_north_m", "latitude_longitude", "EPSG:3857", "EPSG:25832"], strict=True)
        ),
        "origin": {"elm": SPOT},
    },
]


@pytest.fixture(scope="module")
def serve(triton, triton_store):
    return ServedBlock(triton, triton_store, "fuse", max_batch_size=64)


def parameters(frame, method=None, **more):
    """Those of five members, complete, with FP64 slots."""
    slots = {f"member_{i}": "FP64" for i in range(5)}
    each = frame["frame"].values() if isinstance(frame["frame"], dict) else [frame["frame"]]
    known = {"members": NAMES, "slots": slots, "projections": projections(each), "member_covariances": MEASURED}
    return {**known, **frame, **(method or {}), **more}


def answers(frame, rows=30, seed=3):
    """Places around the spot, as members of these frames say them; in one row one is far away."""
    offsets = np.random.default_rng(seed).normal(0, 12, (rows, 5, 2))
    offsets[rows // 2, 4] += 2000
    places = to_latitude_longitude(SPOT, offsets)
    given = {}
    for i, name in enumerate(NAMES):
        kind = frame["frame"][name] if isinstance(frame["frame"], dict) else frame["frame"]
        own = {"latitude_longitude": places[:, i], "east_north_m": to_east_north(SPOT, places[:, i])}.get(kind)
        if own is None:
            to_grid = pyproj.Transformer.from_crs(4326, kind, always_xy=True).transform
            own = np.stack(to_grid(places[:, i, 1], places[:, i, 0]), axis=-1)
        given[f"member_{i}"] = own
    return given


def assert_same(served, library):
    assert list(served) == list(library)
    for name, array in library.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(served[name], array, rtol=1e-12, atol=1e-9)
        else:
            assert served[name].tolist() == array.tolist()


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: str(frame["frame"])[:20])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: "-".join(map(str, method.values())))
def test_a_method_in_a_frame_answers_in_triton_as_in_the_library(client, serve, frame, method):
    given, complete = answers(frame), parameters(frame, method)

    served = infer(client, serve(complete), given)

    assert_same(served, Fuse(complete)(**given))
    left_out = served["fused_members_rejected"][15, 0]
    assert left_out == (b"" if method["method"] == "spread" else b"yew")


@pytest.mark.parametrize("word", ["covariance", "sigmas", "log_variances"])
def test_what_members_say_of_their_errors_counts_in_triton(client, serve, word):
    frame = FRAMES[4]
    said = {
        "covariance": np.tile(np.float32([[90, 20], [20, 40]]), (30, 1, 1)),
        "sigmas": np.random.default_rng(5).uniform(5, 20, (30, 2)).astype(np.float32),
        "log_variances": np.random.default_rng(6).uniform(3, 6, (30, 2)).astype(np.float32),
    }[word]
    complete = parameters(frame, {"method": "covariance_intersection"})
    given = answers(frame) | {f"{word}_{i}": said for i in (0, 2, 3)}

    served = infer(client, serve(complete), given)

    assert_same(served, Fuse(complete)(**given))
    without = Fuse(complete)(**answers(frame))
    assert not np.allclose(served["fused_covariance"], without["fused_covariance"], rtol=1e-3)


def test_a_refused_row_says_its_member_and_its_neighbours_are_answered(client, serve):
    frame = FRAMES[2]
    complete, given = parameters(frame), answers(frame, rows=2)
    astray = given | {"member_3": np.array([[11.6, 48.1], [691_000.0, 5_334_000.0]])}
    wrong = given | {"sigmas_1": np.array([[5, 5], [5, -1]], np.float32)}

    with pytest.raises(RefusedError, match="member_3: expected eastings .* from member 'fir', got 11.6, 48.1"):
        infer(client, serve(complete), astray)
    with pytest.raises(RefusedError, match="sigmas_1: .* of member 'elm', got .* negative: -1 in row 1"):
        infer(client, serve(complete), wrong)
    assert_same(infer(client, serve(complete), given), Fuse(complete)(**given))


def test_correlated_members_cannot_be_served_as_independent(triton, triton_store):
    place = copy_committed("fuse", triton_store / "models" / "too_sure")
    (place / "config.pbtxt").write_text((place / "config.pbtxt").read_text().replace('"fuse"', '"too_sure"', 1))
    (place / "1" / "parameters.json").write_text(json.dumps({"members": ["a"], "method": "inverse_variance"}))

    with pytest.raises(Exception, match="method: inverse_variance is only for members whose errors are independent"):
        triton.load("too_sure")
