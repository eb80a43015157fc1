"""What is wrong with the steps: unknown blocks and parameters, and an order that cannot answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sextant.blocks import BLOCKS
from sextant.errors import SextantError
from sextant_export.problem import Problem, guess
from sextant_export.values import choice, names, unknown_keys

MEMBERS = "members"
AFTER_MEMBERS: Mapping[str, tuple[str, ...]] = {"position": ("fuse", "ellipse"), "tensors": ()}
VALIDATING = ("scale",)
# What a release measures or decides, so that a spec may not say it; the values let a block be tried before.
MEASURED: Mapping[str, Mapping[str, Any]] = {
    "scale": {"width": 1},
    "fuse": {"members": ["member"], "member_covariances": [[[1.0, 0.0], [0.0, 1.0]]]},
    "ellipse": {"radii": None, "release": 1},
}


def step_problems(step: Any, address: str) -> Iterator[Problem]:
    """Every problem of one entry of ``steps``."""
    if step == MEMBERS:
        return
    if not isinstance(step, Mapping):
        said = f"expected `members` or `block: <name>`, got {step!r}"
        yield Problem(address, said + (guess(step, [MEMBERS, *BLOCKS]) if isinstance(step, str) else ""))
        return
    yield from unknown_keys(step, address, ("block", "with", "input_map", "output_map"))
    yield from choice(step.get("block"), f"{address}.block", BLOCKS, "block")
    if (block := block_of(step)) in BLOCKS:
        yield from _parameters(block, step.get("with", {}), f"{address}.with")
    for key in ("input_map", "output_map"):
        yield from names(step.get(key, {}), f"{address}.{key}")


def order_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the steps as a row: what is missing, and what stands on the wrong side."""
    steps, members = raw.get("steps"), raw.get(MEMBERS)
    if not isinstance(steps, list) or not steps:
        return
    blocks = [block_of(step) for step in steps]
    yield from _repeated(blocks)
    if MEMBERS not in blocks:
        yield Problem("steps", f"no step is `members`{_misspelt(blocks)}")
        return
    place = blocks.index(MEMBERS)
    yield from _before(blocks[:place])
    yield from _after(blocks[place + 1 :], raw.get("answer"))
    yield from _crowd(blocks, members, raw.get("answer"))


def block_of(step: Any) -> str:
    """The block a raw step names, or ``members``; an empty string where it names nothing."""
    name = step.get("block") if isinstance(step, Mapping) else step
    return name if isinstance(name, str) else ""


def _parameters(block: str, value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(address, f"expected a mapping of parameters, got {value!r}")
        return
    unknown = [key for key in value if key not in BLOCKS[block].parameters]
    measured = [key for key in value if key in MEASURED.get(block, {})]
    settable = set(BLOCKS[block].parameters) - set(MEASURED.get(block, {}))
    for key in unknown:
        yield Problem(f"{address}.{key}", f"unknown{guess(key, settable)}")
    for key in measured:
        yield Problem(f"{address}.{key}", "is found when a release is made; leave it out")
    if not unknown and not measured:
        yield from _tried(block, value, address)


def _tried(block: str, value: Mapping[str, Any], address: str) -> Iterator[Problem]:
    """
    What the block itself says of its parameters; it stops at the first, so it is asked again without that
    one.
    """
    asked, said = {**value, **_stand_ins(block, value)}, set[str]()
    while complaint := _complaint(block, asked):
        key, _, sentence = complaint.partition(": ")
        if key in said:
            return
        known = key in BLOCKS[block].parameters
        yield Problem(f"{address}.{key}", sentence) if known else Problem(address, complaint)
        asked.pop(key, None)
        said.add(key)


def _complaint(block: str, parameters: Mapping[str, Any]) -> str:
    try:
        BLOCKS[block](parameters)
    except SextantError as error:
        return str(error)
    return ""


def _stand_ins(block: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """As many members as there are weights, so that a list of weights can be tried."""
    weights = value.get("weights")
    count = len(weights) if block == "fuse" and isinstance(weights, list) and weights else 1
    stand_ins = MEASURED.get(block, {})
    return {key: item * count if isinstance(item, list) else item for key, item in stand_ins.items()}


def _repeated(blocks: list[str]) -> Iterator[Problem]:
    for i, block in enumerate(blocks):
        if block and block in blocks[:i]:
            yield Problem(f"steps[{i}]", f"{block!r} stands twice, first as steps[{blocks.index(block)}]")


def _misspelt(blocks: list[str]) -> str:
    unknown = [block for block in blocks if block and block not in BLOCKS]
    return f"; is {unknown[0]!r} meant?" if unknown else ""


def _before(blocks: list[str]) -> Iterator[Problem]:
    for i, block in enumerate(blocks):
        if any(block in after for after in AFTER_MEMBERS.values()):
            yield Problem(f"steps[{i}]", f"{block!r} works on what members answer: put it after `members`")


def _after(blocks: list[str], answer: Any) -> Iterator[Problem]:
    wanted = AFTER_MEMBERS.get(str(answer))
    if wanted is None or tuple(blocks) == wanted or not set(blocks) <= BLOCKS.keys():
        return
    expected, found = (", then ".join(row) if row else "nothing" for row in (wanted, blocks))
    yield Problem("steps", f"after `members`, a {answer} answer takes {expected}; found {found}")


def _crowd(blocks: list[str], members: Any, answer: Any) -> Iterator[Problem]:
    """Several members need a guard before them: an error in one parallel branch leaks the request."""
    if not isinstance(members, Mapping) or len(members) < 2:
        return
    if answer == "tensors":
        yield Problem(MEMBERS, f"a tensors answer is one member's own; found {len(members)}")
        return
    if blocks[0] not in VALIDATING:
        said = "several members run in parallel and none may see bad input: begin with a block that validates"
        yield Problem("steps[0]", f"{said} ({', '.join(VALIDATING)})")
    slots = sum(tensor.name.startswith("member_") for tensor in BLOCKS["fuse"].inputs)
    if len(members) > slots:
        yield Problem(MEMBERS, f"fuse takes at most {slots}; found {len(members)}")
