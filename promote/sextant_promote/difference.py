"""
What differs between two releases of a pipeline, by their receipts: only that, and each thing under one heading.

Configurations are compared as text without what merely numbers a release: its name and number, and the versions of its
models, which the members tell. Of a proof only its figures are compared, not its rows; of a calibration not its date.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import PromoteError
from sextant_export.config import RELEASE
from sextant_export.placing import ensemble_of, front_of
from sextant_export.receipt import Receipt, read_receipt
from sextant_export.store import Store
from sextant_promote.removal import require_known

MEMBER = ("model", "version", "artifact_sha256", "flavor", "kind", "converted", "why", "plans", "signature")
"""What a receipt says of a member that makes it another one."""
FIGURES = ("rows", "max_abs_delta", "tolerance", "stated_tolerance", "causes", "placed_on_edges", "rounded_to_float32")
"""What a receipt says of a proof as a whole."""


@dataclass(frozen=True)
class Change:
    """One thing that differs: *where*, in the words of a spec's addresses; None on the side that has none."""

    where: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class Difference:
    """
    Two releases of *pipeline*, *before* and *after*: their *changes* by heading, and *configs* as unified diffs.

    Headings without a change are left out, and so are configurations that are the same; *configs* go by model.
    """

    pipeline: str
    before: int
    after: int
    changes: Mapping[str, tuple[Change, ...]]
    configs: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        changes = {heading: [vars(change) for change in group] for heading, group in self.changes.items()}
        return {**vars(self), "changes": changes}


def difference(store: Store, pipeline: str, before: int | None = None, after: int | None = None) -> Difference:
    """
    What differs between releases *before* and *after* of *pipeline*.

    Left out, *after* is the serving release and *before* the one it replaced. ``PromoteError`` where there is no such
    release, ``ReceiptError`` where a receipt is gone or was changed.
    """
    require_known(store, pipeline)
    newer = read_receipt(store, pipeline, after if after is not None else _serving(store, pipeline))
    older = read_receipt(store, pipeline, before if before is not None else _replaced(newer))
    groups = {heading: tuple(changes(*pair)) for heading, pair in _headings(older, newer).items()}
    return Difference(
        pipeline=pipeline,
        before=older.release,
        after=newer.release,
        changes={heading: group for heading, group in groups.items() if group},
        configs=dict(_configs(older, newer)),
    )


def changes(before: Any, after: Any, where: str = "") -> Iterator[Change]:
    """
    Where two trees of JSON values differ, leaf by leaf; a list of plain values is one leaf.

    >>> one, other = {"steps": [{"gate": 0.99}]}, {"steps": [{"gate": 0.9}], "answer": "position"}
    >>> [(change.where, change.before, change.after) for change in changes(one, other)]
    [('steps[0].gate', 0.99, 0.9), ('answer', None, 'position')]
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from changes(before.get(key), after.get(key), f"{where}.{key}" if where else str(key))
    elif _both_lists(before, after) and any(isinstance(each, (Mapping, list)) for each in (*before, *after)):
        for place, (one, other) in enumerate(zip_longest(before, after)):
            yield from changes(one, other, f"{where}[{place}]")
    elif before != after:
        yield Change(where, before, after)


def _serving(store: Store, pipeline: str) -> int:
    serving = store.served_release(pipeline)
    if serving is None:
        raise PromoteError(f"{pipeline} serves no release from {store.root}: name the two releases to compare")
    return serving


def _replaced(receipt: Receipt) -> int:
    if receipt.replaced is None:
        raise PromoteError(f"r{receipt.release} of {receipt.pipeline} replaced no release: name the two to compare")
    return receipt.replaced


def _headings(*receipts: Receipt) -> dict[str, tuple[Any, Any]]:
    """What is compared, under its heading: the older release's and the newer one's."""
    older, newer = ({heading: said(receipt) for heading, said in _SAID.items()} for receipt in receipts)
    return {heading: (older[heading], newer[heading]) for heading in _SAID}


def _members(receipt: Receipt) -> dict[str, Any]:
    return {name: _only(MEMBER, member) for name, member in receipt.members.items()}


def _blocks(receipt: Receipt) -> dict[str, Any]:
    """The parameters of each block, without the number of the release that some of them repeat to callers."""
    return {
        name: {key: said for key, said in block.items() if key != RELEASE} for name, block in receipt.blocks.items()
    }


def _calibration(receipt: Receipt) -> dict[str, Any]:
    return {key: said for key, said in (receipt.calibration or {}).items() if key != "date"}


def _proof(receipt: Receipt) -> dict[str, Any]:
    """How far each member was from its original, in ONNX Runtime and through Triton."""
    exported = {name: {"exported": _only(FIGURES, member.get("proof", {}))} for name, member in receipt.members.items()}
    served = {name: {"served": _only(FIGURES, proof)} for name, proof in receipt.proof.items()}
    return {name: exported.get(name, {}) | served.get(name, {}) for name in {**exported, **served}}


def _only(keys: Sequence[str], facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts[key] for key in keys if key in facts}


def _gates(receipt: Receipt) -> dict[str, Any]:
    return {
        str(result["gate"]): {key: said for key, said in result.items() if key != "gate"} for result in receipt.gate
    }


_SAID: Mapping[str, Callable[[Receipt], Any]] = {
    "members": _members,
    "spec": lambda receipt: receipt.spec,
    "blocks": _blocks,
    "calibration": _calibration,
    "graph": lambda receipt: receipt.fused,
    "proof": _proof,
    "gates": _gates,
    "tools": lambda receipt: receipt.tools,
}


def _configs(older: Receipt, newer: Receipt) -> Iterator[tuple[str, str]]:
    before, after = _texts(older), _texts(newer)
    for model in dict.fromkeys([*before, *after]):
        one, other = before.get(model, []), after.get(model, [])
        came, went = (f"{model} in r{receipt.release}" for receipt in (older, newer))
        diff = "\n".join(difflib.unified_diff(one, other, came, went, lineterm=""))
        if diff:
            yield model, diff


def _texts(receipt: Receipt) -> dict[str, list[str]]:
    """The lines of each configuration of a release, its front first."""
    front = front_of(ensemble_of(receipt), receipt.pipeline)
    front.parameters.pop(RELEASE, None)
    for step in front.ensemble_scheduling.step:
        step.ClearField("model_version")
    shared = {model: [line for text in texts for line in _shared(text)] for model, texts in receipt.configs.items()}
    return {receipt.pipeline: _lines(front)} | shared


def _shared(text: str) -> list[str]:
    config = text_format.Parse(text, ModelConfig())
    config.ClearField("version_policy")
    return _lines(config)


def _lines(config: ModelConfig) -> list[str]:
    return str(text_format.MessageToString(config)).splitlines()


def _both_lists(before: Any, after: Any) -> bool:
    return isinstance(before, (list, tuple)) and isinstance(after, (list, tuple))
