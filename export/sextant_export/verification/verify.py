"""One look at everything that a store holds; nothing is changed, and no server is asked."""

from __future__ import annotations

from collections.abc import Iterator

from sextant.errors import StoreError
from sextant_export.problem import guess
from sextant_export.receipt import pipelines
from sextant_export.signing import Signing
from sextant_export.store import Store
from sextant_export.verification.configurations import check_configurations
from sextant_export.verification.files import check_strays, check_versions
from sextant_export.verification.finding import Finding, worst_first
from sextant_export.verification.records import read_records
from sextant_export.verification.releases import check_releases


def verify(store: Store, pipeline: str | None = None, signing: Signing | None = None) -> tuple[Finding, ...]:
    """
    All that is not as the receipts say, of *pipeline* or of the whole *store*, worst first; nothing where it is sound.

    One changed byte anywhere in ``models/``, in a receipt or in its evidence is found. Signatures are checked with the
    public key of *signing*. ``StoreError`` where there is no such store or pipeline.
    """
    if not store.models.is_dir():
        raise StoreError(f"{store.root} is no store, there is no {store.models}; `sextant promote` makes one")
    if pipeline is not None and pipeline not in (known := pipelines(store)):
        said = guess(pipeline, known) or f"; {store.root} holds no pipeline"
        raise StoreError(f"{store.root} has no release of {pipeline!r}{said}")
    try:
        return worst_first(_findings(store, pipeline, signing))
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"{error.filename} cannot be read ({error.strerror}): where a promotion is at work, verify after it"
        ) from error


def _findings(store: Store, pipeline: str | None, signing: Signing | None) -> Iterator[Finding]:
    records, broken = read_records(store, pipeline)
    yield from broken
    yield from check_releases(records, signing)
    yield from check_versions(records)
    yield from check_strays(records)
    yield from check_configurations(records)
