"""Requests of one pipeline, answered by one of two of its releases."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any, ClassVar

from sextant.errors import ParametersError
from sextant.parameters import number, refuse_unknown, whole
from sextant.routing import SERVING, arm, key_of, place


class Route:
    """
    The front of *pipeline* while its release *candidate* is tried beside the one that is *serving*.

    The candidate answers the share *weight* of the requests, those of one caller always or never, and of the others the
    share *shadow* is asked of it too, after they were answered; answers are alike within a relative *tolerance*.
    *trial* numbers the routers of one trial alike; *nonce* tells the processes of one router apart, so that their turns
    are not the same.  It is no step of a pipeline: what it takes and gives is what the
    front does that it stands for.

    >>> route = Route({"pipeline": "locate", "serving": 7, "candidate": 8, "weight": 0.05})
    >>> [i for i in range(60) if route.arm({"route_key": f"caller {i}"}, "") == "candidate"]
    [13, 20, 43, 55]
    >>> route.model("candidate")
    'locate.r8'
    """

    parameters: ClassVar[tuple[str, ...]] = (
        "pipeline",
        "serving",
        "candidate",
        "weight",
        "shadow",
        "tolerance",
        "trial",
    )

    def __init__(self, parameters: Mapping[str, Any], nonce: str = "") -> None:
        refuse_unknown(parameters, self.parameters)
        self._nonce = nonce
        self.pipeline = _name(parameters)
        self.serving, self.candidate = whole(parameters, "serving"), whole(parameters, "candidate")
        self.weight, self.shadow = _share(parameters, "weight"), _share(parameters, "shadow")
        self.tolerance = number(parameters, "tolerance", 1e-5) or 0.0
        self.trial = whole({"trial": parameters.get("trial", 1)}, "trial")
        self._turns = count()

    def arm(self, parameters: Mapping[str, Any], request_id: str) -> str:
        """The arm that answers a request with these parameters and this id."""
        return arm(place(key_of(parameters, request_id, self._turn()), self._salt), self.weight)

    def mirrors(self) -> bool:
        """Whether the next answer is asked of the candidate too."""
        return place(f"mirror {self._turn()}") < self.shadow

    def model(self, arm: str) -> str:
        """The Triton model of *arm*: the ensemble of its release."""
        return f"{self.pipeline}.r{self.serving if arm == SERVING else self.candidate}"

    def _turn(self) -> str:
        return f"{next(self._turns)} of {self._nonce}"

    @property
    def _salt(self) -> str:
        return f"{self.pipeline}.r{self.candidate}"


def _name(parameters: Mapping[str, Any]) -> str:
    name = parameters.get("pipeline")
    if not isinstance(name, str) or not name:
        raise ParametersError(f"pipeline: expected its name, got {name!r}")
    return name


def _share(parameters: Mapping[str, Any], key: str) -> float:
    share = number(parameters, key, 0.0) or 0.0
    if not 0 <= share <= 1:
        raise ParametersError(f"{key}: expected a share from 0 to 1, got {share:g}")
    return share
