"""
Which files of a registered model are pickles: programs, that loading the model runs.

The flavours say it of themselves where they know; what lies in the files says the rest.  Models from code, skops,
safetensors, ONNX and the boosters' own files are none.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from sextant.errors import PickleRefused
from sextant_export.receipt import Receipt
from sextant_export.registry import Artifact

_NAMES = {".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"}
_HEADS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_ZIP = b"PK\x03\x04"
_SCRIPT = "constants.pkl"
_HEAD_BYTES = 4096
_INSTEAD = {
    "sklearn": "mlflow.sklearn.log_model(..., serialization_format='skops')",
    "pytorch": "mlflow.pytorch.log_model(..., serialization_format='pt2')",
    "python_function": "models from code, mlflow.pyfunc.log_model(python_model='model.py', ...)",
}


def pickles(artifact: Artifact) -> tuple[str, ...]:
    """The pickles among the files of *artifact*, seen from its folder."""
    folder = artifact.path
    declared = {folder / name for name in _declared(artifact.flavors)}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple(path.relative_to(folder).as_posix() for path in files if path in declared or is_pickle(path))


def refuse_pickles(artifact: Artifact) -> None:
    """Raise ``PickleRefused``, with what to log instead, where *artifact* holds one."""
    if not (files := pickles(artifact)):
        return
    instead = next((said for flavor, said in _INSTEAD.items() if flavor in artifact.flavors), None)
    advice = f"log it with {instead}, or" if instead else ""
    named = f"{', '.join(files)} {'are pickles' if len(files) > 1 else 'is a pickle'}"
    said = f"{named}, a program that loading it runs, and none may be loaded"
    raise PickleRefused(
        f"{artifact.version}: {said}: {advice} export it to ONNX and log it with mlflow.onnx.log_model".replace(
            "  ", " "
        ),
        files=files,
    )


def refuse_served_pickles(receipt: Receipt) -> None:
    """
    Raise ``PickleRefused`` where a release that was made before is served by what was pickled.

    A member that was converted is served by its copy, and its pickle is not loaded again.
    """
    for member in receipt.members.values():
        if files := () if member["converted"] else member.get("pickled", ()):
            raise PickleRefused(
                f"{receipt.name} was made before, and serves {member['uri']} by its own Python, which "
                f"loads {', '.join(files)}, a pickle, and none may be loaded: promote without --no-pickle, or log "
                "that model without pickles",
                files=tuple(files),
            )


def is_pickle(path: Path) -> bool:
    """Whether the file at *path* is a pickle, or an archive around one, as PyTorch writes them."""
    if path.suffix in _NAMES:
        return True
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return _holds_pickle(path) if head.startswith(_ZIP) else head.startswith(_HEADS) and _begins_as_one(head)


def _declared(flavors: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What flavours say of themselves; a compressed pickle shows nothing else."""
    sklearn, own = flavors.get("sklearn", {}), flavors.get("python_function", {})
    if sklearn.get("serialization_format") != "skops" and "pickled_model" in sklearn:
        yield str(sklearn["pickled_model"])
    if (model := str(own.get("python_model", ""))) and not model.endswith(".py"):
        yield model


def _holds_pickle(path: Path) -> bool:
    """TorchScript's archives hold some too, and are read by something that runs nothing."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    script = any(name.endswith(_SCRIPT) for name in names)
    return not script and any(Path(name).suffix in _NAMES for name in names)


def _begins_as_one(head: bytes) -> bool:
    try:
        return len(list(islice(pickletools.genops(head), 2))) == 2
    except Exception:  # noqa: BLE001  whatever it is, it is no pickle
        return False
