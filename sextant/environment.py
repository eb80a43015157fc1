"""What a model's files ask of its Python environment, held against the one that runs."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# The same package in another cut: a model is served by either.
_INSTEAD = {"mlflow": "mlflow-skinny"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The *requirements* a model was logged with, as pip writes them, and its *python*."""

    requirements: tuple[str, ...] = ()
    python: str | None = None

    @classmethod
    def of(cls, artifact: Path) -> Wanted:
        """What the MLflow model in the folder *artifact* was logged with."""
        described = {name: _yaml(artifact / name) for name in ("python_env.yaml", "conda.yaml")}
        conda = described["conda.yaml"].get("dependencies") or []
        listed = artifact / "requirements.txt"
        lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else _conda_lines(conda)
        python = described["python_env.yaml"].get("python") or _conda_python(conda)
        return cls(requirements=tuple(_requirements(lines)), python=None if python is None else str(python))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    Where an environment is not what a model was logged with.

    *missing* and *major* are packages that are not there or of another major version: the model is not loaded.
    *minor* are other versions and *unread* what cannot be looked up: it is, and they are said.
    """

    missing: tuple[str, ...] = ()
    major: tuple[str, ...] = ()
    minor: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    python: str | None = None

    @property
    def refusal(self) -> str:
        """Why the model cannot be loaded, or nothing."""
        return "; ".join(self._packages(self.missing, self.major))

    @property
    def remark(self) -> str:
        """What may make it answer otherwise, or nothing."""
        unread = (f"not checked: {', '.join(self.unread)}",) if self.unread else ()
        return "; ".join((*self.minor, *((self.python,) if self.python else ()), *unread))

    def __str__(self) -> str:
        """All of it in one sentence, or nothing."""
        return "; ".join(filter(None, (self.refusal, self.remark)))

    def _packages(self, missing: Iterable[str], others: Iterable[str]) -> Iterator[str]:
        if absent := ", ".join(f"{requirement} (not installed)" for requirement in missing):
            yield f"missing: {absent}"
        yield from others


def difference(
    wanted: Wanted, installed: Callable[[str], str] = version, python: str = platform.python_version()
) -> Difference:
    """
    Where this environment, or the one whose versions *installed* tells, is not the one that is *wanted*.

    >>> there = {"scikit-learn": "1.8.2", "numpy": "2.1"}.__getitem__
    >>> print(difference(Wanted(requirements=("scikit-learn==1.9", "numpy<2")), there))
    numpy<2 wanted, 2.1 there; scikit-learn==1.9 wanted, 1.8.2 there
    """
    found: dict[str, list[str]] = {kind: [] for kind in ("missing", "major", "minor", "unread")}
    for line in wanted.requirements:
        if (verdict := _verdict(line, installed)) is not None:
            found[verdict[0]].append(verdict[1])
    return Difference(**{kind: tuple(said) for kind, said in found.items()}, python=_python(wanted.python, python))


def _verdict(line: str, installed: Callable[[str], str]) -> tuple[str, str] | None:
    """How one requirement is not met, and the words for it; None where it is."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import Version

    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return "unread", line
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    there = _there(requirement.name, installed)
    if there is None:
        return "missing", f"{requirement.name}{requirement.specifier}"
    unmet = [s for s in requirement.specifier if not s.contains(there, prereleases=True)]
    if not unmet:
        return None
    kind = "major" if any(_is_other_major(s, Version(there)) for s in unmet) else "minor"
    return kind, f"{requirement.name}{requirement.specifier} wanted, {there} there"


def _there(name: str, installed: Callable[[str], str]) -> str | None:
    try:
        return installed(name)
    except (PackageNotFoundError, KeyError):
        return _there(_INSTEAD[name], installed) if name in _INSTEAD else None


def _is_other_major(specifier: Any, there: Any) -> bool:
    """Whether *there* is of a major version that *specifier* does not reach."""
    from packaging.version import Version

    named = Version(specifier.version.removesuffix(".*"))
    if specifier.operator == "!=":
        return False
    if specifier.operator == "<" and not any(named.release[1:]):
        return bool(there.major >= named.major)
    return bool(there.major != named.major)


def _python(wanted: str | None, there: str) -> str | None:
    """Pickled functions are byte code, which is another in each minor version of Python; a patch is none."""
    if wanted is None or wanted.split(".")[:2] == there.split(".")[:2]:
        return None
    return f"logged with Python {wanted}, {there} here"


def _requirements(lines: Iterable[str]) -> Iterator[str]:
    """The requirements of a file's *lines*, without comments, options and hashes."""
    for line in lines:
        plain = re.split(r"(?:^|\s)(?:#|--)", line, maxsplit=1)[0].strip().rstrip("\\").strip()
        if plain and not plain.startswith("-"):
            yield plain


def _conda_lines(dependencies: list[Any]) -> Iterator[str]:
    """A conda environment as requirements: what pip is to install, and conda's own packages."""
    for entry in dependencies:
        if isinstance(entry, dict):
            yield from entry.get("pip") or ()
        elif not re.match(r"(python|pip)\b(?!-)", str(entry)):
            name, *pinned = re.split(r"=+", str(entry), maxsplit=1)
            yield f"{name}=={pinned[0].split('=')[0]}" if pinned and name[-1] not in "<>!~" else str(entry)


def _conda_python(dependencies: list[Any]) -> str | None:
    found = (re.fullmatch(r"python=+([\d.]+).*", str(entry)) for entry in dependencies)
    return next((match[1] for match in found if match), None)


def _yaml(path: Path) -> dict[str, Any]:
    """The page at *path*, or an empty one; MLflow, which wrote it, brought the reader."""
    if not path.is_file():
        return {}
    import yaml

    page = yaml.safe_load(path.read_text(encoding="utf-8"))
    return page if isinstance(page, dict) else {}
