"""
Real registered models, as teams have them: the table of flavours and its test are made of these.

Every one is trained in seconds, on real data, with fixed seeds.
"""

from __future__ import annotations

from . import boosters, estimators, graphs, networks, own_python
from .configuration import Configuration, Fitted

ALL = (
    *estimators.CONFIGURATIONS,
    *boosters.CONFIGURATIONS,
    *networks.CONFIGURATIONS,
    *graphs.CONFIGURATIONS,
    *own_python.CONFIGURATIONS,
)


def named(name: str) -> Configuration:
    """The configuration of that name."""
    return {configuration.name: configuration for configuration in ALL}[name]
