"""A fourth door into a block: the nodes that the compiler writes of it, in ONNX Runtime."""

from __future__ import annotations

import numpy as np

from sextant.blocks import BLOCKS
from sextant.errors import InputRefused
from sextant.tensors import Tensor, triton_type
from sextant_export.difference import comparable
from sextant_export.fusing.graph import FusedGraph, Value
from sextant_export.fusing.rehearsal import texts
from sextant_export.fusing.steps import EXPRESSIONS, obstacle
from sextant_export.onnx_graph.sessions import open_session

REFUSED = "refused"


class GraphDoor:
    """The block of a name, with complete parameters, as a graph that takes tensors like these."""

    def __init__(self, block, parameters, tensors):
        assert obstacle(block, parameters) is None
        graph, declared = FusedGraph(), BLOCKS[block](parameters)
        self.block = declared
        inputs = {name: Value(graph, name, array.dtype) for name, array in tensors.items()}
        written = EXPRESSIONS[block].write(parameters, inputs)
        outputs = dict(written.outputs) | ({} if written.refused is None else {REFUSED: written.refused})
        dims = {tensor.name: tensor.dims for tensor in declared.outputs} | {REFUSED: (1,)}
        taken = [Tensor(name, triton_type(array.dtype), array.shape[1:]) for name, array in tensors.items()]
        self.session = open_session(graph.finished(taken, outputs, dims))

    def ask(self, tensors):
        """The outputs by name, and which rows are refused."""
        answers = self.session.run(None, {name: texts(array) for name, array in tensors.items()})
        given = dict(zip([output.name for output in self.session.get_outputs()], answers, strict=True))
        rows = len(next(iter(tensors.values())))
        return given, given.pop(REFUSED, np.zeros((rows, 1), bool))[:, 0]

    def differences(self, tensors):
        """The largest difference of each output from the block's; both must refuse the same rows."""
        given, refused = self.ask(tensors)
        assert refused.tolist() == self.refused_by_block(tensors)
        kept = ~refused
        expected = self.block(**{name: array[kept] for name, array in tensors.items()})
        assert given.keys() == expected.keys()
        return {name: _difference(expected[name], given[name][kept]) for name in expected}

    def refused_by_block(self, tensors):
        """For each row whether the block refuses it."""
        return [self._refuses({name: array[[i]] for name, array in tensors.items()}) for i in range(_rows(tensors))]

    def _refuses(self, row):
        try:
            self.block(**row)
        except InputRefused:
            return True
        return False


def asked(block, parameters, tensors):
    """The differences between the block and its nodes."""
    return GraphDoor(block, parameters, tensors).differences(tensors)


def text(words):
    """Rows of one word each, as Triton gives them."""
    column = np.empty((len(words), 1), dtype=object)
    column[:, 0] = [word.encode() for word in words]
    return column


def _rows(tensors):
    return len(next(iter(tensors.values())))


def _difference(expected, given):
    assert expected.shape == given.shape
    assert expected.dtype in {given.dtype, np.dtype(object)}
    if expected.dtype.kind == "f":
        return float(np.abs(expected - given).max(initial=0.0))
    return int((comparable(expected) != comparable(given)).sum())
