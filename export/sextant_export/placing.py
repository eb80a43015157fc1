"""A release that was made before, put in its place again, and the front that is wired to it."""

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
    Put the ensemble of a release made before back in the store, its versions and settings with it.

    ``StoreError`` before anything is written where the release was pruned.
    """
    refuse_pruned(store, receipt)
    for model, version in receipt.models:
        store.widen(model, version)
        present, texts = store.twins(model), receipt.configs.get(model)
        if present is not None and texts:
            own = Configs(*(text_format.Parse(text, ModelConfig()) for text in texts))
            store.write_configs(merged(present, own, version))
    store.write_ensemble(text_format.Parse(receipt.ensemble, ModelConfig()))


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


def front_config(receipt: Receipt) -> ModelConfig:
    """The public front of the pipeline, wired to the release of *receipt*."""
    return front_of(text_format.Parse(receipt.ensemble, ModelConfig()), receipt.pipeline)


def front_of(ensemble: ModelConfig, pipeline: str) -> ModelConfig:
    """The *ensemble* of a release under its *pipeline*'s own name."""
    front = ModelConfig()
    front.CopyFrom(ensemble)
    front.name = pipeline
    return front
