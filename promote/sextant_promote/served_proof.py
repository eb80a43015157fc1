"""The second proof: each member, asked through Triton, answers as its MLflow flavour did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ParityError, PromoteError
from sextant_export.parity import compare
from sextant_export.receipt import Receipt
from sextant_export.release import proof_path
from sextant_export.store import Store
from sextant_promote.control import Control

BATCH = 64


def prove_served(store: Store, receipt: Receipt, control: Control) -> dict[str, dict[str, Any]]:
    """
    The largest difference, for each member, between what Triton answers and what its flavour answered at export.

    ``ParityError`` where it is above the tolerance the export was proven at.
    """
    with np.load(_rows(store, receipt)) as proof:
        return {name: _prove(control, member, proof) for name, member in receipt.members.items()}


def _prove(control: Control, member: Mapping[str, Any], proof: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    answers = f"{member['model']}/answers/"
    expected = {key.removeprefix(answers): proof[key] for key in proof if key.startswith(answers)}
    rows = proof[f"{member['model']}/rows"]
    parts = [_answer(control, member, rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)]
    given = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    try:
        served = compare(expected, given, member["proof"]["tolerance"])
    except ParityError as error:
        raise ParityError(
            f"{member['model']} version {member['version']}, asked through Triton: {error}; compare the server's "
            "ONNX Runtime with the one that the release was exported on",
            worst=error.worst,
            tolerance=error.tolerance,
        ) from error
    return {"rows": len(rows), "max_abs_delta": served.max_abs_delta, "tolerance": served.tolerance}


def _answer(control: Control, member: Mapping[str, Any], rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return control.answer(member["model"], member["version"], {member["input"]: rows})


def _rows(store: Store, receipt: Receipt) -> Path:
    path = proof_path(store, receipt)
    if not path.is_file():
        raise PromoteError(f"{path} is gone, so the release cannot be proven: delete its receipt and promote again")
    return path
