"""
The evidence of a release: the rows its members were proven on, and what their flavours answered.

One ``.npz`` file without pickles, which are programs: an array of text is kept as the bytes of a JSON list.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ReceiptError
from sextant_export.receipt import Receipt, receipt_path
from sextant_export.signature import Arrays, Feed
from sextant_export.store import Store, sync, writing

Evidence = Mapping[str, tuple[Feed, Arrays]]
ROWS, ANSWERS, TEXT = "rows", "answers", ":text"
OF_GRAPH = ":graph"
"""Under this name stands the evidence of a fused graph; no member has such a name."""


def proof_path(store: Store, pipeline: str, release: int) -> Path:
    """Where the evidence of a release stands, beside its receipt."""
    return receipt_path(store, pipeline, release).with_suffix(".proof.npz")


def pack_proof(path: Path, evidence: Evidence) -> None:
    """Write each member's feed and answers, by the member's name, to the file *path*."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, (feed, answers) in evidence.items():
        arrays |= dict(_packed(f"{name}/{ROWS}/{tensor}", array) for tensor, array in feed.items())
        arrays |= dict(_packed(f"{name}/{ANSWERS}/{output}", array) for output, array in answers.items())
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def unpack_proof(path: Path, names: Iterable[str]) -> Evidence:
    """What :func:`pack_proof` wrote under *names*."""
    with path.open("rb") as file, np.load(file) as arrays:
        return {name: _of_member(name, arrays) for name in names}


def place_proof(store: Store, pipeline: str, release: int, packed: Path) -> None:
    """Put the file *packed* in its place in *store*, in one step."""
    path = proof_path(store, pipeline, release)
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packed, partial)
        sync(partial)
        partial.replace(path)


def read_proof(store: Store, receipt: Receipt) -> Evidence:
    """Each member's feed and answers, and a fused graph's; ``ReceiptError`` where the file is gone or not whole."""
    path = proof_path(store, receipt.pipeline, receipt.release)
    names = (*receipt.members, *([OF_GRAPH] if receipt.fused and "model" in receipt.fused else []))
    try:
        return unpack_proof(path, names)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ReceiptError(
            f"{path} is gone or not whole, so the release cannot be proven through Triton: "
            f"delete {receipt_path(store, receipt.pipeline, receipt.release)} and promote again"
        ) from error


def _of_member(name: str, arrays: Mapping[str, NDArray[Any]]) -> tuple[Feed, Arrays]:
    feed, answers = (_under(f"{name}/{part}/", arrays) for part in (ROWS, ANSWERS))
    return feed, answers


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    found = (_unpacked(key, arrays[key]) for key in arrays if key.startswith(prefix))
    return {key.removeprefix(prefix): array for key, array in found}


def _packed(key: str, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """Bytes that are no UTF-8 come back as they were, by way of surrogates."""
    if array.dtype.kind not in "OSU":
        return key, array
    items = [item.decode(errors="surrogateescape") if isinstance(item, bytes) else item for item in array.reshape(-1)]
    return key + TEXT, np.frombuffer(json.dumps([list(array.shape), items]).encode(), dtype=np.uint8)


def _unpacked(key: str, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """Text comes back as the bytes that Triton takes."""
    if not key.endswith(TEXT):
        return key, array
    shape, items = json.loads(array.tobytes())
    words = np.empty(len(items), dtype=object)
    words[:] = [item.encode(errors="surrogateescape") for item in items]
    return key.removesuffix(TEXT), words.reshape(shape)
