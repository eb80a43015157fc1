"""Which of NVIDIA's security bulletins hit the Triton that answers, and whether others than this machine reach it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sextant_cli import words
from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.finding import CRITICAL, NOTE, WARNING, Finding
from sextant_cli.doctor.network import elsewhere
from sextant_cli.doctor.server.bulletins import Flaw, bulletins
from sextant_cli.doctor.server.triton import Triton

GRAVE = 9.0
"""The CVSS base score that NVIDIA calls critical."""


def _exposed(triton: Triton) -> Iterator[Finding]:
    flaws, reached = _flaws(triton), _reached(triton)
    if flaws and reached:
        yield Finding(
            severity=CRITICAL if flaws[0].score >= GRAVE else WARNING,
            found=f"other machines reach it ({', '.join(reached)}), and it lacks {_several(flaws)}",
            why=f"{flaws[0].cve} (CVSS {flaws[0].score:g}) needs no more than a way to the port",
            change=f"close the port today: {_LOOPBACK}, or a firewall; then {_move()}",
        )


def _unfixed(triton: Triton) -> Iterator[Finding]:
    flaws, table = _flaws(triton), bulletins()
    if flaws:
        worst, hit = flaws[0], sorted({flaw.bulletin for flaw in flaws})
        yield Finding(
            severity=CRITICAL if worst.score >= GRAVE else WARNING,
            found=f"Triton {triton.version}{_container(triton)} lacks {_several(flaws)}, "
            f"the worst {worst.cve} (CVSS {worst.score:g}): bulletins {', '.join(map(str, hit))}",
            why="who reaches it, and that is every user of its machine, may run code in it or stop it",
            change=_move(),
        )
    elif table.release_of(str(triton.version)) is None:
        yield Finding(
            severity=NOTE,
            found=f"Triton {triton.version} is newer than the table of bulletins: not known to be affected as of "
            f"{table.as_of}",
            why="a bulletin published since is not in this Sextant",
            change="update Sextant, and read https://www.nvidia.com/en-us/security/",
        )


_LOOPBACK = "--grpc-address=127.0.0.1 --http-address=127.0.0.1 --metrics-address=127.0.0.1"


def _flaws(triton: Triton) -> tuple[Flaw, ...]:
    try:
        return bulletins().unfixed(triton.said_version)
    except ValueError as error:
        raise NotMade(f"its version is in no table: {error}") from error


def _reached(triton: Triton) -> list[str]:
    """The addresses at which machines other than its own find it."""
    return sorted({where for door in triton.doors for where in elsewhere(door.address)})


def _several(flaws: Sequence[Flaw]) -> str:
    return f"the fixes of {words.several(len(flaws), 'known flaw')}"


def _container(triton: Triton) -> str:
    release = bulletins().release_of(str(triton.version))
    return f" ({release})" if release else ""


def _move() -> str:
    table = bulletins()
    return (
        f"move to nvcr.io/nvidia/tritonserver:{table.advised}-py3 or later, which has every fix known as of "
        f"{table.as_of}; the embedded Triton is for development, on a machine with users you trust"
    )


EXPOSED = Check("exposed", "Do other machines reach a Triton with known flaws?", _exposed)
VERSION = Check("version", "Which of NVIDIA's security bulletins hit its version?", _unfixed)
