"""The client that MLflow makes for the target ``triton``: its calls, over the functions that ``sextant`` calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mlflow
import pandas as pd
from mlflow.deployments.base import BaseDeploymentClient
from mlflow.environment_variables import MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT

from sextant.errors import PromoteError, ServerUnreachable
from sextant_cli.deployments.asking import Predictions, predictions, question
from sextant_cli.deployments.description import READY, UNAVAILABLE, brief, deployments, flavor_of, single_numbers, whole
from sextant_cli.deployments.narrator import Log
from sextant_cli.deployments.options import (
    changed_page,
    expected_version,
    is_deployment,
    new_page,
    refuse_options,
)
from sextant_cli.deployments.refusals import Refusal, in_mlflow_words, refusal
from sextant_cli.deployments.target import Target, find_target
from sextant_cli.options import tracking
from sextant_client import Client
from sextant_export.pipeline import Pipeline
from sextant_export.problem import guess, is_name
from sextant_export.receipt import read_receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_promote.removal import remove

ABSENT, INVALID = "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"


class TritonDeployments(BaseDeploymentClient):  # type: ignore[misc]  # MLflow has no types
    """
    Deployments on the Triton that serves a Sextant store; ``mlflow deployments help -t triton`` says how it is named.

    A deployment is a pipeline of one member, promoted: proven against the original, pinned to its registered version,
    replaced without dropping a request. Every call raises ``MlflowException`` with one sentence.
    """

    @in_mlflow_words
    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Serve the registered version that *model_uri* means as *name*; returns once it answers."""
        page = new_page(name, model_uri, flavor, config or {})
        with self._server(endpoint) as (store, control):
            if store.config(name) is not None or control.ready().get(name):
                said = f"{name!r} is served from {store.root} already: update it, or delete it first"
                raise refusal("RESOURCE_ALREADY_EXISTS", said)
            return self._promote(store, control, page, config or {})

    @in_mlflow_words
    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """
        Serve another model, flavour or configuration as *name*; what is not given stays as it was.

        Without any of them the model URI is looked up again: an alias that moved is followed.
        """
        if flavor and model_uri is None:
            raise refusal(INVALID, "flavor: given without the model URI that it is a flavour of")
        with self._server(endpoint) as (store, control):
            page = _page(store, name)
            return self._promote(store, control, changed_page(page, model_uri, flavor, config or {}), config or {})

    @in_mlflow_words
    def delete_deployment(
        self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None
    ) -> None:
        """Stop serving *name*, and take from the store what only it used; deleting twice is no error."""
        refuse_options(config, "delete")
        with self._server(endpoint) as (store, control):
            remove(store, name, control, _registry())

    @in_mlflow_words
    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Every deployment of the store, with its state on the server."""
        with self._looking(endpoint) as (store, control):
            return [brief(store, control, name) for name in deployments(store)]

    @in_mlflow_words
    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """The deployment *name* with its members, their versions, proofs and gates."""
        with self._looking(endpoint) as (store, control):
            _require(store, name)
            return whole(store, control, name)

    @in_mlflow_words
    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> Predictions:
        """
        What the deployment answers to *inputs*: a DataFrame, an array, or tensors by name.

        Ends within ``MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT`` seconds. An endpoint alone is enough where it has one
        deployment.
        """
        target, (value, word) = self._target(endpoint), question(inputs)
        name = deployment_name or _only(target.store)
        with Client(target.server[0], timeout_s=MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT.get()) as client:
            answer = _asked(client.pipeline(name), value)
        return predictions(answer, word, single_numbers(target.store, name))

    @in_mlflow_words
    def explain(self, deployment_name: str | None = None, df: Any = None, endpoint: str | None = None) -> Any:  # noqa: ARG002  MLflow's words
        """Refuse: an answer is all that a served copy gives."""
        raise refusal(
            "NOT_IMPLEMENTED", "a Triton explains no answer: ask an explainer of the registered model instead"
        )

    @in_mlflow_words
    def list_endpoints(self) -> list[dict[str, Any]]:
        """The one endpoint that a target has: its Triton."""
        return [self.get_endpoint(self._target().server[0])]

    @in_mlflow_words
    def get_endpoint(self, endpoint: str) -> dict[str, Any]:
        """The Triton at the gRPC URL *endpoint*, its store, and what it serves."""
        with self._looking(endpoint) as (store, control):
            state = READY if control is not None else UNAVAILABLE
            return {"name": endpoint, "state": state, "store": str(store.root), "deployments": deployments(store)}

    @in_mlflow_words
    def create_endpoint(self, name: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:  # noqa: ARG002  MLflow's words
        """Refuse: a Triton is started, not created by a call."""
        raise _not_by_call("create")

    @in_mlflow_words
    def update_endpoint(self, endpoint: str, config: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002  MLflow's words
        """Refuse, as :meth:`create_endpoint` does."""
        raise _not_by_call("update")

    @in_mlflow_words
    def delete_endpoint(self, endpoint: str) -> None:  # noqa: ARG002  MLflow's words
        """Refuse, as :meth:`create_endpoint` does."""
        raise _not_by_call("delete")

    def _target(self, endpoint: str | None = None) -> Target:
        target = find_target(self.target_uri)
        if endpoint is not None and endpoint != target.server[0]:
            raise refusal(ABSENT, f"endpoint {endpoint!r}: this target has one, {target.server[0]}")
        return target

    @contextmanager
    def _server(self, endpoint: str | None) -> Iterator[tuple[Store, Control]]:
        """The store and its Triton."""
        target = self._target(endpoint)
        with Control(*target.server) as control:
            control.require_live()
            yield target.store, control

    @contextmanager
    def _looking(self, endpoint: str | None) -> Iterator[tuple[Store, Control | None]]:
        """The store and its Triton, or None where nothing is known to serve it."""
        target = self._target(endpoint)
        try:
            url, token = target.server
        except ServerUnreachable:
            yield target.store, None
            return
        with Control(url, token) as control:
            control.require_live()
            yield target.store, control

    def _promote(
        self, store: Store, control: Control, page: Mapping[str, Any], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        pipeline = Pipeline.from_mapping(page)
        registry = _registry()
        _require_version(registry, pipeline, expected_version(config))
        receipt = promote(pipeline, store, registry, control, Log()).receipt
        return {**brief(store, control, pipeline.name), "flavor": flavor_of(receipt)}


def _asked(ask: Any, value: Any) -> Any:
    """A table's answer may be a table; all else is arrays by name."""
    if isinstance(value, pd.DataFrame):
        return ask(value)
    return ask.tensors(**value) if isinstance(value, Mapping) else ask.tensors(value)


