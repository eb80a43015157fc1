"""A YAML page read strictly: one mapping, no key twice, every complaint with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sextant.errors import PipelineError
from sextant_export.problem import Problem


class _DuplicateKey(yaml.constructor.ConstructorError):
    """A key that stands twice in one mapping; YAML itself keeps the last without a word."""


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, except that no key may stand twice, and that ``1e-3`` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of *node*."""
        first: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if str(key.value) in first:
                said = f"{key.value!r} stands twice, first in line {first[key.value]}"
                raise _DuplicateKey(problem=said, problem_mark=key.start_mark)
            first[str(key.value)] = line
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes 1e-3 for a word; who writes it means a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def read_mapping(path: Path) -> Mapping[str, Any]:
    """The mapping that stands in the YAML file at *path*; PipelineError says what is wrong and where."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise _refusal(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refusal(str(path), "is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise _refusal(*_placed(path, error)) from error
    if not isinstance(raw, Mapping):
        came = "nothing" if raw is None else f"a {type(raw).__name__}"
        raise _refusal(str(path), f"expected one mapping (name:, members:, steps: ...), found {came}")
    return raw


def _placed(path: Path, error: yaml.YAMLError) -> tuple[str, str]:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error)
    return (f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)), said


def _refusal(address: str, message: str) -> PipelineError:
    return PipelineError((Problem(address, message),))
