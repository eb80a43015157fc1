"""
MLflow's deployments API for Triton: ``mlflow deployments create -t triton -m models:/x@champion --name x``.

The entry point ``triton`` of ``mlflow.deployments`` is this module: the three names MLflow looks for, and nothing else
that it could take for one of them.
"""

from __future__ import annotations

from sextant_cli.deployments.client import TritonDeployments
from sextant_cli.deployments.help_page import target_help
from sextant_cli.deployments.local import run_local

__all__ = ["TritonDeployments", "run_local", "target_help"]
