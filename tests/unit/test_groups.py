from __future__ import annotations

import numpy as np
import pytest

from sextant.blocks import BLOCKS
from sextant.errors import InputRefused, ParametersError
from sextant.groups import Groups

FLOORS = {"by": "column", "column": "floor", "values": ["cellar", "0", "1"]}
RINGS = {"by": "distance_m", "from": [48.0, 11.0], "edges": [1000, 5000]}
BANDS = {"by": "sd_major_m", "edges": [20, 50]}


def named(*names):
    return np.array([[name] for name in names], object)


def of(groups, position=(48.0, 11.0), covariance=((1.0, 0.0), (0.0, 1.0)), group=None):
    page = Groups(groups)
    return page.of(np.atleast_2d(position), np.array(covariance, float).reshape(-1, 2, 2), group).tolist()


@pytest.mark.parametrize(("groups", "count"), [(FLOORS, 3), (RINGS, 3), (BANDS, 3)])
def test_there_is_a_group_for_every_value_and_one_more_than_edges(groups, count):
    assert len(Groups(groups)) == count


def test_the_caller_names_a_group_in_bytes_or_in_text():
    assert of(FLOORS, group=named(b"1", "cellar", b"0")) == [2, 0, 1]


def test_a_group_that_no_known_case_was_in_is_refused_with_those_that_were():
    with pytest.raises(InputRefused, match="group: expected a floor of the known cases: cellar, 0, 1, got '7'"):
        of(FLOORS, group=named(b"1", b"7"))


def test_of_very_many_groups_some_are_named():
    with pytest.raises(InputRefused, match="cases: 0, 1, .*, 39 and 160 more, got 'x'"):
        of({"by": "column", "values": [str(i) for i in range(200)]}, group=named(b"x"))


def test_a_group_that_is_not_said_is_asked_for():
    with pytest.raises(InputRefused, match="group: expected the floor of each row, got none"):
        of(FLOORS)


def test_an_edge_begins_a_band():
    """Known cases and served fixes at an edge fall on the same side."""
    deviations = np.array([0.0, 19.999, 20.0, 49.999, 50.0, 1e9])

    assert of(BANDS, covariance=deviations[:, None, None] ** 2 * np.diag([1.0, 0.25])) == [0, 0, 1, 1, 2, 2]


def test_the_deviation_is_that_along_the_longer_axis_whichever_way_it_points():
    turned = 0.5 * np.array([[401.0, 399.0], [399.0, 401.0]])  # 20 and 1 at 45 degrees

    assert of({"by": "sd_major_m", "edges": [19.9]}, covariance=turned) == [1]


def test_distance_is_along_the_ground_and_across_the_antimeridian():
    near, far = [0.0, -179.999], [0.0, -179.9]

    found = of({**RINGS, "from": [0.0, 179.999]}, position=[near, far])

    assert found == [0, 2]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([1], "groups: expected 'by' and what it needs, got"),
        ({"by": "floor"}, "groups.by: expected one of column, distance_m, sd_major_m, got 'floor'"),
        ({**BANDS, "edgs": [1]}, "groups.edgs: unknown; did you mean 'groups.edges'"),
        ({**BANDS, "values": ["a"]}, "groups.values: unknown"),
        ({"by": "column"}, "groups.values: expected the groups' names as texts, got None"),
        ({"by": "column", "values": [1, 2]}, "groups.values: expected the groups' names as texts"),
        ({"by": "column", "values": ["a", "a"]}, "groups.values: expected each name once"),
        ({"by": "sd_major_m"}, "groups.edges: expected a list of finite numbers, got None"),
        ({"by": "sd_major_m", "edges": [20, 20]}, "groups.edges: expected metres above 0, each more than"),
        ({"by": "sd_major_m", "edges": [0, 20]}, "groups.edges: expected metres above 0"),
        ({"by": "distance_m", "edges": [20]}, "groups.from: expected 2 finite numbers, got None"),
        ({**RINGS, "from": [95, 0]}, "groups.from: expected a latitude within 90 degrees, got 95"),
    ],
)
def test_groups_that_are_none_are_told_why(groups, said):
    with pytest.raises(ParametersError, match=said):
        Groups(groups)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"groups": {**BANDS, "radii": [[1.0]] * 3}}, "groups.radii: expected 3 × 2 finite numbers"),
        ({"groups": BANDS}, "groups.radii: expected 3 × 2 finite numbers, got None"),
        ({"groups": {**BANDS, "radii": [[1, 2], [1, 0], [1, 2]]}}, "groups.radii: expected numbers above 0"),
        ({"groups": {**BANDS, "radii": [[1, 2]] * 3}, "radii": [1, 2]}, "radii: expected none beside groups"),
        ({"scale_method": "t"}, "scale_method: expected one of chi2, f, got 't'"),
    ],
)
def test_the_ellipse_block_needs_radii_for_every_group(changed, said):
    with pytest.raises(ParametersError, match=said):
        BLOCKS["ellipse"]({"confidence_levels": [0.5, 0.9], "release": 1, **changed})


def test_only_groups_by_column_are_asked_of_the_caller():
    block = BLOCKS["ellipse"]
    given = {"confidence_levels": [0.9], "release": 1}

    by_column = block({**given, "groups": {**FLOORS, "radii": [[1], [2], [3]]}})
    by_band = block({**given, "groups": {**BANDS, "radii": [[1], [2], [3]]}})

    asked = [tensor for tensor in by_column.inputs if tensor.name in block.asks]
    assert [(tensor.name, tensor.dtype, tensor.dims, tensor.optional) for tensor in asked] == [
        ("group", "BYTES", (1,), False)
    ]
    assert by_band.inputs == block.inputs


def test_a_refusal_says_the_row_whatever_the_bytes_are():
    with pytest.raises(InputRefused, match="got '.*' in row 2"):
        of(FLOORS, group=named(b"0", "1", b"\xff\xfe"))


def test_groups_are_called_by_their_values_or_their_edges():
    assert Groups(FLOORS).names == ("cellar", "0", "1")
    assert Groups(RINGS).names == ("below 1000 m", "1000 to 5000 m", "from 5000 m")
    assert Groups({"by": "sd_major_m", "edges": [12.5]}).names == ("below 12.5 m", "from 12.5 m")
