"""
Which of two releases answers a request while one is tried, and what its errors are to the caller.

A request lies at one place in [0, 1), the hash of its key, and the candidate's share is [0, weight): whoever is
answered by the candidate stays with it when the weight grows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

SERVING, CANDIDATE, SHADOW = "serving", "candidate", "shadow"
ROUTE_KEY = "route_key"

_BITS = 53
_RESERVED = frozenset({"priority", "timeout", "headers", "binary_data_output"})
_RESERVED_PREFIXES = ("sequence_", "triton_")
# The first row whose words are in an arm's sentence says the code; what a block refuses in any other words was refused.
_CODES = (
    (re.compile(r"not (at )?ready|no available versions|not found|queue size|timeout expired"), "UNAVAILABLE"),
    (
        re.compile(r"broke: |raised |its answer |runtime error|not healthy|[Ff]ailed to |unexpected deadlock"),
        "INTERNAL",
    ),
    (re.compile(r"^in ensemble '|: expected "), "INVALID_ARG"),
)


def place(key: str, salt: str = "") -> float:
    """
    Where *key* lies in [0, 1): evenly spread, and the same on every machine (BLAKE2b, RFC 7693).

    With another *salt* it lies somewhere else, so that not the same callers try every candidate.

    >>> round(place("anna", "locate.r8"), 4), round(place("anna", "locate.r9"), 4)
    (0.7647, 0.8049)
    >>> share = sum(place(f"caller {i}") < 0.05 for i in range(10_000)) / 10_000
    >>> round(share, 3)
    0.051
    """
    digest = blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _BITS)) / (1 << _BITS)


def arm(at: float, weight: float) -> str:
    """
    The arm that answers what lies *at* this place when the candidate has the share *weight*.

    >>> [arm(0.04, weight) for weight in (0.0, 0.05, 0.5)], arm(0.9999, 1.0)
    (['serving', 'candidate', 'candidate'], 'candidate')
    """
    return CANDIDATE if at < weight else SERVING


def other(arm: str) -> str:
    """
    The arm that *arm* is held against.

    >>> other("serving"), other("candidate")
    ('candidate', 'serving')
    """
    return SERVING if arm == CANDIDATE else CANDIDATE


def key_of(parameters: Mapping[str, Any], request_id: str, turn: str) -> str:
    """
    What a request is routed by: its ``route_key``, else its id, else its *turn*, a text that no other request has.

    >>> key_of({"route_key": 17}, "a7", "3"), key_of({}, "a7", "3"), key_of({}, "", "3")
    ('route_key 17', 'id a7', 'turn 3')
    """
    if ROUTE_KEY in parameters:
        return f"{ROUTE_KEY} {parameters[ROUTE_KEY]}"
    return f"id {request_id}" if request_id else f"turn {turn}"


def forwarded(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """
    The parameters of a request that an arm is handed: those that Triton does not keep for itself.

    >>> forwarded({"route_key": "anna", "sequence_id": 3, "timeout": 5, "triton_x": 1})
    {'route_key': 'anna'}
    """
    return {
        name: value
        for name, value in parameters.items()
        if name not in _RESERVED and not name.startswith(_RESERVED_PREFIXES)
    }


def code_of(sentence: str) -> str:
    """
    Triton's code for what an arm says, told by the words: between models Triton 24.10 hands over only the sentence.

    >>> code_of("in ensemble 'locate.r2', features: expected 8 columns, got 7")
    'INVALID_ARG'
    >>> code_of("in ensemble 'locate.r2', locate.fuse broke: KeyError('origin')")
    'INTERNAL'
    """
    return next((code for words, code in _CODES if words.search(sentence)), "INTERNAL")
