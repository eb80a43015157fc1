"""Settings are written into a page where they stand, and nothing else of it changes."""

from __future__ import annotations

import pytest
import yaml

from sextant.errors import LoadTestError
from sextant_export.spec_file import read_mapping
from sextant_loadtest.tuning.page import edited, write_settings

pytestmark = pytest.mark.models

CHANGES = {"instances": 2, "dynamic_batching": False, "max_queue_delay_us": None}

BLOCK = """\
# Wi-Fi in, a fix out.
name: locate   # as callers know it
serving:
  # two cores
  instances: 1          # each is a process
  max_queue_delay_us: 500  # half a millisecond
  response_cache: true

steps: [members]  # the same to all
"""
BLOCK_CHANGED = """\
# Wi-Fi in, a fix out.
name: locate   # as callers know it
serving:
  # two cores
  instances: 2          # each is a process
  response_cache: true
  dynamic_batching: false

steps: [members]  # the same to all
"""
PAGES = {
    "lines": (BLOCK, BLOCK_CHANGED),
    "lines of Windows": (BLOCK.replace("\n", "\r\n"), BLOCK_CHANGED.replace("\n", "\r\n")),
    "last of all, without an end": (
        "name: p\nserving:\n    instances: 1",
        "name: p\nserving:\n    instances: 2\n    dynamic_batching: false",
    ),
    "one line": (
        "serving: {max_queue_delay_us: 500, instances: 1}  # why\nname: p\n",
        "serving: {instances: 2, dynamic_batching: false}  # why\nname: p\n",
    ),
    "what goes is last": (
        "serving: {instances: 1, max_queue_delay_us: 500}\n",
        "serving: {instances: 2, dynamic_batching: false}\n",
    ),
    "nothing stays": (
        "serving: {max_queue_delay_us: 500}\nname: p\n",
        "serving: {instances: 2, dynamic_batching: false}\nname: p\n",
    ),
    "several lines in braces": (
        "serving: {\n  instances: 1,  # one\n  max_batch_size: 8,  # eight\n}\n",
        "serving: {\n  instances: 2,  # one\n  max_batch_size: 8, dynamic_batching: false,  # eight\n}\n",
    ),
    "what goes is last of several lines": (
        "serving: {\n  instances: 1,  # one\n  max_queue_delay_us: 500  # half\n}\n",
        "serving: {\n  instances: 2,  # one\n  dynamic_batching: false  # half\n}\n",
    ),
    "what goes stands before another's comment": (
        "serving: {\n  max_queue_delay_us: 500,  # half\n  # as ever\n  instances: 1\n}\n",
        "serving: {\n  # as ever\n  instances: 2, dynamic_batching: false\n}\n",
    ),
    "empty": ("serving: {}\nname: p\n", "serving: {instances: 2, dynamic_batching: false}\nname: p\n"),
    "no section": (
        "name: p  # mine\n# the end\n",
        "name: p  # mine\n# the end\nserving: {instances: 2, dynamic_batching: false}\n",
    ),
    "no section, no end": ("name: p", "name: p\nserving: {instances: 2, dynamic_batching: false}\n"),
    "JSON": (
        '{"name": "p", "serving": {"instances": 1}}\n',
        '{"name": "p", "serving": {"instances": 2, dynamic_batching: false}}\n',
    ),
    "JSON without a section": ('{"name": "p"}', '{"name": "p", serving: {instances: 2, dynamic_batching: false}}'),
}


@pytest.mark.parametrize(("before", "after"), PAGES.values(), ids=PAGES.keys())
def test_a_page_is_changed_in_its_settings_alone(before, after, tmp_path):
    path = tmp_path / "page.yaml"
    path.write_text(before, encoding="utf-8", newline="")
    path.chmod(0o640)

    write_settings(path, CHANGES, read_mapping(path).get("serving") or {})

    assert path.read_bytes().decode() == after == edited(before, CHANGES)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["page.yaml"]


def test_what_is_written_is_what_was_meant(tmp_path):
    path = tmp_path / "page.yaml"
    path.write_text(BLOCK)

    write_settings(path, CHANGES, read_mapping(path)["serving"])

    assert yaml.safe_load(path.read_text()) == {
        "name": "locate",
        "serving": {"instances": 2, "response_cache": True, "dynamic_batching": False},
        "steps": ["members"],
    }


@pytest.mark.parametrize(
    "page",
    [
        "usual: &usual {instances: 1}\nserving: *usual\n",
        "usual: &usual {max_queue_delay_us: 500}\nserving:\n  <<: *usual\n  instances: 1\n",
    ],
    ids=["an alias", "what goes is merged in"],
)
def test_a_section_that_stands_elsewhere_too_is_left_alone_and_the_lines_are_said(page, tmp_path):
    path = tmp_path / "page.yaml"
    path.write_text(page)

    with pytest.raises(LoadTestError, match="left as it is: write under serving: instances: 2, dynamic_batching: fal"):
        write_settings(path, CHANGES, read_mapping(path)["serving"])
    assert path.read_text() == page


def test_a_page_that_was_changed_meanwhile_is_left_alone(tmp_path):
    path = tmp_path / "page.yaml"
    path.write_text(BLOCK)

    with pytest.raises(LoadTestError, match="was changed while its settings were measured, so it is left as it is"):
        write_settings(path, CHANGES, {"instances": 4})
    assert path.read_text() == BLOCK


def test_a_link_to_a_page_stays_a_link(tmp_path):
    path, link = tmp_path / "page.yaml", tmp_path / "link.yaml"
    path.write_text(BLOCK)
    link.symlink_to(path)

    write_settings(link, CHANGES, read_mapping(path)["serving"])

    assert link.is_symlink()
    assert path.read_text() == BLOCK_CHANGED
