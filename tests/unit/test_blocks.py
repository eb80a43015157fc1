from __future__ import annotations

import numpy as np
import pytest

from block_doors import FUSE, fused, members, through_the_function, through_the_shell
from block_promises import PROMISES
from sextant.blocks import BLOCKS
from sextant.errors import ParametersError
from vote_promises import LABELS, said


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("door", ["function", "shell"])
def test_a_block_keeps_its_promise(door, promise, tmp_path):
    promise(through_the_function if door == "function" else through_the_shell(tmp_path))


WINDOW = {"sample_rate_hz": 16000, "samples": 1024, "n_fft": 256}
EXAMPLES = {
    "scale": ({"width": 3}, {"features": np.ones((4, 3), np.float32)}),
    "fuse": (
        FUSE,
        {name: np.tile(array, (4, 1)) for name, array in members([0, 0], [30, 10], [-10, 20]).items()},
    ),
    "ellipse": ({"confidence_levels": [0.5, 0.9], "release": 1}, fused(rows=4)),
    "vote": (LABELS, said(*[["cat", "dog", "cat"]] * 4)),
    "log_mel": (WINDOW | {"n_mels": 16}, {"signal": np.ones((4, 1024), np.float32)}),
    "spectrum": (WINDOW, {"signal": np.ones((4, 1024), np.float32)}),
}


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_block_answers_with_the_tensors_it_declares(name):
    """Triton does not check what a Python model returns: a wrong type would reach the caller as it is."""
    parameters, tensors = EXAMPLES[name]

    answer = BLOCKS[name](parameters)(**tensors)

    assert list(answer) == [tensor.name for tensor in BLOCKS[name].outputs]
    for tensor in BLOCKS[name].outputs:
        array = answer[tensor.name]
        assert array.dtype == tensor.numpy_type
        assert array.flags.c_contiguous
        assert len(array) == 4
        assert all(want in (-1, have) for have, want in zip(array.shape[1:], tensor.dims, strict=True))


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_block_leaves_its_inputs_alone(name):
    """They are Triton's own memory, which other steps of the ensemble read too."""
    parameters, tensors = EXAMPLES[name]
    before = {key: array.copy() for key, array in tensors.items()}

    BLOCKS[name](parameters)(**tensors)

    for key, array in tensors.items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_no_rows_in_no_rows_out(name):
    parameters, tensors = EXAMPLES[name]

    answer = BLOCKS[name](parameters)(**{key: array[:0] for key, array in tensors.items()})

    assert {len(array) for array in answer.values()} == {0}


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_parameter_that_is_unknown_is_named_with_a_guess(name):
    parameters, _ = EXAMPLES[name]
    known = BLOCKS[name].parameters[0]

    with pytest.raises(ParametersError, match=f"{known}x: unknown; did you mean '{known}'"):
        BLOCKS[name]({**parameters, f"{known}x": 1})


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("scale", {"width": None}, "width: expected a whole number from 1 on, got None"),
        ("scale", {"width": True}, "width: expected a whole number"),
        ("scale", {"offset": "104"}, "offset: expected a finite number, got '104'"),
        ("scale", {"divisor": 0}, "divisor: expected a number other than 0"),
        ("scale", {"power": -1}, "power: expected a number above 0"),
        ("scale", {"missing": float("nan")}, "missing: expected a finite number"),
        ("fuse", {"method": "average"}, "method: expected one of moment, covariance_intersection, .* got 'average'"),
        ("fuse", {"members": []}, "members: expected the names of 1 to 8 members"),
        ("fuse", {"members": "abc"}, "members: expected the names of 1 to 8 members, got 'abc'"),
        ("fuse", {"members": list("abcdefghi")}, "1 to 8 members"),
        ("fuse", {"gate": 99}, "gate: expected a probability between 0 and 1, bounds excluded, or null, got 99"),
        ("fuse", {"weights": [1, 2]}, "weights: expected 3 finite numbers"),
        ("fuse", {"weights": [1, 2, 0]}, "weights: expected numbers above 0"),
        (
            "fuse",
            {"member_covariances": [[[1, 0], [0, 1]]]},
            "member_covariances: expected one for each of 3",
        ),
        ("fuse", {"member_covariances": [[[1, 2], [2, 1]]] * 3}, "member_covariances: .*negative variance"),
        ("fuse", {"member_covariances": [1, 2, 3]}, "member_covariances: .*shape"),
        ("fuse", {"member_covariances": 5}, "member_covariances: expected a list, one for each member, got 5"),
        ("fuse", {"slots": ["member_0"]}, r"slots: expected a mapping, got \['member_0'\]"),
        (
            "fuse",
            {"frame": "EPSG:3857", "origin": None, "projections": ["EPSG:3857"]},
            "projections: expected a mapping",
        ),
        ("fuse", {"frame": "utm"}, "frame: expected latitude_longitude, east_north_m or a code .*, got 'utm'"),
        ("fuse", {"origin": None}, "origin: expected 2 finite numbers, got None"),
        ("fuse", {"origin": [95, 0]}, "origin: expected a latitude within 90 degrees, got 95"),
        ("fuse", {"frame": "latitude_longitude"}, "origin: only members in the frame east_north_m have one"),
        ("ellipse", {"confidence_levels": [0.5, 95]}, "confidence_levels: expected levels between 0 and 1"),
        ("ellipse", {"confidence_levels": [0.5, 0.5]}, "confidence_levels: .* each once, got"),
        ("ellipse", {"confidence_levels": []}, "confidence_levels: expected a list of finite numbers"),
        ("ellipse", {"radii": [1.0]}, "radii: expected 2 finite numbers"),
        ("ellipse", {"radii": [1.0, -1.0]}, "radii: expected numbers above 0"),
        ("ellipse", {"release": 0}, "release: expected a whole number from 1 on, got 0"),
        (
            "ellipse",
            {"confidence_levels": ["0.5", "0.95"]},
            r"confidence_levels: expected a list of finite numbers, got \['0.5', '0.95'\]",
        ),
        ("ellipse", {"radii": [1.0, True]}, r"radii: expected 2 finite numbers, got \[1.0, True\]"),
        (
            "ellipse",
            {"groups": {"by": "sd_major_m", "edges": ["20"]}},
            "groups.edges: expected a list of finite numbers",
        ),
        ("fuse", {"weights": [True, 1, 1]}, r"weights: expected 3 finite numbers, got \[True, 1, 1\]"),
        ("fuse", {"origin": ["48.1", "11.5"]}, r"origin: expected 2 finite numbers, got \['48.1', '11.5'\]"),
        ("fuse", {"origin": [48.1, 500]}, "origin: expected a longitude within 360 degrees, got 500"),
        ("fuse", {"member_covariances": [[["1", "0"], ["0", "1"]]] * 3}, "member_covariances: .*numbers, got text"),
        ("scale", {"offset": 10**400}, "offset: expected a finite number"),
    ],
)
def test_a_parameter_that_is_wrong_is_named_with_what_came(name, changed, said):
    parameters, _ = EXAMPLES[name]

    with pytest.raises(ParametersError, match=said):
        BLOCKS[name]({**parameters, **changed})


def test_the_gate_can_be_left_open():
    far = {f"member_{slot}": np.array([[1000.0 * (slot == 4), 0]], np.float32) for slot in range(5)}
    parameters = {
        "members": list("abcde"),
        "member_covariances": [[[1, 0], [0, 1]]] * 5,
        "frame": "east_north_m",
        "origin": [48, 11],
    }

    used = [BLOCKS["fuse"]({**parameters, "gate": gate})(**far)["fused_members_used"].item() for gate in (0.99, None)]

    assert used == [4, 5]


def test_latitudes_and_longitudes_fuse_across_the_antimeridian():
    parameters = {"members": ["a", "b"], "member_covariances": [[[400, 0], [0, 100]]] * 2}

    answer = BLOCKS["fuse"](parameters)(**members([10.0, 179.5], [10.0, -179.5]))

    assert np.abs(answer["fused_position"]) == pytest.approx(np.array([[10.000376, 180.0]]), abs=1e-5)
