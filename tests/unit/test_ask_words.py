"""``sextant ask`` says an answer in words and in JSON, which knows no bytes."""

from __future__ import annotations

import json

import numpy as np

from sextant.answers import Label
from sextant_cli.verbs.ask import _plain, _words


def test_words_that_came_as_bytes_are_text_in_json():
    answers = [{"label": np.array(["Zürich".encode()], dtype=object), "count": np.array([3])}]

    assert json.loads(json.dumps(_plain(answers))) == [{"label": ["Zürich"], "count": [3]}]


def test_bytes_that_are_no_text_keep_their_escapes():
    assert _plain({"raw": np.array([[b"\xff"]], dtype=object)}) == {"raw": [["\\xff"]]}


def test_a_label_is_said_with_what_it_rests_on():
    label = Label(
        "hall",
        (0.1, 0.9),
        2 / 3,
        93.2,
        tied=False,
        calibrated=True,
        members_used=3,
        release=4,
        classes=("garden", "hall"),
        confidence_levels=(0.9, 0.99),
        sets=((False, True), (True, True)),
    )

    assert _words(label).splitlines() == [
        "hall  (confidence 93 of 100, agreement 67%, 3 members, r4)",
        "  90% set: hall",
        "  99% set: garden, hall",
    ]


def test_a_label_that_was_only_counted_says_so():
    label = Label(7, (0.5, 0.5), 0.5, 50.0, tied=True, members_used=2, release=1)

    assert _words(label) == "7  (confidence 50 of 100 by the count of votes, agreement 50%, tied, 2 members, r1)"
