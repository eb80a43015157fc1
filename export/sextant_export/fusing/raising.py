"""Operator sets of graphs that are to be one graph, raised to the newest among them."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import version_converter

from sextant.errors import ConversionError
from sextant_export.onnx_graph.scopes import graphs, weight_names
from sextant_export.onnx_graph.weights import is_heavy, keep, without_weights
from sextant_export.original import first_line


def newest_opsets(models: Mapping[str, onnx.ModelProto], least: Mapping[str, int]) -> dict[str, int]:
    """The newest operator set of each domain among *models*, and none older than *least*."""
    newest = dict(least)
    for opset in (opset for model in models.values() for opset in model.opset_import):
        newest[opset.domain] = max(opset.version, newest.get(opset.domain, 0))
    return newest


def raised(model: onnx.ModelProto, opsets: Mapping[str, int]) -> onnx.ModelProto:
    """
    A copy of *model* whose operators are of *opsets*; ``ConversionError`` names what there is no newer one for.

    Where every operator is the same in both, only the number changes.
    """
    own = onnx.ModelProto()
    own.CopyFrom(model)
    for opset in own.opset_import:
        changed = _changed(own, opset.domain, opset.version, opsets[opset.domain])
        if changed and opset.domain:
            said = f"uses {', '.join(changed)} of {opset.domain} {opset.version}, and another is of"
            raise ConversionError(f"{said} {opsets[opset.domain]}, where it changed: export it with that operator set")
        if changed:
            own = _converted(own, opsets[""])
    for opset in own.opset_import:
        opset.version = opsets[opset.domain]
    return own


def _changed(model: onnx.ModelProto, domain: str, version: int, newer: int) -> list[str]:
    """The operators of *domain* that are another one in its *newer* version."""
    kinds = {node.op_type for graph in graphs(model.graph) for node in graph.node if node.domain == domain}
    known = [kind for kind in sorted(kinds) if onnx.defs.has(kind, version, domain)]
    return [kind for kind in known if _since(kind, version, domain) != _since(kind, newer, domain)]


def _since(kind: str, version: int, domain: str) -> int:
    return int(onnx.defs.get_schema(kind, version, domain).since_version)


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """By ONNX's own converter, which never sees the weights: it would copy them to and fro."""
    aside = onnx.GraphProto(initializer=filter(is_heavy, model.graph.initializer))
    names = weight_names(aside)
    try:
        converted = version_converter.convert_version(without_weights(model, is_heavy), opset)
    except Exception as error:
        said = f"cannot be raised to operator set {opset}, which another member is of: {first_line(error)}"
        raise ConversionError(f"{said}; export it with that operator set") from error
    keep(converted.graph.input, lambda value: value.name not in names)
    converted.graph.initializer.extend(aside.initializer)
    return converted
