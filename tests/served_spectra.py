"""Spectral blocks, and their graphs, as models of a store; and how far apart two kinds of windows are in energy."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from tritonclient.grpc import InferenceServerClient

from mode_s import RATE_HZ
from served_blocks import infer
from sextant.blocks import BLOCKS
from sextant_export import shells
from sextant_export.config import block_config, onnx_config, write_config
from sextant_export.fusing import spectrum_graph
from sextant_export.fusing.graph import FusedGraph, Value
from sextant_export.pipeline import Serving

WINDOW = 256
WHOLE_SHORT_FRAME = 128
"""A window counts as holding a frame where at least as many of its samples are a clean one's as the shortest has."""

AIRCRAFT = {"sample_rate_hz": RATE_HZ, "samples": WINDOW, "signal": "iq", "n_fft": 64, "hop": 32, "top_db": None}
BLOCKS_FOR_AIRCRAFT = {
    "spectrum": AIRCRAFT,
    "log_mel": {**AIRCRAFT, "n_mels": 12, "mel_scale": "linear"},
}


def graph_of(block, parameters):
    """The ONNX graph of *block*, which also answers the rows it would refuse."""
    made, graph = BLOCKS[block](parameters), FusedGraph()
    write = {"log_mel": spectrum_graph.write_log_mel, "spectrum": spectrum_graph.write_spectrum}[block]
    step = write(parameters, {"signal": Value(graph, "signal", np.float32)})
    outputs = {block: step.outputs[block], "refused": step.refused}
    return graph.finished(made.inputs, outputs, {block: made.outputs[0].dims, "refused": (1,)})


def mel_weight_matrix(n_mels, n_fft, rate_hz):
    """The bank ``(bins, bands)`` of ONNX's own operator up to half the sample rate."""
    whole = {"n_mels": n_mels, "n_fft": n_fft, "rate_hz": rate_hz}
    weights = [onnx.numpy_helper.from_array(np.array(value, np.int64), name) for name, value in whole.items()]
    edges = {"fmin_hz": 0, "fmax_hz": rate_hz / 2}
    weights += [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in edges.items()]
    node = onnx.helper.make_node("MelWeightMatrix", [*whole, *edges], ["matrix"])
    matrix = onnx.helper.make_tensor_value_info("matrix", onnx.TensorProto.FLOAT, [n_fft // 2 + 1, n_mels])
    graph = onnx.helper.make_graph([node], "mel", [], [matrix], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {})[0]


def write_block(models, name, block, parameters):
    """The Triton model *name*: *block* with its complete parameters, as a release writes it."""
    settled = BLOCKS[block].settled(parameters, ())
    place = models / name / "1"
    shells.write_block(block, settled, place)
    write_config(block_config(name, BLOCKS[block](settled), Serving(), [1]), models / name / "config.pbtxt")
    return place


def write_graph(models, name, block, parameters):
    """The Triton model *name*: the graph of *block*, without what it says of refused rows."""
    made = BLOCKS[block](parameters)
    place = models / name / "1"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(graph_of(block, parameters).SerializeToString())
    write_config(onnx_config(name, made.inputs, made.outputs, Serving(), [1]), models / name / "config.pbtxt")


def ask(address, model, signal, rows=64):
    """The first output for *signal*, asked *rows* at a time; RefusedError has the sentence of a refusal."""
    with connected(address) as client:
        return np.concatenate([first(client, model, signal[i : i + rows]) for i in range(0, len(signal), rows)])


def connected(address):
    """A client of the Triton at *address*."""
    return InferenceServerClient(address.removeprefix("grpc://"))


def first(client, model, signal):
    """The first output of one request."""
    return next(iter(infer(client, model, {"signal": np.ascontiguousarray(signal)}).values()))


def windows_of(iq, frames):
    """Windows ``(n, WINDOW, 2)``, and of each how many of its samples are those of a clean frame."""
    whole = len(iq) // WINDOW
    inside = np.zeros(len(iq), np.int64)
    for frame in frames:
        inside[frame.start : frame.end] = 1
    return iq[: whole * WINDOW].reshape(whole, WINDOW, 2), inside[: whole * WINDOW].reshape(whole, WINDOW).sum(axis=1)


def energy_db(spectra):
    """The energy of each window, from its log spectra ``(n, bands, frames)``."""
    return 10 * np.log10(np.sum(10 ** (spectra.astype(np.float64) / 10), axis=(1, 2)))


def area_under_curve(positive, negative):
    """The probability that one of *positive* is above one of *negative*, ties counting half."""
    both = np.concatenate([positive, negative])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / len(positive) / len(negative))
