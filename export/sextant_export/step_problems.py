"""What is wrong with the steps: unknown blocks and parameters, and an order that cannot answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sextant.blocks import BLOCKS
from sextant.errors import SextantError
from sextant.parameters import SLOTS
from sextant_export.dims import fit
from sextant_export.problem import Problem, guess
from sextant_export.stand_ins import stand_ins
from sextant_export.values import choice, names, unknown_keys

MEMBERS = "members"
AFTER_MEMBERS: Mapping[str, tuple[str, ...]] = {"position": ("fuse", "ellipse"), "label": ("vote",), "tensors": ()}
_BY_MEMBER = ("weights", "quorum", "frame", "origin")
_ANY_MEMBERS = tuple(f"member {i}" for i in range(SLOTS))


def step_problems(step: Any, address: str, members: Sequence[str] = ()) -> Iterator[Problem]:
    """Every problem of one entry of ``steps``, on a page that names *members*."""
    if step == MEMBERS:
        return
    if not isinstance(step, Mapping):
        said = f"expected `members` or `block: <name>`, got {step!r}"
        yield Problem(address, said + (guess(step, [MEMBERS, *BLOCKS]) if isinstance(step, str) else ""))
        return
    yield from unknown_keys(step, address, ("block", "with", "input_map", "output_map"))
    yield from choice(step.get("block"), f"{address}.block", BLOCKS, "block")
    if (block := block_of(step)) in BLOCKS:
        yield from _parameters(block, step.get("with", {}), f"{address}.with", members)
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
    yield from _broken_chain(steps[:place])
    yield from _after(blocks[place + 1 :], raw.get("answer"))
    yield from _crowd(blocks, members, raw.get("answer"))


def block_of(step: Any) -> str:
    """The block a raw step names, or ``members``; an empty string where it names nothing."""
    name = step.get("block") if isinstance(step, Mapping) else step
    return name if isinstance(name, str) else ""


def _parameters(block: str, value: Any, address: str, members: Sequence[str]) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(address, f"expected a mapping of parameters, got {value!r}")
        return
    unknown = [key for key in value if key not in BLOCKS[block].parameters]
    measured = [key for key in value if key in BLOCKS[block].measured]
    settable = set(BLOCKS[block].parameters) - set(BLOCKS[block].measured)
    for key in unknown:
        yield Problem(f"{address}.{key}", f"unknown{guess(key, settable)}")
    for key in measured:
        yield Problem(f"{address}.{key}", "is found when a release is made; leave it out")
    if not unknown and not measured:
        yield from _tried(block, value, address, members)


def _tried(block: str, value: Mapping[str, Any], address: str, members: Sequence[str]) -> Iterator[Problem]:
    """
    What the block itself says of its parameters; it stops at the first, so it is asked again without that
    one.
    """
    if not 1 <= len(members) <= SLOTS:  # which the page is told already; what hangs on the members waits
        value = {key: given for key, given in value.items() if key not in _BY_MEMBER}
        members = _ANY_MEMBERS
    left, said = dict(value), set[str]()
    while complaint := _complaint(block, {**left, **stand_ins(block, left, members)}):
        key, _, sentence = complaint.partition(": ")
        if key in said:
            return
        known = key in BLOCKS[block].parameters
        yield Problem(f"{address}.{key}", sentence) if known else Problem(address, complaint)
        left.pop(key, None)
        said.add(key)


def _complaint(block: str, parameters: Mapping[str, Any]) -> str:
    try:
        BLOCKS[block](parameters)
    except SextantError as error:
        return str(error)
    return ""


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


def _broken_chain(steps: list[Any]) -> Iterator[Problem]:
    """A block that cannot take what the one before it gives, be the members what they may."""
    made = [_made(step) for step in steps]
    for i, (before, block) in enumerate(pairwise(made), 1):
        if before is None or block is None or "input_map" in steps[i]:
            continue
        given, wanted = before.outputs[0], block.inputs[0]
        if not fit(given.dims, wanted.dims):
            said = f"takes {wanted.name} {list(wanted.dims)} per row, and {block_of(steps[i - 1])!r} gives {given.name}"
            yield Problem(f"steps[{i}]", f"{block_of(steps[i])!r} {said} {list(given.dims)}")


def _made(step: Any) -> Any:
    """The block of a sound *step* before the members; its class, where its dims are those of the members."""
    kind = BLOCKS.get(block_of(step))
    given = step.get("with", {}) if isinstance(step, Mapping) else {}
    if kind is None or not getattr(kind, "validates", False) or not isinstance(given, Mapping):
        return None
    if stand_ins(block_of(step), given, ()):
        return kind
    try:
        return kind(given)
    except SextantError:
        return None


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
    validating = [name for name, block in BLOCKS.items() if getattr(block, "validates", False)]
    if blocks[0] not in validating:
        said = "several members run in parallel and none may see bad input: begin with a block that validates"
        yield Problem("steps[0]", f"{said} ({', '.join(validating)})")
    if len(members) > SLOTS:
        yield Problem(
            MEMBERS, f"{AFTER_MEMBERS.get(str(answer), ('fuse',))[0]} takes at most {SLOTS}; found {len(members)}"
        )
