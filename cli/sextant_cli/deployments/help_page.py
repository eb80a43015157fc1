"""What ``mlflow deployments help -t triton`` prints."""

from __future__ import annotations

from sextant_cli.deployments.options import OPTIONS

PAGE = """\
Sextant: registered models on NVIDIA Triton, each proven to answer as the original does.

    mlflow deployments create -t triton --name x -m models:/x@champion
    mlflow deployments predict -t triton --name x -I rows.json

Target URI (what it leaves out comes from the settings below)
    triton                          the store and the server of the settings
    triton:/path/to/store           this store, and the server beside it (`sextant serve --store /path/to/store`)
    triton://host:8001              this server's gRPC port
    triton://host:8001/path/to/store

Settings
    MLFLOW_TRACKING_URI             the registry
    SEXTANT_STORE                   the folder with models/ and releases/ (var/store)
    SEXTANT_SERVER, SEXTANT_TOKEN   grpc://host:port, and what opens its model control
    TRITON_MODEL_REPO, TRITON_URL   of NVIDIA's plugin, where the ones above are not set: the model repository, and
                                    the HTTP address of its Triton, whose gRPC port is taken to be the next one
    MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT   seconds that a prediction may take (120)

Model URI
    models:/<name>@<alias>, models:/<name>/<version> or runs:/<run id>/<path>

Options of create, update and run-local, each as -C name=value
{options}
"""


def target_help() -> str:
    """The target's URI, settings and options."""
    width = max(map(len, OPTIONS)) + 2
    lines = (f"    {name:<{width}}{said}" for name, said in OPTIONS.items())
    return PAGE.format(options="\n".join(lines))
