"""
``python -m sextant_cli.deployments.publish``: a Triton model folder into the MLflow registry, as flavour ``triton``.

The words are those of the script ``publish_model_to_mlflow.py`` that comes with NVIDIA's plugin.
"""

from __future__ import annotations

import click
import mlflow

from sextant_export.converters import triton_flavor


@click.command()
@click.option("--model_name", help="The registered model that becomes a version; without it the model is only logged.")
@click.option(
    "--model_directory",
    type=click.Path(exists=True, file_okay=False, readable=True),
    required=True,
    help="The model's folder, as a Triton model repository has it: config.pbtxt and 1/model.onnx.",
)
@click.option(
    "--flavor", type=click.Choice([triton_flavor.FLAVOR_NAME]), required=True, help="The flavour to log it in."
)
def publish(model_name: str | None, model_directory: str, flavor: str) -> None:
    """Log a Triton model folder to MLFLOW_TRACKING_URI and print where it lies."""
    with mlflow.start_run():
        triton_flavor.log_model(model_directory, artifact_path=flavor, registered_model_name=model_name)
        click.echo(mlflow.get_artifact_uri())


if __name__ == "__main__":
    publish()
