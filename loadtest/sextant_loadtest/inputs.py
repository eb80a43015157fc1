"""
What a pipeline is asked with under load: logged rows, for made-up ones a model or a cache may treat otherwise.

Those of a file that is named; else the known cases that the page names, as its gates are measured on them; else what
the release was proven on, which began with the input example that MLflow logged, brought back through ``scale``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import LoadTestError
from sextant.tensors import Tensor
from sextant_client.contract import Contract
from sextant_export.config import type_word
from sextant_export.evidence import read_proof
from sextant_export.fusing.questions import UNDONE
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_export.rows import length
from sextant_export.signature import Feed
from sextant_export.step_problems import MEMBERS, block_of
from sextant_export.store import Store
from sextant_export.value_space import imagined
from sextant_promote.gates.labelled import labelled_rows

GROUP = "group"
FILES = (".parquet", ".csv", ".npz", ".npy")


@dataclass(frozen=True)
class Inputs:
    """Rows by the names of a pipeline's tensors, and where they are from, *said* in words."""

    feed: Feed
    said: str


def of_file(path: Path, contract: Contract, spec: Mapping[str, Any]) -> Inputs:
    """
    The rows in the file at *path*, for a pipeline of this *contract*.

    Of a table the columns that *spec* calls truth or group are left out; of an ``.npz`` the arrays are found by name.
    ``LoadTestError`` where it cannot be read, or lacks a tensor.
    """
    if path.suffix not in FILES:
        raise LoadTestError(f"{path}: expected rows in a file of {', '.join(FILES)}")
    try:
        feed = _arrays(path, contract) if path.suffix in (".npz", ".npy") else _columns(path, contract, spec)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LoadTestError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return Inputs(_require_rows(feed, str(path)), f"{length(feed):,} rows of {path.name}")


def of_page(page: Pipeline, receipt: Receipt | None, registry: Registry, contract: Contract) -> Inputs | None:
    """The known cases that *page* names, those of a member's run found by *receipt*; None where it names none."""
    rows = labelled_rows(page, receipt, registry)
    if rows is None:
        return None
    feed: dict[str, NDArray[Any]] = {_features(contract): rows.cases.features}
    if GROUP in contract.inputs and rows.cases.apart is not None:
        feed[GROUP] = np.asarray(rows.cases.apart)[:, None]
    return Inputs(feed, rows.said)


def of_release(store: Store, receipt: Receipt) -> Inputs:
    """What the members of the release of *receipt* were proven on, as its callers would have sent it."""
    config = text_format.Parse(receipt.ensemble, ModelConfig())
    public = [Tensor(each.name, type_word(each).replace("STRING", "BYTES"), tuple(each.dims)) for each in config.input]
    evidence = read_proof(store, receipt)
    before = [block_of(step) for step in takewhile(lambda step: step != MEMBERS, receipt.spec["steps"])]
    said = f"the rows that {receipt.name} was proven on"
    feed: Feed
    if all(block in UNDONE for block in before):
        feeds = [evidence[member][0] for member in receipt.members]
        feed = _before_blocks(before, receipt, feeds[0], public) if before else _joined(config, receipt, feeds)
    else:
        feed = imagined([tensor for tensor in public if tensor.name != GROUP], seed=0)
        said = f"made-up rows, for what {receipt.name} was proven on stands behind {before[-1]}: name a file"
    if any(tensor.name == GROUP for tensor in public):
        feed = {**feed, GROUP: _groups(receipt, length(feed))}
    missing = [tensor.name for tensor in public if tensor.name not in feed]
    if missing:
        raise LoadTestError(f"{receipt.name}: nothing is kept to ask {', '.join(missing)} with: name a file of rows")
    return Inputs(feed, said)


def _before_blocks(before: list[str], receipt: Receipt, feed: Feed, public: list[Tensor]) -> dict[str, NDArray[Any]]:
    (rows,) = feed.values()
    for block in reversed(before):
        rows = UNDONE[block](receipt.blocks[block], rows)
    return {next(tensor.name for tensor in public if tensor.name != GROUP): rows}


def _joined(config: Any, receipt: Receipt, feeds: list[Feed]) -> dict[str, NDArray[Any]]:
    """The feeds of all members, by the pipeline's names of their tensors, as many rows as all of them have."""
    maps = {step.model_name: dict(step.input_map) for step in config.ensemble_scheduling.step}
    graph = {own: name for called in maps.values() for own, name in called.items()}  # which may stand for the members
    called = [maps.get(fact["model"], graph) for fact in receipt.members.values()]
    named = {
        names.get(own, own): array for names, feed in zip(called, feeds, strict=True) for own, array in feed.items()
    }
    rows = min(map(len, named.values()))
    return {name: array[:rows] for name, array in named.items()}


def _groups(receipt: Receipt, rows: int) -> NDArray[Any]:
    """Each group in turn."""
    found = next(block["groups"] for block in receipt.blocks.values() if block.get("groups"))
    names = [str(name).encode() for name in found["values"]]
    words = np.empty((rows, 1), dtype=object)
    words[:, 0] = [names[row % len(names)] for row in range(rows)]
    return words


def _arrays(path: Path, contract: Contract) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {_features(contract): loaded}
        named = {name: loaded[name] for name in loaded.files if name in contract.inputs}
    required = [name for name in contract.inputs if name not in contract.optional]
    missing = [name for name in required if name not in named]
    if missing:
        raise LoadTestError(f"{path}: expected the arrays {', '.join(required)}, found no {', '.join(missing)}")
    return named


def _columns(path: Path, contract: Contract, spec: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    import pandas as pd

    frame = {".parquet": pd.read_parquet, ".csv": pd.read_csv}[path.suffix](path)
    group = _called(spec, "per") if GROUP in contract.inputs else []
    words = {name: frame[group].astype(str).to_numpy(dtype=object) for name in (GROUP,) if group and group[0] in frame}
    frame = frame.drop(columns=[name for name in _named(spec) if name in frame])
    if contract.table is not None:
        return {**contract.table.tensors(frame), **words}
    return {_features(contract): frame.to_numpy(dtype=np.float32), **words}


def _named(spec: Mapping[str, Any]) -> list[str]:
    """The columns that *spec* names, which are no features."""
    return [name for key in ("truth", "group", "per") for name in _called(spec, key)]


def _called(spec: Mapping[str, Any], key: str) -> list[str]:
    """The columns under *key* of the calibration and of the gates' data."""
    calibration, gate = spec.get("calibration") or {}, spec.get("gate") or {}
    found: list[str] = []
    for section in (calibration, gate.get("data") or {}):
        value = section.get(key) or []
        value = value.get("column") or [] if isinstance(value, Mapping) else value
        found += [value] if isinstance(value, str) else list(value)
    return found


def _features(contract: Contract) -> str:
    """The only tensor that a caller has to send, but for the group of a row."""
    required = [name for name in contract.inputs if name not in (*contract.optional, GROUP)]
    if len(required) != 1:
        raise LoadTestError(
            f"{contract.model} takes {', '.join(required) or 'no tensor'}: name an .npz file with an array for each"
        )
    return required[0]


def _require_rows(feed: dict[str, NDArray[Any]], where: str) -> Feed:
    counts = {name: len(array) if array.ndim else 0 for name, array in feed.items()}
    if len({*counts.values()} - {0}) != 1 or 0 in counts.values():
        raise LoadTestError(f"{where}: expected as many rows of every tensor, one at least, got {counts or 'nothing'}")
    return feed
