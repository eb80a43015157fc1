"""Operator sets and the format's own version, lowered to what the oldest ONNX Runtime loads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias

import onnx
from onnx import inliner

from sextant.errors import ConversionError
from sextant_export.onnx_graph.oldest import NEWEST_IR, NEWEST_OPSETS, RUNTIME
from sextant_export.onnx_graph.operators import is_known
from sextant_export.onnx_graph.scopes import graphs, weight_names
from sextant_export.onnx_graph.weights import is_heavy, keep, without_weights
from sextant_export.original import first_line

Rewrite: TypeAlias = Callable[[onnx.ModelProto], onnx.ModelProto]

_INPUTS_WITHOUT_WEIGHTS = 4
"""The first version of the format in which a weight need not be an input too."""


def with_plain_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without functions of its own, and without newer operators that ONNX spells out in older ones."""
    if model.functions:
        model = _kept_notes(model, inliner.inline_local_functions(model, convert_version=True))
    newer = sorted({("", node.op_type) for node in _too_new(model)})
    if newer:
        with suppress(TypeError, RuntimeError, onnx.shape_inference.InferenceError):
            model = _aside(model, lambda light: _spelled_out(light, newer), lambda _: True)
    return model


def with_loadable_versions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph at an IR version and operator sets that the oldest target loads."""
    _settle_domains(model)
    for opset in list(model.opset_import):
        newest = NEWEST_OPSETS.get(opset.domain, opset.version)
        if opset.version > newest and not opset.domain:
            model = _lowered(model, newest)
        elif opset.version > newest:
            said = f"the graph uses {opset.domain} {opset.version}; the oldest Triton served here has {newest}"
            raise ConversionError(f"{said}: export it with that operator set")
    model.ir_version = max(min(model.ir_version, NEWEST_IR), _INPUTS_WITHOUT_WEIGHTS)
    return model


def _settle_domains(model: onnx.ModelProto) -> None:
    """One spelling of ONNX's own domain, and no operator set that no node is of."""
    for named in (*model.opset_import, *_nodes(model)):
        named.domain = "" if named.domain == "ai.onnx" else named.domain
    asked = {node.domain for node in _nodes(model)} | {""}
    keep(model.opset_import, lambda opset: opset.domain in asked)


def _lowered(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    try:
        return _aside(model, lambda light: onnx.version_converter.convert_version(light, opset), is_heavy)
    except Exception as error:
        said = f"the graph cannot be lowered to operator set {opset}, the newest of {RUNTIME}"
        raise ConversionError(f"{said}: {first_line(error)}; export it with that operator set") from error


def _spelled_out(model: onnx.ModelProto, operators: list[tuple[str, str]]) -> onnx.ModelProto:
    """A newer operator's definition may depend on the types of what it takes, and on attributes left out."""
    for node in _too_new(model):
        _write_defaults(node, onnx.defs.get_schema(node.op_type, _own_opset(model), ""))
    typed = onnx.shape_inference.infer_shapes(model)
    return inliner.inline_selected_functions(typed, operators, inline_schema_functions=True)


def _write_defaults(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    present = {attribute.name for attribute in node.attribute}
    defaults = (attribute.default_value for name, attribute in schema.attributes.items() if name not in present)
    node.attribute.extend(default for default in defaults if default.name)


def _aside(model: onnx.ModelProto, rewrite: Rewrite, heavy: Callable[[onnx.TensorProto], bool]) -> onnx.ModelProto:
    """
    *rewrite* of the graph with its *heavy* weights set aside meanwhile, as inputs of their kind and size.

    onnx would copy them to and fro, before 1.18 loses those that lie outside, and knows no type of a weight.
    """
    aside = onnx.GraphProto(initializer=filter(heavy, model.graph.initializer))
    names = weight_names(aside) - {value.name for value in model.graph.input}
    rewritten = rewrite(without_weights(model, heavy))
    keep(rewritten.graph.input, lambda value: value.name not in names)
    rewritten.graph.initializer.extend(aside.initializer)
    return _kept_notes(model, rewritten)


def _kept_notes(model: onnx.ModelProto, other: onnx.ModelProto) -> onnx.ModelProto:
    """*other* with what was noted in *model*."""
    del other.metadata_props[:]
    other.metadata_props.extend(model.metadata_props)
    return other


def _too_new(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Nodes that the graph's own operator set knows, and the oldest target's does not."""
    own = _own_opset(model)
    for node in _nodes(model):
        if node.domain in {"", "ai.onnx"} and not is_known("", node.op_type) and onnx.defs.has(node.op_type, own, ""):
            yield node


def _own_opset(model: onnx.ModelProto) -> int:
    return next((int(opset.version) for opset in model.opset_import if opset.domain in {"", "ai.onnx"}), 1)


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in graphs(model.graph):
        yield from graph.node
