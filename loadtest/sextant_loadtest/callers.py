"""The classes of users that there are, one for each kind of answer and protocol, by which limits are written."""

from __future__ import annotations

PROTOCOLS = ("grpc", "http")
KINDS = ("position", "label", "record", "tensors")


def class_of(kind: str, protocol: str) -> str:
    """
    What users are called that ask a pipeline of this *kind* over this *protocol*.

    >>> class_of("position", "grpc")
    'PositionOverGrpc'
    """
    return f"{kind.capitalize()}Over{protocol.capitalize()}"


def protocol_of(url: str) -> str:
    """
    What is spoken at *url*, with TLS or without.

    >>> protocol_of("https://models.example"), protocol_of("grpc://127.0.0.1:8001")
    ('http', 'grpc')
    """
    return url.partition(":")[0].removesuffix("s")


CLASSES = tuple(class_of(kind, protocol) for kind in KINDS for protocol in PROTOCOLS)
