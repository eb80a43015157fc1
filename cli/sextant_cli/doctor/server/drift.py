"""Whether a server serves what its store says."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.finding import WARNING, Finding
from sextant_cli.doctor.server.triton import Triton
from sextant_export.receipt import pipelines
from sextant_promote.control import Control
from sextant_promote.drift import drift_of
from sextant_promote.fleet import Server


def _look(triton: Triton) -> Iterator[Finding]:
    if triton.door and triton.store is None:
        raise NotMade("which store it is to serve is not known: name it by --store")
    if triton.store is None or triton.named.grpc is None or triton.named.grpc in triton.silent:
        raise NotMade("what it serves is asked over gRPC: add --server grpc://host:8001")
    with Control(triton.named.grpc, triton.named.token) as control:
        for pipeline in pipelines(triton.store):
            if drift := drift_of(triton.store, Server(control), pipeline):
                yield Finding(
                    severity=WARNING,
                    found=f"{pipeline}: it {drift.sentence}, as {triton.store.root} says it should",
                    why="callers are answered by another release than was proven and promoted, or by none",
                    change=f"sextant watch --once PIPELINE.yaml --server {triton.url}, with the spec of {pipeline}",
                )


DRIFT = Check("drift", "Does it serve the releases that the store says?", _look)
