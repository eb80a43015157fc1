"""Where a member comes from: the three model URIs of MLflow that name a version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_NAME = r"(?P<name>[A-Za-z0-9_.-]+)"
_FORMS = (
    re.compile(rf"models:/{_NAME}@(?P<alias>[A-Za-z0-9_.-]+)"),
    re.compile(rf"models:/{_NAME}/(?P<version>[1-9][0-9]*)"),
    re.compile(r"runs:/(?P<run_id>[A-Za-z0-9_-]+)/(?P<artifact_path>[A-Za-z0-9_./-]+)"),
)
_WANTED = "models:/<name>@<alias>, models:/<name>/<version> or runs:/<run id>/<path>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUri:
    """A parsed model URI: a name with an alias or a version, or a run with a path."""

    text: str
    name: str | None = None
    alias: str | None = None
    version: int | None = None
    run_id: str | None = None
    artifact_path: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelUri:
        """
        The parts of *text*; ValueError says which forms there are.

        >>> ModelUri.parse("models:/locator-forest@champion").alias
        'champion'
        >>> ModelUri.parse("models:/locator-forest/3").version
        3
        """
        for form in _FORMS:
            if (match := form.fullmatch(text)) and ".." not in text.split("/"):
                return cls(text=text, **_parts(match))
        raise ValueError(f"{text!r} is no model URI; wanted {_WANTED}")

    def __str__(self) -> str:
        """The URI as it was written."""
        return self.text


def _parts(match: re.Match[str]) -> dict[str, Any]:
    parts: dict[str, Any] = match.groupdict()
    return parts | {"version": int(parts["version"])} if "version" in parts else parts
