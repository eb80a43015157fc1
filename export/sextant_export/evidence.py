"""The evidence of a release: the rows its members were proven on, and what their flavours answered."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ReceiptError
from sextant_export.parity import Arrays
from sextant_export.receipt import Receipt, receipt_path
from sextant_export.store import Store, sync, writing

Evidence = Mapping[str, tuple[NDArray[Any], Arrays]]


def proof_path(store: Store, pipeline: str, release: int) -> Path:
    """Where the evidence of a release stands, beside its receipt."""
    return receipt_path(store, pipeline, release).with_suffix(".proof.npz")


def write_proof(store: Store, pipeline: str, release: int, evidence: Evidence) -> None:
    """Write each member's rows and answers, by the member's name, in one step."""
    path = proof_path(store, pipeline, release)
    arrays = {f"{name}/rows": rows for name, (rows, _) in evidence.items()}
    for name, (_, answers) in evidence.items():
        arrays |= {f"{name}/answers/{output}": array for output, array in answers.items()}
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        sync(partial)
        partial.replace(path)


def read_proof(store: Store, receipt: Receipt) -> Evidence:
    """Each member's rows and answers; ``ReceiptError`` where the file is gone or not whole."""
    path = proof_path(store, receipt.pipeline, receipt.release)
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return {name: _of_member(name, arrays) for name in receipt.members}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ReceiptError(
            f"{path} is gone or not whole, so the release cannot be proven through Triton: "
            f"delete {receipt_path(store, receipt.pipeline, receipt.release)} and promote again"
        ) from error


def _of_member(name: str, arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], Arrays]:
    answers = f"{name}/answers/"
    return arrays[f"{name}/rows"], {key.removeprefix(answers): arrays[key] for key in arrays if key.startswith(answers)}
