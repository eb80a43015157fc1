"""
The settings of a page, changed where they stand: its comments, its order and everything else stay as they are written.

PyYAML says of every key and value where it begins and ends; the text is changed there, and read again. What does not
then mean the page with just these settings is not written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml

from sextant.errors import LoadTestError, PipelineError
from sextant_export.spec_file import read_mapping

SECTION = "serving"
Changes: TypeAlias = Mapping[str, "int | bool | None"]
"""New values by their keys; None takes a key away."""


def write_settings(path: Path, changes: Changes, expected: Mapping[str, Any]) -> None:
    """
    Give the section ``serving`` of the page at *path* the *changes*, in one step.

    ``LoadTestError``, with the lines to write by hand, where that section is not the *expected* one any more, or is
    written in a way that is not understood here.
    """
    path = path.resolve()
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    page = read_mapping(path)
    if (page.get(SECTION) or {}) != expected:
        raise _refusal(path, changes, "was changed while its settings were measured")
    wanted = {**page, SECTION: _with(expected, changes)}
    new = _edited(text, changes)
    if new is None or not _replaced(path, new, wanted):
        raise _refusal(path, changes, "writes its settings in a way that cannot be changed in place")


def edited(text: str, changes: Changes) -> str:
    r"""
    The YAML page *text* with *changes* in its section ``serving``.

    >>> print(edited("name: p\nserving: {instances: 1}  # two cores\n", {"instances": 2}), end="")
    name: p
    serving: {instances: 2}  # two cores
    """
    new = _edited(text, changes)
    if new is None:
        raise LoadTestError(f"expected a mapping under {SECTION}, without an alias, to write {_lines(changes)} into")
    return new


def _edited(text: str, changes: Changes) -> str | None:
    """The new text; None where the section is written in a way that is not understood."""
    page = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(page, yaml.MappingNode):
        return None
    found = [(key, value) for key, value in page.value if key.value == SECTION]
    if not found:
        return _with_section(text, page, changes)
    ((key, section),) = found
    aliased = section.start_mark.index < key.end_mark.index
    if aliased or not isinstance(section, yaml.MappingNode) or (not section.value and not section.flow_style):
        return None
    for place, new in sorted(_edits(text, section, changes), reverse=True):
        text = text[: place.start] + new + text[place.stop :]
    return text


class _Place(NamedTuple):
    """Where in the text something stands: from *start* to before *stop*."""

    start: int
    stop: int


def _edits(text: str, section: yaml.MappingNode, changes: Changes) -> Iterator[tuple[_Place, str]]:
    """What is to stand in which place instead of what stands there; places do not overlap."""
    there = {key.value: (key, value) for key, value in section.value}
    new = {key: value for key, value in changes.items() if value is not None and key not in there}
    for key, value in changes.items():
        if key in there and value is not None:
            node = there[key][1]
            yield _Place(node.start_mark.index, node.end_mark.index), _word(value)
    gone = [key for key in there if key in changes and changes[key] is None]
    for key in gone:
        yield _whole(text, section, list(there), key), ""
    if new:
        bare = len(gone) == len(there) or (list(there)[-1] in gone and _lined(text, section))
        yield _added(text, section, new, bare=bare)


def _lined(text: str, section: yaml.MappingNode) -> bool:
    """Whether the last key in braces has a line of its own, and the comma above it a comment perhaps, which stay."""
    if not section.flow_style or len(section.value) < 2:
        return False
    (_, before), (last, _) = section.value[-2:]
    return "\n" in text[before.end_mark.index : last.start_mark.index]


def _whole(text: str, section: yaml.MappingNode, keys: list[str], key: str) -> _Place:
    """The place of *key* with its value, and with the line or the comma that it takes."""
    place = keys.index(key)
    own, value = section.value[place]
    if section.flow_style:
        if place + 1 < len(keys):
            following = section.value[place + 1][0].start_mark.index
            line = text.find("\n", value.end_mark.index, following)
            kept = text[line:following].lstrip() if line >= 0 else ""  # comments that are the next key's
            return _Place(own.start_mark.index, following - len(kept))
        alone = place == 0 or _lined(text, section)
        begin = own.start_mark.index if alone else section.value[place - 1][1].end_mark.index
        return _Place(begin, value.end_mark.index)
    begin = text.rfind("\n", 0, own.start_mark.index) + 1
    end = text.find("\n", value.end_mark.index)
    return _Place(begin, len(text) if end < 0 else end + 1)


def _added(text: str, section: yaml.MappingNode, new: Changes, *, bare: bool) -> tuple[_Place, str]:
    """What is to be put in for the *new* keys, and where: after those that are there; *bare* where no comma is due."""
    if section.flow_style:
        pairs = ", ".join(_pair(key, value) for key, value in new.items())
        at = section.value[-1][1].end_mark.index if section.value else section.start_mark.index + 1
        return _Place(at, at), pairs if bare else f", {pairs}"
    last, value = section.value[-1]
    end, newline = text.find("\n", value.end_mark.index), _newline(text)
    lines = newline.join(f"{' ' * last.start_mark.column}{_pair(key, value)}" for key, value in new.items())
    if end < 0:
        return _Place(len(text), len(text)), f"{newline}{lines}"
    return _Place(end + 1, end + 1), f"{lines}{newline}"


def _with_section(text: str, page: yaml.MappingNode, changes: Changes) -> str:
    """A section of its own at the end of the page."""
    pairs = ", ".join(_pair(key, value) for key, value in changes.items() if value is not None)
    if page.flow_style:
        at = page.value[-1][1].end_mark.index
        return f"{text[:at]}, {SECTION}: {{{pairs}}}{text[at:]}"
    newline, at = _newline(text), page.end_mark.index
    before = text[:at] if not text[:at].strip() or text[:at].endswith("\n") else text[:at] + newline
    return f"{before}{SECTION}: {{{pairs}}}{newline}{text[at:]}"


def _pair(key: str, value: int | bool | None) -> str:
    return f"{key}: {_word(value)}"


def _word(value: int | bool | None) -> str:
    return str(value).lower()


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _with(section: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    merged = {**section, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def _replaced(path: Path, text: str, wanted: Mapping[str, Any]) -> bool:
    """Put *text* at *path* in one step, where it means what is *wanted*; False, and nothing done, where it does not."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        partial.chmod(path.stat().st_mode & 0o777)
        means = _meaning(partial) == wanted
        if means:
            partial.replace(path)
    except OSError as error:
        raise LoadTestError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return means


def _meaning(path: Path) -> Mapping[str, Any] | None:
    try:
        return read_mapping(path)
    except PipelineError:
        return None


def _lines(changes: Changes) -> str:
    return ", ".join(f"no {key}" if value is None else _pair(key, value) for key, value in changes.items())


def _refusal(path: Path, changes: Changes, why: str) -> LoadTestError:
    return LoadTestError(f"{path} {why}, so it is left as it is: write under {SECTION}: {_lines(changes)}")
