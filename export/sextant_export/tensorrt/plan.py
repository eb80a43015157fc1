"""A plan for one kind of GPU, and the note beside it that says what it is: nobody can tell from its bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sextant.errors import ConversionError
from sextant_export.known_cases import file_sha256
from sextant_export.store import NOTE, PLAN
from sextant_export.tensorrt.profile import Range


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    The plan at *path* and its fingerprint.

    *library* of *version* built it, for GPUs of *compute_capability* on *platform*, from the graph of
    *onnx_sha256*, rewritten first where *float16*; it takes the shapes of *profile*.
    """

    path: Path
    library: str
    version: str
    compute_capability: str
    platform: str
    sha256: str
    onnx_sha256: str
    float16: bool
    layers: int
    seconds: float
    profile: Mapping[str, Range]

    @property
    def max_batch_size(self) -> int:
        """The largest batch that it takes."""
        return min((shapes.max[0] for shapes in self.profile.values()), default=0)

    @property
    def file(self) -> str:
        """What it is called in a version directory."""
        return plan_name(self.compute_capability)

    def to_dict(self) -> dict[str, Any]:
        """The fingerprint, for the note and the receipt."""
        values = {name: value for name, value in asdict(self).items() if name != "path"}
        profile = {name: {word: list(shape) for word, shape in r._asdict().items()} for name, r in self.profile.items()}
        return {"file": self.file, **values, "profile": profile}

    def write(self, directory: Path) -> None:
        """Put the plan and its note into *directory*."""
        shutil.copyfile(self.path, directory / self.file)
        note = json.dumps(self.to_dict(), indent=2, sort_keys=True)
        (directory / f"{self.file}{NOTE}").write_text(note + "\n", encoding="utf-8")


def plan_name(compute_capability: str) -> str:
    """
    The file of the plan for a compute capability.

    >>> plan_name("8.9")
    'model.sm89.plan'
    """
    return f"model.sm{compute_capability.replace('.', '')}{PLAN}"


def plans_in(directory: Path) -> dict[str, Plan]:
    """The plans in a version directory, by compute capability; ConversionError where one was changed."""
    notes = sorted(directory.glob(f"*{PLAN}{NOTE}"))
    plans = [_read(note) for note in notes if note.with_name(note.name.removesuffix(NOTE)).is_file()]
    return {plan.compute_capability: plan for plan in plans}


def _read(note: Path) -> Plan:
    path = note.with_name(note.name.removesuffix(NOTE))
    try:
        values = json.loads(note.read_text(encoding="utf-8"))
        ranges = {n: Range(**{word: tuple(s) for word, s in r.items()}) for n, r in values.pop("profile").items()}
        values.pop("file")
        plan = Plan(path=path, profile=ranges, **values)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ConversionError(f"{note} does not say what {path.name} is ({error}): delete both") from error
    if file_sha256(path) != plan.sha256:
        raise ConversionError(f"{path} is not the plan that {note.name} tells of: a release that used it is damaged")
    return plan
