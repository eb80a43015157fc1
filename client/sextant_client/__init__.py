"""Ask a Triton: arrays in, named answers out."""

from __future__ import annotations

from .arguments import ask
from .client import AsyncClient, AsyncPipeline, Client, Pipeline
from .metrics import ClientMetrics, PipelineMetrics

__all__ = ["AsyncClient", "AsyncPipeline", "Client", "ClientMetrics", "Pipeline", "PipelineMetrics", "ask"]
