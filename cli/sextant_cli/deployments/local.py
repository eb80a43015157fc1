"""``mlflow deployments run-local``: one model, proven and served on this machine until Ctrl-C."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sextant.errors import MissingExtra
from sextant_cli.deployments.client import TritonDeployments
from sextant_cli.deployments.refusals import in_mlflow_words


@in_mlflow_words
def run_local(name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, Any] | None = None) -> None:
    """
    Deploy *model_uri* as *name* into a store of its own and serve that with the embedded Triton until Ctrl-C.

    The store is gone afterwards. For development only, as everything that Triton is.
    """
    try:
        from sextant_server import EmbeddedTriton
        from sextant_server.serve import serve
    except ImportError as error:
        raise MissingExtra("server", "mlflow deployments run-local") from error
    with tempfile.TemporaryDirectory(prefix="sextant-local-") as folder:
        store = Path(folder) / "store"
        with EmbeddedTriton(store):
            TritonDeployments(f"triton:{store}").create_deployment(name, model_uri, flavor, config)
        serve(store)
