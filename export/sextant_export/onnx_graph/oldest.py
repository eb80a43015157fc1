"""What the oldest ONNX Runtime loads: 1.19, inside Triton 24.10; read from its own tables of operators."""

from __future__ import annotations

from collections.abc import Mapping

RUNTIME = "ONNX Runtime 1.19"
NEWEST_IR = 10
NEWEST_OPSETS: Mapping[str, int] = {"": 21, "ai.onnx.ml": 5, "com.microsoft": 1}

# In those operator sets, and without a kernel.
ABSENT = frozenset({("", "DeformConv"), ("", "ImageDecoder"), ("ai.onnx.ml", "TreeEnsemble")})

# Its own operators, from before ``com.microsoft``.
_UNLISTED = "Affine Crop DynamicSlice ImageScaler ParametricSoftplus Scale ScaledTanh SimplifiedLayerNormalization"
UNLISTED = frozenset(_UNLISTED.split())

_MICROSOFT = """
Attention AttnLSTM BeamSearch BiasGelu BifurcationDetector CDist ConvTransposeWithDynamicPads CropAndResize
DequantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul EmbedLayerNormalization ExpandDims FastGelu FusedConv
FusedGemm FusedMatMul GatherND Gelu GreedySearch GridSample GroupQueryAttention Inverse MatMulBnb4 MatMulFpQ4
MatMulInteger16 MatMulIntegerToFloat MatMulNBits MaxpoolWithMask MultiHeadAttention MurmurHash3 NGramRepeatBlock
NhwcMaxPool Pad QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv
QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear
QuickGelu Range RotaryEmbedding SampleOp Sampling SkipLayerNormalization SkipSimplifiedLayerNormalization
SparseAttention SparseToDenseMatMul Tokenizer TransposeMatMul Trilu Unique WhisperBeamSearch WordConvEmbedding
"""
MICROSOFT = frozenset(_MICROSOFT.split())
