"""
What keeps Triton's response cache from a pipeline.

Triton looks an answer up by the model's name and version, and by the names and bytes of its inputs: not by their
shapes, not by the outputs that were asked for, not by the request's parameters. So it answers rightly only where equal
bytes are equal questions and equal questions have equal answers. The outputs, and what changes from release to release,
are seen to by where the cache stands (:mod:`sextant_export.placing`); the rest is refused here, as soon as it is known:
by the page, by a member once it is copied, by the inputs once the pipeline is wired.

Text of fixed dims is let pass, because Triton writes its length before each string: the bytes say where one ends. So
are inputs that may be left out, because the names of those that are there are part of the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sextant.errors import PipelineError
from sextant.tensors import Tensor
from sextant_export.problem import Problem

if TYPE_CHECKING:
    import onnx

CACHE = "serving.response_cache"
PYFUNC = "python_function"
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Sampling"}
)
"""ONNX's operators that draw, and ONNX Runtime's own, which picks the next words of a text."""


def cache_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What the page *raw* alone tells: members of which it says that they may answer equal rows differently."""
    serving, members = raw.get("serving"), raw.get("members")
    if not (isinstance(serving, Mapping) and serving.get("response_cache") is True and isinstance(members, Mapping)):
        return
    for name, member in members.items():
        if isinstance(member, Mapping):
            own_python = member.get("flavor") == PYFUNC
            yield from doubt(str(name), member.get("deterministic"), own_python=own_python)


def doubt(name: str, deterministic: object, *, own_python: bool) -> Iterator[Problem]:
    """
    What is against caching the member *name*, of which the page says that it is *deterministic*, or says nothing.

    >>> print(*doubt("oak", None, own_python=True))
    members.oak.deterministic: missing: oak is served by its own Python, and what that gives to equal rows nobody but \
its author knows, while serving.response_cache repeats what was answered before: write `deterministic: true` if equal \
rows always get equal answers, or leave the cache out
    """
    address = f"members.{name}.deterministic"
    if deterministic is False:
        yield Problem(address, f"false, and {CACHE} repeats what was answered before: drop one")
    elif own_python and deterministic is None:
        yield Problem(
            address,
            f"missing: {name} is served by its own Python, and what that gives to equal rows nobody but its author "
            f"knows, while {CACHE} repeats what was answered before: write `deterministic: true` if equal rows always "
            "get equal answers, or leave the cache out",
        )


def refuse_unsteady(name: str, graph: onnx.ModelProto | None, *, deterministic: bool | None) -> None:
    """PipelineError where the member *name*, served as *graph*, or by its own Python where None, may not be cached."""
    found = list(doubt(name, deterministic, own_python=graph is None))
    if graph is not None and (drawing := random_nodes(graph)):
        found.append(
            Problem(CACHE, f"{name} draws at random ({', '.join(drawing)}), so no answer may be repeated: leave it out")
        )
    _refuse(found)


def refuse_open(inputs: Sequence[Tensor]) -> None:
    """PipelineError names each of a pipeline's *inputs* with an axis that callers may choose, beside the batch."""
    _refuse(
        Problem(
            CACHE,
            f"{tensor.name} is {tensor.dtype} {list(tensor.dims)} per row, and Triton's cache knows no shapes: two "
            "arrays of the same bytes and different shapes would get one answer; leave it out, or register a model "
            "whose dims are fixed",
        )
        for tensor in inputs
        if any(size < 0 for size in tensor.dims)
    )


def random_nodes(model: onnx.ModelProto) -> tuple[str, ...]:
    """The operators of *model* that draw at random, in its functions and the graphs inside its nodes too."""
    from sextant_export.onnx_graph.scopes import graphs, subgraphs

    inner = (body for function in model.functions for node in function.node for body in subgraphs(node))
    places = [*model.functions, *(graph for top in (model.graph, *inner) for graph in graphs(top))]
    return tuple(sorted({node.op_type for place in places for node in place.node if _draws(node, place)}))


def _draws(node: onnx.NodeProto, place: onnx.GraphProto | onnx.FunctionProto) -> bool:
    """A dropout whose third input is not false for good in its *place* may be told to train, and then drops some."""
    return node.op_type in RANDOM or (
        node.op_type == "Dropout" and any(node.input[2:]) and not _is_false(node.input[2], place)
    )


def _is_false(name: str, place: onnx.GraphProto | onnx.FunctionProto) -> bool:
    """Whether *name* is a constant of *place* that says false."""
    from onnx import numpy_helper

    constants = [node for node in place.node if node.op_type == "Constant" and name in node.output]
    weights = [attribute.t for node in constants for attribute in node.attribute if attribute.name == "value"]
    weights += [weight for weight in getattr(place, "initializer", ()) if weight.name == name]
    return bool(weights) and not any(numpy_helper.to_array(weight).any() for weight in weights)


def _refuse(found: Iterator[Problem] | Sequence[Problem]) -> None:
    if problems := tuple(found):
        raise PipelineError(problems)