def _page(store: Store, name: str) -> Mapping[str, Any]:
    """The page that *name* was deployed with; refused where it is a pipeline that somebody else's page describes."""
    page = read_receipt(store, name, _require(store, name)).spec
    if not is_deployment(page):
        raise PromoteError(
            f"{name!r} is a pipeline with a page of its own: change the page, and run `sextant promote` on it"
        )
    return page


def _require(store: Store, name: str) -> int:
    release = store.served_release(name) if is_name(name) else None
    if release is None:
        said = guess(name, deployments(store)) or f"; {store.root} serves nothing"
        raise refusal(ABSENT, f"there is no deployment {name!r}{said}")
    return release


def _only(store: Store) -> str:
    """The one deployment of the endpoint."""
    names = deployments(store)
    if len(names) != 1:
        raise refusal(INVALID, f"which deployment? the endpoint has {', '.join(names) or 'none'}")
    return names[0]


def _registry() -> Registry:
    return Registry(tracking(mlflow.get_registry_uri()))


def _require_version(registry: Registry, pipeline: Pipeline, expected: int | None) -> None:
    """The option ``version``: a Triton version is the registered one."""
    for member in pipeline.members.values() if expected is not None else ():
        found = registry.resolve(member.uri)
        if found.version != expected:
            said = f"{member.uri} is version {found.version}, and Triton's version is the registered one"
            raise refusal(INVALID, f"version: expected {expected}, and {said}")


def _not_by_call(verb: str) -> Refusal:
    return refusal(
        "NOT_IMPLEMENTED",
        f"an endpoint is the Triton that serves a store, so no call can {verb} it: `sextant serve --store ...` or your "
        "cluster does; the target URI names it",
    )
