"""
Promotion and rollback: what a fleet serves under a pipeline's public name.

The front ``<pipeline>`` is an ensemble wired to the pinned models of one release. Everything before the flip only
adds to the store and to the servers; the flip rewrites that one configuration and loads it again, which takes
milliseconds and touches no request under way. A failure before the flip takes the candidate back out; what is served
never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sextant.errors import GateFailed, PromoteError, SextantError, TrialFailed
from sextant_export.journal import MADE, REFUSED, ROLLED_BACK, note
from sextant_export.narration import Narrator, Silence
from sextant_export.phases import Release, assemble, bench, convert, fetch, prove, resolve, stage
from sextant_export.pipeline import Pipeline
from sextant_export.placing import front_config, place_again
from sextant_export.receipt import Receipt, read_receipt, write_receipt
from sextant_export.registry import Registry
from sextant_export.signing import Signing, require_signer
from sextant_export.store import Store
from sextant_export.unfinished import clear_unfinished
from sextant_promote import phases
from sextant_promote.canary.routing import routed, unroute
from sextant_promote.canary.trial import Verdict
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet
from sextant_promote.front import ENSEMBLE, serving_receipt, turn_back, wire_front
from sextant_promote.gates import GateResult
from sextant_promote.lease import lease
from sextant_promote.loading import load_models, require_loadable
from sextant_promote.phases import Candidate
from sextant_promote.registry_record import record
from sextant_promote.removal import REMOVED, require_known
from sextant_promote.retention import retire, withdraw
from sextant_promote.shared import changing
from sextant_promote.site import Site
from sextant_promote.telling import tell_the_rest

MAKING = (fetch, convert, prove, assemble)
TRYING = (phases.sign, phases.load, phases.prove_again, phases.gate)
UNTIL = ("gate", "canary", "record")
"""Where a promotion may stop: its candidate then stays loaded under its own name, and serves nobody."""


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """
    *release* stands; it serves, but where the promotion was to stop before: then *serves* is False.

    *changed* is False where it served already; *replaced* is the release before it. *warnings* say what could not be
    told to the registry; it serves all the same.
    """

    pipeline: str
    release: int
    changed: bool
    replaced: int | None
    receipt: Receipt
    serves: bool = True
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``--json``."""
        return {
            "pipeline": self.pipeline,
            "release": self.release,
            "serves": self.serves,
            "changed": self.changed,
            "replaced": self.replaced,
            "members": {name: dict(member) for name, member in self.receipt.members.items()},
            "proof": dict(self.receipt.proof),
            "gate": list(self.receipt.gate),
            "canary": self.receipt.canary,
            "warnings": list(self.warnings),
        }


def promote(
    pipeline: Pipeline,
    store: Store,
    registry: Registry,
    fleet: Fleet | Control,
    narrator: Narrator | None = None,
    *,
    until: str = "record",
    signing: Signing | None = None,
    **making: Any,
) -> Promotion:
    """
    Make *pipeline*, as registry and spec now say, the release that *fleet* serves from *store*.

    The same inputs give the same release: promoting twice changes nothing. *until* ``gate`` or ``canary`` stops after
    that phase. *making* are the options of :func:`sextant_export.phases.bench`. Raises an ``ExportError`` where no
    release comes of it and a ``PromoteError`` where it is not served; in both cases what was served still is.
    """
    site = Site(
        store=store,
        fleet=Fleet.of(store, fleet),
        registry=registry,
        narrator=narrator or Silence(),
        signing=signing,
    )
    site.fleet.require_live()
    with lease(store.prepare(), pipeline.name):
        _tidy(site, pipeline.name)
        candidate = _staged(pipeline, site, making)
        if _serves(site, candidate.done):
            warnings = tell_the_rest(candidate, site)
            return replace(_promotion(candidate.done, changed=False), warnings=warnings)
        candidate = _tried(candidate, site, until)
        if until != "record":
            write_receipt(store, candidate.done)
            return _promotion(candidate.done, changed=False, serves=False)
        candidate = phases.record(candidate, site)
    return replace(_promotion(candidate.done, changed=True), warnings=candidate.warnings)


def rollback(
    store: Store,
    pipeline: str,
    fleet: Fleet | Control,
    to: int | None = None,
    *,
    registry: Registry | None = None,
    signing: Signing | None = None,
    unless: Callable[[], bool] = lambda: False,
) -> Promotion:
    """
    Serve release *to* again, or the one that the serving release replaced; *registry*, where there is one, is told.

    Nothing is done where *unless*, asked when nobody else is at work on the pipeline any more, says True.
    ``PromoteError`` where there is none or it never served, ``ReceiptError`` where its receipt was changed,
    ``StoreError`` where its files were.
    """
    require_known(store, pipeline)
    fleet = Fleet.of(store, fleet)
    fleet.require_live()
    with lease(store.prepare(), pipeline):
        take_back_router(store, fleet, pipeline)
        before = serving_receipt(store, pipeline)
        serving = store.served_release(pipeline)
        receipt = _target(store, pipeline, serving, to)
        if unless():
            return _promotion(before or receipt, changed=False)
        if receipt.release != serving:
            require_loadable(store, receipt, signing)
        _go_back(store, fleet, receipt, serving)
        changed = receipt.release != serving
        if changed:
            note(store, pipeline, ROLLED_BACK, receipt.release, replaced=serving)
        warnings = record(store, registry, receipt, before) if registry else ()
    return replace(_promotion(receipt, changed=changed), replaced=serving, warnings=warnings)


def take_back_router(store: Store, fleet: Fleet, pipeline: str) -> bool:
    """
    End the trial that a killed promotion left: the front is the serving release's again. False where none was.

    The store may say so already, and a server not know it yet.
    """
    serving = store.served_release(pipeline)
    if serving is None or not (routed(store, pipeline) or fleet.candidates(pipeline)):
        return False
    unroute(store, fleet, read_receipt(store, pipeline, serving))
    return True


