"""What is to be put under load: which pipeline, at which server, asked with which rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sextant.errors import AccessDenied, LoadTestError, ServerUnreachable
from sextant_client.address import transport
from sextant_client.contract import Contract
from sextant_client.credentials import Credentials
from sextant_client.transport import Limits, ModelConfig, ModelMetadata
from sextant_export.narration import Narrator, Silence
from sextant_export.pipeline import Pipeline, load_pipeline
from sextant_export.problem import guess
from sextant_export.receipt import Receipt, pipelines, read_receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_loadtest.callers import protocol_of
from sextant_loadtest.inputs import Inputs, of_file, of_page, of_release
from sextant_server import EmbeddedTriton
from sextant_server.address import ServerAddress, read_address

PROTOCOLS: Mapping[str, tuple[str, ...]] = {"grpc": ("grpc",), "http": ("http",), "both": ("grpc", "http")}
_PAGES = (".yaml", ".yml")
_RELEASE = re.compile(r"(.+)\.r(\d+)")
_TIMEOUT_S = 10.0
_UNLIMITED = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Target:
    """
    The pipeline *name*, and the *page* that describes it, if one was named.

    *receipt* is the release of it that serves from the store here, None where none does.
    """

    name: str
    page: Pipeline | None = None
    receipt: Receipt | None = None

    @property
    def spec(self) -> Mapping[str, Any]:
        """Its page as it was written; empty where nobody here knows it."""
        if self.page is not None:
            return self.page.spec
        return self.receipt.spec if self.receipt is not None else {}


def target_of(word: str, store: Store) -> Target:
    """
    What *word* means: the page of a pipeline in a ``.yaml`` file, a pipeline's name, or a release's, as ``locate.r2``.

    ``PipelineError`` lists every problem of a page.
    """
    if word.endswith(_PAGES):
        page = load_pipeline(word)
        return Target(name=page.name, page=page, receipt=_receipt(page.name, store))
    return Target(name=word, receipt=_receipt(word, store))


@contextmanager
def served(
    target: Target, store: Store, urls: Sequence[str], protocol: str, narrator: Narrator | None = None
) -> Iterator[tuple[str, ...]]:
    """
    Where *target* is asked: *urls* where some are named, else the server of *store*, over *protocol*.

    One is started, and stopped at the end of the ``with`` block, where none serves the store. ``LoadTestError`` where
    the store has no such pipeline that it could serve.
    """
    if urls:
        yield tuple(urls)
        return
    try:
        address = read_address(store.root)
    except ServerUnreachable:
        with _started(target, store, narrator or Silence()) as triton:
            yield _urls(triton.address, protocol)
        return
    yield _urls(address, protocol)


def inputs_of(
    target: Target, url: str, store: Store, registry: Registry, file: Path | None, credentials: Credentials
) -> Inputs:
    """
    The rows to ask *target* with: those of *file*, else known cases of its page, else what it was proven on.

    ``LoadTestError`` where there are none of them; the client's errors where the pipeline at *url* cannot be asked.
    """
    contract = contract_of(target.name, url, credentials)
    if file is not None:
        return of_file(file, contract, target.spec)
    found = of_page(target.page, target.receipt, registry, contract) if target.page is not None else None
    if found is None and target.receipt is not None:
        found = of_release(store, target.receipt)
    if found is None:
        raise LoadTestError(f"{target.name}: nothing here says what it is asked with: name its page, or a file of rows")
    return found


def contract_of(name: str, url: str, credentials: Credentials) -> Contract:
    """What the pipeline *name* at *url* takes and gives."""
    sending = transport(url, credentials)
    try:
        tensors = sending.send(ModelMetadata(name), _TIMEOUT_S)
        try:
            limits = sending.send(ModelConfig(name), _TIMEOUT_S)
        except AccessDenied:
            limits = Limits(_UNLIMITED, frozenset())
    finally:
        sending.close()
    return Contract.of(name, tensors, limits)  # type: ignore[arg-type]  # each message has its own reply


@contextmanager
def _started(target: Target, store: Store, narrator: Narrator) -> Iterator[EmbeddedTriton]:
    if target.receipt is None:
        there = ", ".join(pipelines(store)) or "nothing"
        said = f"{store.root} serves {there}, and no {target.name}{guess(target.name, pipelines(store))}"
        raise LoadTestError(f"{said}: promote it, or name a server that serves it")
    with ExitStack() as stack:
        with narrator.step("start Triton") as step:
            triton = stack.enter_context(EmbeddedTriton(store.root))
            step.result(f"the embedded one, for this load alone, {triton.address.grpc}")
        yield triton


def _urls(address: ServerAddress, protocol: str) -> tuple[str, ...]:
    return tuple({"grpc": address.grpc, "http": address.http}[each] for each in PROTOCOLS[protocol])


def _receipt(name: str, store: Store) -> Receipt | None:
    """The release that *name* names, or that serves under it."""
    pipeline, release = (found[1], int(found[2])) if (found := _RELEASE.fullmatch(name)) else (name, None)
    if pipeline not in pipelines(store):
        return None
    number = store.served_release(pipeline) if release is None else release
    return None if number is None else read_receipt(store, pipeline, number)


def over(urls: Sequence[str], protocol: str) -> list[str]:
    """Those of *urls* at which another protocol is spoken than *protocol* says."""
    return [url for url in urls if protocol_of(url) not in PROTOCOLS[protocol]]


def unnamed(urls: Sequence[str], protocol: str) -> list[str]:
    """What is to be spoken by *protocol*, and at none of *urls*."""
    return [each for each in PROTOCOLS[protocol] if each not in map(protocol_of, urls)]
