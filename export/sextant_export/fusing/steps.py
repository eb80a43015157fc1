"""The steps of a pipeline that can be nodes of a graph, and why another cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sextant_export.fusing import ellipse, fuse, scale, spectrum_graph, vote
from sextant_export.fusing.graph import Value
from sextant_export.fusing.written import Written

Parameters = Mapping[str, Any]


class Expression(NamedTuple):
    """
    How one block becomes nodes.

    *known* are the parameters it understands, *write* gives its nodes, fed from inputs by the block's own names, and
    *obstacle* says why there can be none with these parameters.
    """

    known: frozenset[str]
    write: Callable[[Parameters, Mapping[str, Value]], Written]
    obstacle: Callable[[Parameters], str | None] = lambda _: None


EXPRESSIONS: Mapping[str, Expression] = MappingProxyType(
    {
        "scale": Expression(scale.KNOWN, scale.write),
        "log_mel": Expression(spectrum_graph.KNOWN_LOG_MEL, spectrum_graph.write_log_mel),
        "spectrum": Expression(spectrum_graph.KNOWN_SPECTRUM, spectrum_graph.write_spectrum),
        "fuse": Expression(fuse.KNOWN, fuse.write, fuse.obstacle),
        "vote": Expression(vote.KNOWN, vote.write, vote.obstacle),
        "ellipse": Expression(ellipse.KNOWN, ellipse.write, ellipse.obstacle),
    }
)


def obstacle(block: str, parameters: Parameters) -> str | None:
    """Why the block of that name cannot be nodes with its complete *parameters*; None where it can."""
    if block not in EXPRESSIONS:
        return "the compiler does not know this block"
    expression = EXPRESSIONS[block]
    said = [key for key, value in parameters.items() if value is not None]
    if unknown := sorted(set(said) - expression.known):
        return f"the compiler does not know its parameter{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}"
    return expression.obstacle(parameters)
