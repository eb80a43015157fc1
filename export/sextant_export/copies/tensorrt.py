"""A registered version as TensorRT plans, and the ONNX graph that servers without a plan for their GPU load instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sextant.errors import ConversionError, ParityError
from sextant.tensors import Tensor
from sextant_export.config import Configs, onnx_config, tensorrt_config
from sextant_export.copies import Copy
from sextant_export.copies.onnx import OnnxCopy
from sextant_export.graph_file import GraphFile
from sextant_export.parity import compare
from sextant_export.pipeline import Serving, TensorRT
from sextant_export.proof import Proof
from sextant_export.signature import Arrays, Feed
from sextant_export.tensorrt import Plan, Unsupported, build, open_library, parse, plans_in, unsupported
from sextant_export.tensorrt.float16 import halved
from sextant_export.tensorrt.gpu import compute_capability
from sextant_export.tensorrt.profile import profile

HALF_TOLERANCE = 1e-2
NAMED = 8
NOT_RUN = "built, not run: a plan runs on a GPU of its kind alone, and is proven there through Triton at promotion"


@dataclass(frozen=True, kw_only=True)
class TensorRTCopy:
    """
    The *plans* of a version by compute capability, and the graph they were built from.

    Where they compute in float16, *half* is the rewritten graph, which ONNX Runtime can run on any machine, and
    *half_proof* what came of asking it.
    """

    graph: GraphFile
    plans: Mapping[str, Plan]
    half: GraphFile | None = None
    tolerance: float | None = None
    half_proof: Proof | None = field(default=None, repr=False)

    kind = "tensorrt"
    converted = True

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes, per row."""
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives, per row."""
        return self.graph.outputs

    def answer(self, feed: Feed) -> Arrays:
        """What ONNX Runtime answers to *feed* with the graph: no plan runs on a CPU."""
        return self.graph.answer(feed)

    def proven(self, feed: Feed, expected: Arrays) -> TensorRTCopy:
        """This, and the proof that its float16 graph answers *expected* to *feed*; ParityError where it does not."""
        if self.half is None:
            return self
        tolerance = self.tolerance or HALF_TOLERANCE
        try:
            return replace(self, half_proof=compare(expected, self.half.answer(feed), tolerance))
        except ParityError as error:
            raise ParityError(
                f"in float16: {error}; state another tensorrt.tolerance, or write float16: false",
                worst=error.worst,
                tolerance=error.tolerance,
            ) from error

    def write(self, directory: Path) -> None:
        """Put ``model.onnx`` and its weights, the plans and their notes into *directory*."""
        self.graph.write(directory)
        for plan in self.plans.values():
            plan.write(directory)

    def configs(self, name: str, serving: Serving, versions: Iterable[int]) -> Configs:
        """Plans for the ``tensorrt`` backend; the graph for servers that were started with the twin's name."""
        known, files = list(versions), {capability: plan.file for capability, plan in self.plans.items()}
        return Configs(
            tensorrt_config(name, self.inputs, self.outputs, serving, known, files),
            onnx_config(name, self.inputs, self.outputs, serving, known),
        )

    def facts(self) -> dict[str, Any]:
        """What the receipt keeps of it."""
        half = self.half_proof
        return {
            **self.graph.facts(),
            "plans": [plan.to_dict() for plan in self.plans.values()],
            "plans_proof": half.to_dict() if half else None,
            "plans_run": NOT_RUN,
        }


def planned(graph: GraphFile, asked: TensorRT, serving: Serving, directory: Path, *, insist: bool = False) -> Copy:
    """
    *graph* as the plans that are *asked* for, their files in the folder *directory*.

    Plans that lie beside the graph already, in a store, are kept. Where TensorRT does not take a node, or the type of
    a tensor, the copy is the graph alone and says why; ConversionError where the spec *insists*, or a plan that should
    be built is not.
    """
    kept = plans_in(graph.path.parent)
    for plan in kept.values():
        _refuse_other(plan, graph, asked, serving)
    here = compute_capability()
    wanted = asked.compute_capabilities or ((here,) if here else tuple(kept))
    missing = tuple(capability for capability in wanted if capability not in kept)
    library = open_library(asked.builder) if missing or not wanted else None
    targets = library.targets(missing) if library else ()
    if library and (refused := unsupported(library, graph.path, (*graph.inputs, *graph.outputs))):
        return _left(graph, refused, insist=insist)
    ranges = profile(graph.inputs, serving, asked)
    half = halved(graph, directory / "float16") if asked.float16 else None
    network = parse(library, (half or graph).path) if library else None
    directory.mkdir(parents=True, exist_ok=True)
    built = (build(network, gpu, ranges, asked, directory, graph.sha256) for gpu in targets) if network else ()
    plans = kept | {plan.compute_capability: plan for plan in built}
    return TensorRTCopy(graph=graph, plans=plans, half=half, tolerance=asked.tolerance)


def _left(graph: GraphFile, refused: Sequence[Unsupported], *, insist: bool) -> OnnxCopy:
    """The graph for ONNX Runtime, with the nodes that were the reason."""
    named = "; ".join(map(str, refused[:NAMED])) + (f"; and {len(refused) - NAMED} more" if refused[NAMED:] else "")
    why = f"TensorRT does not take {named}"
    if insist:
        raise ConversionError(f"{why}: write `target: onnx`, or drop `fallback: false` and ONNX Runtime serves it")
    return OnnxCopy(graph=graph, why=why)


def _refuse_other(plan: Plan, graph: GraphFile, asked: TensorRT, serving: Serving) -> None:
    """A version is written once: plans that are there must be what is asked for."""
    was_asked = {
        "tensorrt.builder": (plan.library, asked.builder),
        "tensorrt.float16": (plan.float16, asked.float16),
        "its graph": (plan.onnx_sha256, graph.sha256),
    }
    other = [f"{what} was {was} and would be {asks}" for what, (was, asks) in was_asked.items() if was != asks]
    if plan.max_batch_size < serving.max_batch_size:
        other.append(f"batches were up to {plan.max_batch_size} rows and would be up to {serving.max_batch_size}")
    if other:
        raise ConversionError(
            f"{plan.path} was built before, and {'; '.join(other)}: a version is written once, so write it as it was, "
            "or register the model again for a new version"
        )
