"""The plugin is what MLflow looks for, and speaks MLflow's words."""

from __future__ import annotations

import inspect

import pytest
from mlflow.deployments.base import BaseDeploymentClient
from mlflow.deployments.plugin_manager import DeploymentPlugins
from mlflow.exceptions import MlflowException

import sextant.errors
from sextant.errors import (
    InputRefused,
    LimitsError,
    MissingExtra,
    ModelStopped,
    ParityError,
    PickleRefused,
    PipelineError,
    SettingsError,
    SextantError,
    TrialFailed,
)
from sextant_cli import deployments
from sextant_cli.deployments.refusals import CODES, code_of, in_mlflow_words

CALLS = [
    name
    for name, _ in inspect.getmembers(BaseDeploymentClient, inspect.isfunction)
    if not name.startswith("_") and name in vars(deployments.TritonDeployments)
]
LEFT_TO_MLFLOW = {"predict_stream"}


def test_mlflow_takes_the_module_for_a_plugin():
    """One client, ``run_local`` and ``target_help``."""
    plugins = DeploymentPlugins()
    plugins.register("triton", "sextant_cli.deployments")

    assert plugins["triton"] is deployments
    assert plugins["triton:/srv/store"] is deployments


@pytest.mark.parametrize("call", CALLS)
def test_a_call_has_mlflows_own_signature(call):
    """The same names in the same order, with the same defaults."""
    ours, theirs = (
        [(p.name, p.default) for p in inspect.signature(getattr(kind, call)).parameters.values()]
        for kind in (deployments.TritonDeployments, BaseDeploymentClient)
    )

    assert ours == theirs


def test_every_call_of_mlflows_is_answered():
    """But for streaming, which MLflow itself refuses."""
    theirs = {name for name, _ in inspect.getmembers(BaseDeploymentClient, inspect.isfunction) if name[0] != "_"}

    assert theirs - set(CALLS) == LEFT_TO_MLFLOW


def test_run_local_has_the_signature_that_mlflow_calls():
    """Without the target, whatever MLflow's documentation says."""
    assert list(inspect.signature(deployments.run_local).parameters) == ["name", "model_uri", "flavor", "config"]


@pytest.mark.parametrize("verb", ["create", "update", "delete"])
def test_an_endpoint_is_no_call_away(verb):
    """It is a server that somebody starts; the sentence says how."""
    client = deployments.TritonDeployments("triton")

    with pytest.raises(MlflowException, match=f"no call can {verb} it: `sextant serve") as refused:
        getattr(client, f"{verb}_endpoint")("blue")

    assert refused.value.error_code == "NOT_IMPLEMENTED"


def test_an_explanation_is_refused_in_a_sentence():
    with pytest.raises(MlflowException, match="explains no answer") as refused:
        deployments.TritonDeployments("triton").explain("x", df=None)

    assert refused.value.error_code == "NOT_IMPLEMENTED"


def test_an_option_is_named_as_it_was_given_not_by_its_place_in_a_page():
    @in_mlflow_words
    def refuse():
        raise PipelineError(("members.model.tolerance: expected a number above 0, got 'low'",))

    with pytest.raises(MlflowException, match=r"(?m)^tolerance: expected"):
        refuse()


def test_a_flavour_without_a_model_is_refused():
    """As MLflow's base class says."""
    with pytest.raises(MlflowException, match="flavor: given without the model URI") as refused:
        deployments.TritonDeployments("triton").update_deployment("x", flavor="onnx")

    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


MADE = {
    PipelineError: lambda: PipelineError(("members: missing",)),
    ParityError: lambda: ParityError("differs", worst=1.0, tolerance=0.1),
    InputRefused: lambda: InputRefused("x", "FP32", "BOOL"),
    MissingExtra: lambda: MissingExtra("server", "run-local"),
    SettingsError: lambda: SettingsError(("registry: expected a text",)),
    LimitsError: lambda: LimitsError(("limits.p95_ms: expected a number",)),
    ModelStopped: lambda: ModelStopped("too far", limit="cpu"),
    PickleRefused: lambda: PickleRefused("a pickle", files=("model.pkl",)),
    TrialFailed: lambda: TrialFailed("taken back", verdict=None),
}
OURS_ALONE = {"SextantError", "CovarianceError", "FusionError", "SurveyError", "ClientError", "ModelFailed"}
OURS_ALONE |= {"LoadTestError", "ExportError", "ServerError", "LaunchRefused", "ServerDied"}


@pytest.mark.parametrize("name", sorted(n for n, v in vars(sextant.errors).items() if isinstance(v, type)))
def test_every_error_keeps_its_sentence_and_gets_a_code(name):
    """What MLflow's callers branch on; what has no code of MLflow's is an internal error, and listed here."""
    kind = getattr(sextant.errors, name)
    error = MADE.get(kind, lambda: kind("the sentence"))()

    @in_mlflow_words
    def call():
        raise error

    with pytest.raises(MlflowException) as refused:
        call()

    assert refused.value.message == str(error)
    assert refused.value.error_code == code_of(error)
    assert (refused.value.error_code == "INTERNAL_ERROR") == (name in OURS_ALONE)


def test_what_is_not_ours_passes():
    """An interrupt is no refusal."""

    @in_mlflow_words
    def call():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call()
    assert all(issubclass(kind, SextantError) for kind, _ in CODES)
