"""Registered models: which version a URI means, its files, and what the original answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sextant.errors import RegistryError
from sextant_export.mlflow_calls import mlflow_calls, quiet_mlflow
from sextant_export.model_uri import ModelUri
from sextant_export.problem import guess, is_name
from sextant_export.signature import Signature
from sextant_export.store import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """One version of a registered model, as the registry describes it; *flavors* as in its MLmodel file."""

    name: str
    version: int
    run_id: str | None
    source: str
    flavors: Mapping[str, Mapping[str, Any]] = field(repr=False)
    signature: Signature | None

    def __str__(self) -> str:
        """The URI that means this version for ever."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The files of one version, here: *digest* is SHA-256 over their names and bytes."""

    version: RegisteredVersion
    path: Path
    digest: str

    @property
    def flavors(self) -> Mapping[str, Mapping[str, Any]]:
        """The flavours it was saved in, with what MLflow says of each."""
        return self.version.flavors

    @property
    def signature(self) -> Signature | None:
        """What it takes and gives; None where it was logged without."""
        return self.version.signature


@dataclass(frozen=True, slots=True)
class Registry:
    """The MLflow registry at *tracking_uri*; nothing here writes to it."""

    tracking_uri: str

    def resolve(self, uri: ModelUri | str) -> RegisteredVersion:
        """The version that *uri* means today; RegistryError says what there is instead."""
        parsed = parsed_uri(uri)
        with mlflow_calls(self.tracking_uri) as mlflow:
            client = mlflow.MlflowClient(self.tracking_uri, registry_uri=self.tracking_uri)
            found = _of_run(client, parsed) if parsed.run_id else _of_name(client, parsed)
            _refuse_unsafe(found.name)
            source = client.get_model_version_download_uri(found.name, found.version)
            with TemporaryDirectory() as directory:  # MLflow would leave what it fetches where nobody clears it away
                described = mlflow.models.Model.load(self._download(mlflow, f"{source}/MLmodel", Path(directory)))
        return RegisteredVersion(
            name=found.name,
            version=int(found.version),
            run_id=found.run_id or None,
            source=source,
            flavors=described.flavors,
            signature=_signature(found, described.signature),
        )

    def fetch(self, version: RegisteredVersion, directory: Path) -> Artifact:
        """The files of *version*, downloaded into the folder *directory*."""
        with mlflow_calls(self.tracking_uri) as mlflow:
            path = Path(self._download(mlflow, version.source, directory))
        return Artifact(version=version, path=path, digest=digest(path))

    def _download(self, mlflow: Any, source: str, directory: Path) -> str:
        return str(
            mlflow.artifacts.download_artifacts(
                artifact_uri=source,
                dst_path=str(directory),
                tracking_uri=self.tracking_uri,
                registry_uri=self.tracking_uri,
            )
        )


def input_example(artifact: Artifact) -> Any | None:
    """The logged input example of *artifact*, as it was logged, or None where there is none."""
    with quiet_mlflow() as mlflow:
        try:
            return mlflow.models.Model.load(str(artifact.path)).load_input_example(str(artifact.path))
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise RegistryError(f"{artifact.version}: its logged input example cannot be read: {said}") from error


def parsed_uri(uri: ModelUri | str) -> ModelUri:
    """The parts of *uri*; RegistryError says which forms there are."""
    try:
        return uri if isinstance(uri, ModelUri) else ModelUri.parse(uri)
    except ValueError as error:
        raise RegistryError(str(error)) from error


def _of_name(client: Any, uri: ModelUri) -> Any:
    from mlflow.exceptions import MlflowException

    model = _registered_model(client, uri)
    version = uri.version if uri.version is not None else model.aliases.get(uri.alias)
    if version is None:
        said = guess(uri.alias, model.aliases) or "; it has no alias"
        raise RegistryError(f"{uri}: {model.name} has no alias {uri.alias!r}{said}")
    try:
        return client.get_model_version(model.name, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        found = client.search_model_versions(f"name='{model.name}'")
        there = ", ".join(map(str, sorted(int(candidate.version) for candidate in found))) or "none"
        raise RegistryError(f"{uri}: {model.name} has no version {version}; versions: {there}") from error


def _registered_model(client: Any, uri: ModelUri) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(uri.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        there = [model.name for model in client.search_registered_models(max_results=100)]
        said = guess(uri.name, there) or "; the registry is empty"
        raise RegistryError(f"{uri}: no registered model {uri.name!r}{said}") from error


def _of_run(client: Any, uri: ModelUri) -> Any:
    """A Triton version is a registered version, so a run counts once exactly one version was made from it."""
    found = client.search_model_versions(f"run_id='{uri.run_id}'")
    if len(found) == 1:
        return found[0]
    if found:
        there = " or ".join(sorted(f"models:/{version.name}/{version.version}" for version in found))
        raise RegistryError(f"{uri}: several versions were registered from this run; write {there}")
    _require_run(client, uri)
    raise RegistryError(f"{uri}: not registered yet: mlflow.register_model('{uri}', '<name>') gives it a version")


def _require_run(client: Any, uri: ModelUri) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(uri.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise RegistryError(
            f"{uri}: the registry has no run {uri.run_id!r}: look it up in MLflow's list of runs"
        ) from error


def _refuse_unsafe(name: str) -> None:
    """The model's name becomes a folder and a word on Triton's command lines."""
    if not is_name(name):
        raise RegistryError(f"the registered model {name!r} cannot be a Triton model: letters, digits and . _ - only")


def _signature(found: Any, signature: Any) -> Signature | None:
    """None where none was logged: an ONNX graph says itself what it takes."""
    if signature is None or signature.inputs is None:
        return None
    try:
        return Signature.of(signature)
    except ValueError as error:
        raise RegistryError(f"models:/{found.name}/{found.version}: {error}") from error
