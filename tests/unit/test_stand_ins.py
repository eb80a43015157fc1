"""What a page's parameters are tried with before there is a release."""

from __future__ import annotations

import pytest

from sextant.blocks import Fuse, Vote
from sextant_export.stand_ins import stand_ins

NAMES = [f"m{i}" for i in range(8)]


@pytest.mark.parametrize(
    ("given", "members"),
    [
        ({}, 1),
        ({"method": "soft", "pool": "geometric", "weights": [1, 2]}, 2),
        ({"method": "weighted"}, 8),
        ({"method": "weighted", "weights": [1, 2, 3]}, 3),
        ({"method": "dawid_skene"}, 8),
        ({"method": "dawid_skene", "errors": "one_coin", "classes": [1, 2, 3]}, 2),
        ({"quorum": 5, "confidence_levels": [0.5, 0.9]}, 5),
    ],
)
def test_what_a_page_says_can_be_tried_before_there_is_a_release(given, members):
    assert Vote({**given, **stand_ins("vote", given, NAMES[:members])})


@pytest.mark.parametrize(
    "given",
    [
        {"frame": {"m0": "EPSG:25832", "mm": "latitude_longitude"}},
        {"frame": {"m0": "east_north_m"}, "origin": {"m": [48, 11]}},
        {"frame": "east_north_m", "origin": {}, "weights": [1, 2, 3]},
    ],
    ids=str,
)
def test_wrong_names_keep_no_other_parameter_from_being_tried(given):
    assert Fuse({**given, **stand_ins("fuse", given, NAMES[:3])})
