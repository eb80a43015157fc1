"""
The phases of a promotion that follow the export: ``sign -> load -> prove again -> gate -> canary -> flip -> record``.

Each takes a candidate and gives it as it then stands, with what was found out written into its receipt; nothing else is
remembered between them. Every phase before the flip can be taken back by :func:`~sextant_promote.retention.withdraw`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields, replace

from sextant.errors import SextantError, TrialFailed
from sextant_export.journal import CANARY, SERVED, note
from sextant_export.phases import Release
from sextant_export.receipt import Receipt
from sextant_export.signing import sign_release
from sextant_promote.canary.trial import run_trial
from sextant_promote.front import flip as flip_front
from sextant_promote.gates import MemoryMeter, memory_meter, require_gates
from sextant_promote.live import log_known_cases
from sextant_promote.loading import load_models, require_loadable
from sextant_promote.registry_record import record as record_in_registry
from sextant_promote.retention import retire
from sextant_promote.served_proof import prove_served
from sextant_promote.shared import Changes
from sextant_promote.site import Site


@dataclass(frozen=True, kw_only=True)
class Candidate(Release):
    """
    A release that is staged: *serving* is the receipt of the one that it is to replace, None where nothing serves.

    *changed* is what it changed of models that were in the store before it came, and *memory* the meter that was begun
    before it was loaded. *warnings* say what could not be told, once it serves.
    """

    serving: Receipt | None = None
    changed: Changes = field(default_factory=dict)
    memory: MemoryMeter | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, release: Release, serving: Receipt | None, changed: Changes) -> Candidate:
        """*release* on its way to the front."""
        known = {each.name: getattr(release, each.name) for each in fields(release)}
        return cls(**known, serving=serving, changed=changed)

    def found(self, **facts: object) -> Candidate:
        """The same with *facts* in its receipt."""
        return replace(self, receipt=replace(self.done, **facts))  # type: ignore[arg-type]  # the receipt's own fields


def sign(candidate: Candidate, site: Site) -> Candidate:
    """A signature for what was made just now, where there is a key; what lay in the store may be anybody's."""
    if site.signing is None or site.signing.private_key is None or candidate.existing:
        return candidate
    with site.narrator.step(f"sign {candidate.name}") as step:
        path = sign_release(site.store, candidate.done, site.signing)
        step.result(str(path.name) if path else "")
    return candidate


def load(candidate: Candidate, site: Site) -> Candidate:
    """Every model of the release READY on every server, and the release itself, under its own name."""
    receipt, server = candidate.done, site.fleet.servers[0]
    with site.narrator.step(f"load {receipt.name}") as step:
        require_loadable(site.store, receipt, site.signing)
        meter = memory_meter(candidate.pipeline, server.url, server.metrics)
        load_models(site.fleet, receipt, candidate.changed)
        count, servers = len(receipt.models), len(site.fleet.servers)
        everywhere = f" on {servers} servers" if servers > 1 else ""
        step.result(f"{count} model{'s' if count > 1 else ''} READY{everywhere}")
    return replace(candidate, memory=meter)


def prove_again(candidate: Candidate, site: Site) -> Candidate:
    """The second proof, of what each server answers; ``ParityError`` where one answers otherwise."""
    with site.narrator.step("prove again through Triton") as step:
        proofs = [prove_served(site.store, candidate.done, server.control) for server in site.fleet.servers]
        worst = {
            name: max((proof[name] for proof in proofs), key=lambda fact: float(fact["max_abs_delta"]))
            for name in proofs[0]
        }
        step.result(", ".join(f"{name} |delta| {fact['max_abs_delta']:.1e}" for name, fact in worst.items()))
    return candidate.found(proof=worst)


def gate(candidate: Candidate, site: Site) -> Candidate:
    """The gates of the spec, measured on the first server; ``GateFailed`` holds them all where one is not passed."""
    server = site.fleet.servers[0]
    with site.narrator.step("gates") as step:
        results = require_gates(
            candidate.pipeline,
            candidate.done,
            server.url,
            serving=candidate.serving,
            registry=site.registry,
            store=site.store,
            metrics=server.metrics,
            memory=candidate.memory,
        )
        step.result("; ".join(map(str, results)) or "none asked for")
    return candidate.found(gate=tuple(result.to_dict() for result in results))


def canary(candidate: Candidate, site: Site) -> Candidate:
    """A trial beside the serving release, if the spec asks for one; ``TrialFailed`` unless it ends in an advance."""
    if candidate.pipeline.canary is None:
        return candidate
    if candidate.serving is None or candidate.serving.release == candidate.number:
        with site.narrator.step("canary") as step:
            step.result("nothing else serves that it could be tried beside")
        return candidate
    receipt = candidate.done
    load_models(site.fleet, candidate.serving)  # callers need its steps alone, the router needs it by name
    verdict = run_trial(
        candidate.pipeline, site.store, site.fleet, candidate.serving, receipt, site.narrator, site.registry
    )
    note(site.store, receipt.pipeline, CANARY, receipt.release, outcome=verdict.outcome, reason=verdict.reason)
    if verdict.outcome != "advance":
        raise TrialFailed(
            f"{receipt.name} is not promoted: its canary ended as {verdict.outcome} after {verdict.requests:,} "
            f"requests: {verdict.reason}; what was served still is",
            verdict,
        )
    return candidate.found(canary=verdict.to_dict())


def flip(candidate: Candidate, site: Site) -> Candidate:
    """The front wired to the release, on every server or on none."""
    pipeline, receipt = candidate.pipeline.name, candidate.done
    with site.narrator.step(f"flip {pipeline} to r{receipt.release}") as step, site.store.alone():
        served = flip_front(site.store, site.fleet, receipt)
        step.result(f"r{served.replaced} before" if served.replaced else "its first release")
    return replace(candidate, receipt=served)


def record(candidate: Candidate, site: Site) -> Candidate:
    """
    What became of it, told to all who read of it: journal, registry, result log.

    It serves already: what fails here is said, and changes nothing.
    """
    pipeline, receipt = candidate.pipeline, candidate.done
    with site.narrator.step("record") as step:
        with suppress(SextantError), site.store.alone():  # what is left over goes with the next promotion
            retire(site.store, site.fleet, pipeline.name)
            site.fleet.align()
        with suppress(SextantError):
            note(site.store, pipeline.name, SERVED, receipt.release, replaced=receipt.replaced)
        warnings = record_in_registry(site.store, site.registry, receipt, candidate.serving)
        warnings += log_known_cases(pipeline, site.store, site.registry, receipt, *site.fleet.urls)
        step.result("; ".join(warnings) or "in the journal, and in MLflow")
    return replace(candidate, warnings=warnings)
