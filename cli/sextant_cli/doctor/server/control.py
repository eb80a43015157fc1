"""Which of the APIs that change a server answer without a token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.finding import CRITICAL, NOTE, SEVERITIES, WARNING, Finding
from sextant_cli.doctor.server.bulletins import bulletins
from sextant_cli.doctor.server.doors import CONTROL, Door, GrpcDoor, HttpDoor
from sextant_cli.doctor.server.process import option
from sextant_cli.doctor.server.triton import Triton
from sextant_server.address import TOKEN_HEADER
from sextant_server.launch import RESTRICTED_APIS

MEANS: Mapping[str, str] = MappingProxyType(
    {
        "model-repository": "loads and unloads models, which is running code",
        "shared-memory": "registers memory regions, before 26.05 those between Triton and its Python models too",
        "trace": "has every request written to disk",
        "logging": "turns the log off, or up until the disk is full",
    }
)
"""What whoever reaches an open group of APIs does with it."""
_KINDS = {GrpcDoor: "gRPC", HttpDoor: "HTTP"}
_GUARDED_SINCE = "26.05"


def _look(triton: Triton) -> Iterator[Finding]:
    for door in (triton.door, *triton.doors[1:]):
        opened = [group for group in CONTROL if door.opens(group)]
        if opened:
            yield _finding(triton, door, opened)
    missing = [name for kind, name in _KINDS.items() if not any(isinstance(door, kind) for door in triton.doors)]
    if missing:
        raise NotMade(f"not over {missing[0]}: {_unknown(triton, missing[0])}")


def _finding(triton: Triton, door: Door, opened: list[str]) -> Finding:
    severities = [_severity(triton, group) for group in opened]
    return Finding(
        severity=min(severities, key=SEVERITIES.index),
        where=door.address.url,
        found=f"{', '.join(opened)} answer without a token",
        why=f"whoever reaches it {'; '.join(MEANS[group] for group in opened)}",
        change=f"start it with {door.flag}={RESTRICTED_APIS}:{TOKEN_HEADER}=TOKEN{_or_none(opened)}",
    )


def _severity(triton: Triton, group: str) -> str:
    """A repository that nobody may load from only tells the names of its models."""
    if group == "model-repository":
        mode = option(triton.process, "model-control-mode") if triton.process else "explicit"
        return CRITICAL if mode == "explicit" else NOTE
    return CRITICAL if group == "shared-memory" and not _guarded(triton.version) else WARNING


def _guarded(version: str | None) -> bool:
    """Whether clients may register no shared memory unless the server was told so."""
    try:
        release = bulletins().release_of(version or "")
    except ValueError:
        return False
    return release is None or release >= _GUARDED_SINCE


def _or_none(opened: list[str]) -> str:
    return ", or with --model-control-mode=none" if opened == ["model-repository"] else ""


def _unknown(triton: Triton, kind: str) -> str:
    reasons = [why for url, why in triton.silent.items() if url.startswith(kind.lower())]
    example = {"gRPC": "grpc://host:8001", "HTTP": "http://host:8000"}[kind]
    return "; ".join(reasons) or f"where it listens is not known: add --server {example}"


CONTROL_OPEN = Check("open-control", "Do APIs that change it answer without a token, over gRPC or HTTP?", _look)
