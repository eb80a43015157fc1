"""The optional parts of Sextant that its commands need."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from sextant.environment import Difference, Wanted, difference
from sextant_cli.command import VERBS
from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.finding import NOTE, WARNING, Finding
from sextant_cli.doctor.machine.here import Here

DISTRIBUTION = "triton-sextant"


def _look(_: Here) -> Iterator[Finding]:
    for extra in sorted(set(VERBS.values())):
        verbs = ", ".join(f"sextant {verb}" for verb, needed in VERBS.items() if needed == extra)
        yield from judged(extra, verbs, difference(Wanted(requirements=tuple(requirements(extra)))))


def judged(extra: str, verbs: str, lacking: Difference) -> Iterator[Finding]:
    """A note where an *extra* is not installed, a warning where another version of a package is than it asks for."""
    change = f"pip install '{DISTRIBUTION}[{extra}]'"
    if lacking.missing:
        yield Finding(
            severity=NOTE,
            found=f"the extra {extra} is not installed whole: {', '.join(lacking.missing)}",
            why=f"{verbs} may not start",
            change=change,
        )
    if other := (*lacking.major, *lacking.minor):
        yield Finding(
            severity=WARNING,
            found=f"the extra {extra} has other versions than it asks for: {'; '.join(other)}",
            why=f"{verbs} was never tried with them",
            change=change,
        )


def requirements(extra: str) -> Iterator[str]:
    """What *extra* asks for, with what the extras that it is made of ask for."""
    try:
        lines = requires(DISTRIBUTION) or []
        version(DISTRIBUTION)
    except PackageNotFoundError as error:
        raise NotMade(f"{DISTRIBUTION} runs from a checkout that was not installed: pip install -e .") from error
    for requirement in map(Requirement, lines):
        if requirement.marker is None or not requirement.marker.evaluate({"extra": extra}):
            continue
        requirement.marker = None
        if requirement.name == DISTRIBUTION:
            for inner in sorted(requirement.extras):
                yield from requirements(inner)
        else:
            yield str(requirement)


EXTRAS = Check("extras", "Is what each command needs installed, in versions that it was tried with?", _look)
