"""The report of a proof: the facts as JSON, and one page that needs nothing beside it."""

from __future__ import annotations

import json
import re
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from sextant.columns import Column
from sextant_export.parity import asked
from sextant_export.proof_page import page
from sextant_export.proof_report import DECADES, ProofReport, compared
from sextant_export.rows import Rows

LINE = np.linspace(-1, 1, 201, dtype=np.float32)[:, None]
FEED = Rows({"features": np.hstack([LINE, LINE])}, (("seeded", 200), ("tree thresholds", 1)))
COLUMNS = tuple(Column(name=name, tensor=name, type="double") for name in ("a <b>", "c"))


def original(feed):
    """A label, and a step that no float32 copy finds exactly."""
    rows = feed["features"]
    return {"label": np.where(rows[:, 0] > 0.25, "up", "down").astype(object), "y": np.where(rows[:, 1] > 0, 9.0, 1.0)}


def close(feed):
    return original(feed) | {"y": np.where(feed["features"][:, 1] >= 0, 9.0, 1.0).astype(np.float32)}


def wrong(feed):
    return original(feed) | {"y": original(feed)["y"] + np.nan}


def report(copy, **changes):
    expected = asked(original, FEED)
    comparisons = [
        compared(by, expected, copy(FEED), FEED, original, None, COLUMNS) for by in ("ONNX Runtime", "Triton")
    ]
    facts = {
        "uri": "models:/two@champion",
        "model": "two",
        "version": 3,
        "flavor": "sklearn",
        "flavors": ["python_function", "sklearn"],
        "kind": "onnx",
        "converted": True,
        "refused": {},
        "digests": {"artifact": "ab" * 32},
        "parts": FEED.parts,
        "comparisons": comparisons,
    }
    return ProofReport(**{**facts, **changes})


class Page(HTMLParser):
    """Every tag of a page, and that each is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_facts_are_json_as_every_reader_takes_it():
    facts = json.loads(json.dumps(report(wrong).to_dict(), allow_nan=False))

    assert (facts["uri"], facts["proven"], facts["rows"]) == ("models:/two@champion", False, 201)
    assert facts["asked"] == {"seeded": 200, "tree thresholds": 1}
    assert facts["comparisons"][0]["worst"][0]["abs_delta"] == "Infinity"
    assert facts["comparisons"][0]["worst"][0]["copy"]["y"] == "NaN"
    assert {"python", "numpy", "onnxruntime"} <= facts["tools"].keys()


def test_a_row_that_differs_is_told_in_full():
    (first, *_) = report(close).comparisons[0].worst

    assert first["row"] == 100
    assert (first["origin"], first["output"], first["cause"]) == ("seeded", "y", "float32")
    assert first["inputs"] == {"a <b>": 0.0, "c": 0.0}
    assert (first["original"], first["copy"]) == ({"label": "down", "y": 1.0}, {"label": "down", "y": 9.0})


def test_a_wide_row_shows_its_beginning_and_its_width():
    feed = Rows({"x": np.ones((2, 400), np.float32)}, (("seeded", 2),))
    expected = {"y": np.ones((2, 50))}

    worst = compared("here", expected, {"y": expected["y"] + 1e-7}, feed, None, None).worst[0]

    assert len(worst["inputs"]["x"]) == len(worst["original"]["y"]) == 17
    assert (worst["inputs"]["x"][-1], worst["original"]["y"][-1]) == ("… 400 values", "… 50 values")


def test_the_histogram_counts_every_row_once():
    counts = report(close).comparisons[0].histogram

    assert len(counts) == len(DECADES) + 1
    assert (sum(counts), counts[0], counts[-1]) == (201, 200, 1)


def test_answers_that_cannot_be_compared_are_a_refusal_and_no_proof():
    found = compared("here", original(FEED), {"y": np.ones(201)}, FEED, original, None)

    assert (found.proven, found.proof, found.worst) == (False, None, ())
    assert "there is no output 'label'" in found.refusal
    assert escape(found.refusal) in page(report(close, comparisons=[found]))


@pytest.mark.parametrize(("copy", "verdict"), [(close, "Proven"), (wrong, "Not proven")])
def test_the_page_says_its_verdict_first(copy, verdict):
    text = page(report(copy))

    assert f"<title>models:/two@champion: {verdict}</title>" in text
    assert re.search(r'class="badge large \w+">([\w ]+)<', text)[1] == verdict


def test_the_page_needs_nothing_beside_it():
    tags = Page(page(report(close))).tags

    assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in tags)
    assert not [attrs for _, attrs in tags if {"src", "href"} & attrs.keys()]
    assert "url(" not in page(report(close))
    assert "@import" not in page(report(close))


def test_the_page_is_whole_and_every_tag_is_closed():
    parsed = Page(page(report(wrong)))

    assert parsed.open == []
    assert ("svg", "img") in [(tag, attrs.get("role")) for tag, attrs in parsed.tags]


def test_the_page_knows_light_and_dark():
    text = page(report(close))

    assert "color-scheme: light dark" in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_tells_outputs_causes_and_worst_rows():
    text = page(report(close))

    assert "<code>label</code>" in text
    assert re.search(r"<td>float32</td><td class=\"n\">1</td>", text)
    assert "<b>row 100</b>" in text
    assert "but for 1 where the original itself cannot tell" in text


def test_a_name_from_the_registry_is_text_and_no_markup():
    text = page(report(close, model="<script>", uri="models:/<script>/1"))

    assert "<script>" not in text
    assert "a &lt;b&gt;" in text


def test_the_page_says_why_no_triton_was_asked_and_what_was_not_converted():
    text = page(report(close, skipped="No Triton was asked.", refused={"xgboost": "a booster of no trees"}))

    assert "No Triton was asked." in text
    assert "<dt>Not converted from xgboost</dt><dd>a booster of no trees</dd>" in text


def test_the_same_facts_make_the_same_page():
    assert page(report(close, created="now")) == page(report(close, created="now"))
