"""
What stands in the repository for a release, and the front that is wired to it.

Triton's response cache looks answers up by model, version and bytes alone, so where it stands decides whether it may be
trusted. It stands on an ensemble of its own, between the front and the steps of one release. Its name holds what the
release is made from, so that no other release, of this store or of another with which it shares a cache, can meet its
answers. The front asks it for all outputs, whatever callers ask the front for: an answer that was cached is whole. The
release under its own name, which gates and canaries ask, has no cache: they measure what it computes.
"""

from __future__ import annotations

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import StoreError
from sextant_export.config import Configs
from sextant_export.joining import merged
from sextant_export.journal import pruned
from sextant_export.receipt import Receipt
from sextant_export.store import Store


def place_again(store: Store, receipt: Receipt) -> None:
    """
    Put the ensembles of a release made before back in the store, its versions and settings with them.

    ``StoreError`` before anything is written where the release was pruned.
    """
    refuse_pruned(store, receipt)
    for model, version in receipt.models:
        store.widen(model, version)
        present, texts = store.twins(model), receipt.configs.get(model)
        if present is not None and texts:
            own = Configs(*(text_format.Parse(text, ModelConfig()) for text in texts))
            store.write_configs(merged(present, own, version))
    write_release(store, receipt)


def refuse_pruned(store: Store, receipt: Receipt) -> None:
    """Raise ``StoreError``, with the way to make it again, where the release was pruned."""
    if receipt.release not in pruned(store, receipt.pipeline):
        return
    members = " and ".join(f"{member['model']} version {member['version']}" for member in receipt.members.values())
    raise StoreError(
        f"r{receipt.release} of {receipt.pipeline} was pruned, so its files are no longer in the store: point its "
        f"members at {members} and run `sextant promote`, which makes it again under another number, or roll back to a "
        f"release that `sextant history {receipt.pipeline}` does not call pruned"
    )


def write_release(store: Store, receipt: Receipt) -> None:
    """Put what is wired to the models of a release, which are all in *store*, in its place."""
    for config in release_configs(receipt):
        store.write_ensemble(config)


def release_configs(receipt: Receipt) -> tuple[ModelConfig, ...]:
    """The ensemble of *receipt*'s release under its own name, and where answers are cached, the one that does so."""
    own, *cached = (front_of(ensemble_of(receipt), name) for name in receipt.ensembles)
    for config in cached:
        config.response_cache.enable = True
    return (own, *cached)


def front_config(receipt: Receipt) -> ModelConfig:
    """The public front of the pipeline, wired to the release of *receipt*: to its steps, or to its cached answers."""
    front = front_of(ensemble_of(receipt), receipt.pipeline)
    return _handing_on(front, receipt.ensembles[-1]) if receipt.cached else front


def ensemble_of(receipt: Receipt) -> ModelConfig:
    """The steps of *receipt*'s release, as they were wired."""
    return text_format.Parse(receipt.ensemble, ModelConfig())


def front_of(ensemble: ModelConfig, pipeline: str) -> ModelConfig:
    """The *ensemble* of a release under its *pipeline*'s own name."""
    front = ModelConfig()
    front.CopyFrom(ensemble)
    front.name = pipeline
    return front


def _handing_on(front: ModelConfig, model: str) -> ModelConfig:
    """*front* with one step: all it is given to *model*, all its outputs from there."""
    inputs, outputs = ({tensor.name: tensor.name for tensor in side} for side in (front.input, front.output))
    front.ClearField("ensemble_scheduling")
    front.ensemble_scheduling.step.add(model_name=model, model_version=1, input_map=inputs, output_map=outputs)
    return front
