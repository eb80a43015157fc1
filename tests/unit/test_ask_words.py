"""``sextant ask`` says an answer in words and in JSON, which knows no bytes."""

from __future__ import annotations

import json

import numpy as np

from sextant_cli.verbs.ask import _plain


def test_words_that_came_as_bytes_are_text_in_json():
    answers = [{"label": np.array(["Zürich".encode()], dtype=object), "count": np.array([3])}]

    assert json.loads(json.dumps(_plain(answers))) == [{"label": ["Zürich"], "count": [3]}]


def test_bytes_that_are_no_text_keep_their_escapes():
    assert _plain({"raw": np.array([[b"\xff"]], dtype=object)}) == {"raw": [["\\xff"]]}
