from __future__ import annotations

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.registry import Artifact
from sextant_export.signature import Signature


def network_inputs(artifact: Artifact, signature: Signature | None) -> tuple[Tensor, ...]:
    """The tensors that a neural network with *signature* takes: one matrix of a table, else the tensors it names."""
    if signature is None:
        said = "log it with signature=mlflow.models.infer_signature(inputs, outputs)"
        raise ConversionError(f"{artifact.version}: it was logged without a signature: {said}")
    tensors = signature.tensors
    if signature.form == "columns":
        tensors = (signature.matrix,) if signature.matrix else tensors
    for tensor in tensors:
        if tensor.dtype == "BYTES" or (signature.form == "columns" and not signature.matrix):
            raise ConversionError(
                f"{artifact.version}: its input {tensor.name!r} is no number; a network takes numbers"
            )
    return tensors
