"""The narration of a long command."""

from __future__ import annotations

import io

import pytest

from sextant_cli.narrator import Narrator


def test_a_step_is_one_line_with_its_time_and_result():
    """And its seconds are kept for the JSON."""
    stream = io.StringIO()
    narrator = Narrator(stream)

    with narrator.step("fuse") as step:
        step.result("3 members")

    assert stream.getvalue().strip().endswith("s  fuse: 3 members")
    assert list(narrator.seconds) == ["fuse"]


@pytest.mark.parametrize(("error", "word"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_a_step_that_ends_badly_says_so(error, word):
    """Its line is printed all the same."""
    stream = io.StringIO()

    with pytest.raises(error), Narrator(stream).step("fuse"):
        raise error

    assert f"fuse: {word}" in stream.getvalue()


def test_a_log_file_gets_no_control_characters():
    """Plain lines, whatever the step reports on its way."""
    stream = io.StringIO()

    with Narrator(stream).step("ask") as step:
        for done in range(4):
            step.at(done, 3, "rows")

    assert "3/3 rows" in stream.getvalue()
    assert not set(stream.getvalue()) & {"\x1b", "\r"}