def _tidy(site: Site, pipeline: str) -> None:
    """Take out what an interrupted promotion left."""
    take_back_router(site.store, site.fleet, pipeline)
    with site.store.alone():
        clear_unfinished(site.store, pipeline)
        retire(site.store, site.fleet, pipeline)


def _staged(pipeline: Pipeline, site: Site, making: Mapping[str, Any]) -> Candidate:
    """The release that *pipeline* is, in the store; only the last step of it keeps other writers waiting."""
    release = Release(pipeline=pipeline)
    with bench(site.store, site.registry, site.narrator, **making) as at:
        release = resolve(release, at)
        if not release.existing:
            require_signer(site.signing)
        for phase in MAKING:
            release = phase(release, at)
        with changing(site.store) as changed:
            release = stage(release, at)
    if not release.existing:
        note(site.store, pipeline.name, MADE, release.number)
    return Candidate.of(release, serving_receipt(site.store, pipeline.name), changed)


def _tried(candidate: Candidate, site: Site, until: str) -> Candidate:
    """The candidate through all phases but the last; one that fails leaves nothing behind but its receipt."""
    more = {"gate": (), "canary": (phases.canary,), "record": (phases.canary, phases.flip)}
    try:
        for phase in (*TRYING, *more[until]):
            candidate = phase(candidate, site)
    except (SextantError, KeyboardInterrupt) as error:
        _take_back(candidate, site, error)
        raise
    return candidate


def _take_back(candidate: Candidate, site: Site, error: BaseException) -> None:
    if _keeps_serving(candidate, site):
        return
    with suppress(SextantError):  # a second Ctrl-C may have come while the first took it back
        take_back_router(site.store, site.fleet, candidate.pipeline.name)
    reason, receipt = str(error) or "interrupted", _with_findings(candidate.done, error)
    with site.store.alone():
        withdraw(site.store, site.fleet, receipt, reason, candidate.changed)
    with suppress(SextantError):
        site.fleet.align()
    if receipt.outcome != "served":  # one that served before is no worse for a server that is away
        note(site.store, receipt.pipeline, REFUSED, receipt.release, reason=reason)


def _keeps_serving(candidate: Candidate, site: Site) -> bool:
    """
    Whether it serves already: it was interrupted after the flip, and whoever comes next tells the rest.

    Where it serves somewhere, and not everywhere, it serves nowhere afterwards.
    """
    store, pipeline, serving = site.store, candidate.pipeline.name, candidate.serving
    if store.served_release(pipeline) != candidate.number or (serving and serving.release == candidate.number):
        return False
    if _serves(site, read_receipt(store, pipeline, candidate.number)):
        return True
    with store.alone():
        turn_back(store, site.fleet, pipeline, front_config(serving) if serving else None)
    return False


def _with_findings(receipt: Receipt, error: BaseException) -> Receipt:
    """The receipt with what was measured before it was refused."""
    if isinstance(error, GateFailed):
        return replace(receipt, gate=tuple(each.to_dict() for each in error.results if isinstance(each, GateResult)))
    if isinstance(error, TrialFailed) and isinstance(error.verdict, Verdict):
        return replace(receipt, canary=error.verdict.to_dict())
    return receipt


def _go_back(store: Store, fleet: Fleet, receipt: Receipt, serving: int | None) -> None:
    pipeline = receipt.pipeline
    with store.alone():
        retire(store, fleet, pipeline, besides=[receipt.release])
    with changing(store) as changed:
        place_again(store, receipt)
    try:
        load_models(fleet, receipt, changed)
        with store.alone():
            wire_front(store, fleet, receipt)
    except (SextantError, KeyboardInterrupt) as error:
        if store.served_release(pipeline) in {serving, None}:
            with store.alone():
                withdraw(store, fleet, receipt, str(error), changed)
        raise
    with suppress(SextantError), store.alone():  # it serves; what is left over goes with the next
        retire(store, fleet, pipeline, besides=[serving or receipt.release])
        fleet.align()


def _serves(site: Site, receipt: Receipt) -> bool:
    """Whether this very release is what store and every server serve, as an ensemble, and was finished."""
    served = site.fleet.release(receipt.pipeline), site.store.served_release(receipt.pipeline)
    ready = site.fleet.ready()
    wired = (*receipt.models, (receipt.pipeline, ENSEMBLE))
    whole = all(version in ready.get(model, set()) for model, version in wired)
    return receipt.outcome == "served" and served == (receipt.release, receipt.release) and whole


def _target(store: Store, pipeline: str, serving: int | None, to: int | None) -> Receipt:
    if serving is None:
        raise PromoteError(f"{pipeline} serves no release from {store.root}, so there is nothing to roll back")
    target = to if to is not None else read_receipt(store, pipeline, serving).replaced
    if target is None:
        raise PromoteError(f"r{serving} is the first release of {pipeline}: there is none before it to go back to")
    receipt = read_receipt(store, pipeline, target)
    if receipt.outcome != "served":
        why = "is not served any more" if receipt.outcome == REMOVED else "never served"
        raise PromoteError(
            f"r{target} of {pipeline} {why} (it is {receipt.outcome}): only a release that passed its gates, and is "
            "still in the store, can be rolled back to"
        )
    return receipt


def _promotion(receipt: Receipt, *, changed: bool, serves: bool = True) -> Promotion:
    return Promotion(
        pipeline=receipt.pipeline,
        release=receipt.release,
        changed=changed,
        replaced=receipt.replaced,
        receipt=receipt,
        serves=serves,
    )
