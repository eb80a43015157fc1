"""What a member of a position pipeline says: where, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

from sextant.blocks.fuse import SAID
from sextant.errors import PipelineError
from sextant.frames import LATITUDE_LONGITUDE, of_member
from sextant.tensors import Tensor
from sextant_export.pipeline import Member, Pipeline
from sextant_export.problem import Problem
from sextant_export.projection import projections
from sextant_export.slots.role import MemberModel, Role, listed, roles_of, said_word, used

# The dims of each role.
DIMS: Mapping[str, tuple[int, ...]] = MappingProxyType({"position": (2,), **{word: SAID[word][0] for word in SAID}})
TYPES = ("FP32", "FP64")
_UNSAID: Mapping[tuple[int, ...], str] = MappingProxyType({(2,): "position", (2, 2): "covariance"})


def roles(slot: int, model: MemberModel, member: Member) -> tuple[Role, ...]:
    """A member's position and what it says of its errors, bound for its slots of ``fuse``."""
    return roles_of(slot, model, member, _word, {"position": "member"})


def problems(model: MemberModel, member: Member) -> Iterator[Problem]:
    """Outputs that are nothing, two that could be the same, errors said twice, no position at all."""
    given, address = used(model, member), f"members.{model.name}"
    words = {tensor.name: _word(tensor, member) for tensor in given}
    for tensor in given:
        yield from (Problem(address, said) for said in _misfits(tensor, words[tensor.name]))
    for word in DIMS:
        fitting = [tensor for tensor in given if words[tensor.name] == word]
        if len(fitting) > 1:
            named = f"{fitting[0].name}: {model.name}.{word}"
            said = f"{listed(fitting)} could each be its {word}; name one in its output_map, as {{{named}}}"
            yield Problem(address, said)
    said_words = [word for word in SAID if word in words.values()]
    if len(said_words) > 1:
        said = (
            f"says its errors as {' and as '.join(said_words)}; name one of them, and its position, in its output_map"
        )
        yield Problem(address, said)
    if "position" not in words.values():
        yield Problem(address, f"no output is a position [2]; it answers {listed(given)}")


def settled(pipeline: Pipeline, members: Sequence[MemberModel]) -> dict[str, Any]:
    """
    What ``fuse`` has to know of *members*: ``members``, ``slots`` and ``projections``.

    PipelineError lists what does not go with the parameters of the step: float32 degrees, errors that ``spread`` would
    not read.
    """
    given = next(step.parameters for step in pipeline.blocks if step.block == "fuse")
    found = {model.name: roles(i, model, pipeline.members[model.name]) for i, model in enumerate(members)}
    frames = {name: of_member(given.get("frame", LATITUDE_LONGITUDE), name) for name in found}
    complaints = [
        *(_coarse(name, each) for name, each in found.items() if frames[name] == LATITUDE_LONGITUDE),
        *(_unread(name, each) for name, each in found.items() if given.get("method") == "spread"),
    ]
    if wrong := tuple(chain.from_iterable(complaints)):
        raise PipelineError(wrong)
    slots = {role.slot: role.tensor.dtype for role in chain.from_iterable(found.values()) if role.slot}
    return {"members": list(found), "slots": slots, "projections": projections(frames.values())}


def _coarse(name: str, found: Sequence[Role]) -> Iterator[Problem]:
    """A float32 longitude is up to 0.8 m off, and a latitude 0.2 m: more than anybody would round by choice."""
    for role in found:
        if role.word == "position" and role.tensor.dtype == "FP32":
            yield Problem(
                f"members.{name}",
                f"{role.tensor.name!r} is FP32, in which degrees are 1 m coarse: let it answer float64, or metres "
                "about an origin (frame: east_north_m), or a projected grid (frame: EPSG:25832, say)",
            )


def _unread(name: str, found: Sequence[Role]) -> Iterator[Problem]:
    for role in found:
        if role.word != "position":
            said = f"method spread is how members scatter and reads no {role.word}; name the position alone in its"
            yield Problem(f"members.{name}", f"{said} output_map")


def _misfits(tensor: Tensor, word: str | None) -> Iterator[str]:
    if word is None:
        others = " or ".join(f"{word} {list(dims)}" for word, dims in DIMS.items() if word != "position")
        yield f"output {listed([tensor])} is neither a position [2] nor {others}; name those that are in its output_map"
    elif tensor.dims != DIMS[word]:
        yield f"output {listed([tensor])} is named as its {word}, which is {list(DIMS[word])}"
    elif tensor.dtype not in TYPES:
        yield f"output {listed([tensor])} is its {word}, which is {' or '.join(TYPES)}"


def _word(tensor: Tensor, member: Member) -> str | None:
    """What the output is for: by the end of its name in the pipeline, else by its own name, else by its dims."""
    return said_word(tensor, member, DIMS) or _UNSAID.get(tensor.dims)
