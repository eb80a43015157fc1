"""
What went wrong, in the reader's words: the one place where Triton's statuses become our errors.

A status alone does not say it. Triton answers 503 (UNAVAILABLE over gRPC) for a full queue, a version that is
being unloaded and a server that is stopping, and gRPC itself says UNAVAILABLE where nobody answers. So a row
of the table may ask for words in the sentence, and the first row that fits holds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sextant.errors import (
    AccessDenied,
    CertificateRefused,
    ClientError,
    DeadlineExceeded,
    ModelFailed,
    ModelNotReady,
    RequestRefused,
    ServerBusy,
    ServerUnreachable,
)

from .transport import ModelInfer, Request


class Row(NamedTuple):
    """A gRPC status, the HTTP status Triton gives for the same cause, the words it needs, and our error."""

    grpc: str | None
    http: int | None
    words: str
    error: type[ClientError]


UNTRUSTED = re.compile(
    "certificate_verify_failed|certificate signature failure|hostname verification|peer cert", re.IGNORECASE
)
NETWORK = "status: 50[24]|connect|socket|resolv|reset|pipe|goaway|transport|upstream|closed|stopping"

BY_STATUS = (
    Row("UNAVAILABLE", 403, "is restricted", AccessDenied),
    Row("UNAVAILABLE", 503, "not (at )?ready", ModelNotReady),
    Row("UNAVAILABLE", 503, NETWORK, ServerUnreachable),
    Row("UNAVAILABLE", 503, "", ServerBusy),
    Row("NOT_FOUND", 404, "", ModelNotReady),
    Row("INVALID_ARGUMENT", 400, "", RequestRefused),
    Row("RESOURCE_EXHAUSTED", None, "larger", RequestRefused),
    Row("UNKNOWN", None, "status: 413", RequestRefused),  # a proxy's, as gRPC tells of it
    Row(None, 413, "", RequestRefused),
    Row("RESOURCE_EXHAUSTED", 429, "", ServerBusy),
    Row("DEADLINE_EXCEEDED", 504, "", DeadlineExceeded),
    Row("UNAUTHENTICATED", 401, "", AccessDenied),
    Row("PERMISSION_DENIED", 403, "", AccessDenied),
    Row("CANCELLED", 502, "", ServerUnreachable),
    # Over HTTP Triton turns these two into 400, so there they are refusals.
    Row("ALREADY_EXISTS", None, "", RequestRefused),
    Row("UNKNOWN", None, "", ModelFailed),
    Row("UNIMPLEMENTED", 501, "", ModelFailed),
    Row("INTERNAL", 500, "", ModelFailed),
)

ADVICE = {
    "is restricted": ": give the server's token (--token, SEXTANT_TOKEN; `sextant serve` keeps it in server.json)",
    "unknown model": ": `sextant status` lists what is served",
    "status: 401": ": the proxy asks for a caller's token (token=, --caller-token, SEXTANT_CALLER_TOKEN)",
    "status: 403": ": the proxy does not let callers ask this",
    "status: 413": ": the proxy takes no request as large as this, send fewer rows at once",
}
"""What to do where a sentence of Triton's has these words."""
NOISE = re.compile(r"\[request id: [^\]]*\] | NOTE: Setting a non-zero max_batch_size.*$", re.DOTALL)


def failure(request: Request, status: str | int, sentence: str) -> ClientError:
    """The error for a gRPC status name or an HTTP status number, with Triton's sentence made readable."""
    error = next((row.error for row in BY_STATUS if _fits(row, status, sentence)), ModelFailed)
    return error(_where(request) + _readable(request, sentence) if sentence else f"{request.model}: {status}")


def late(request: Request, timeout_s: float) -> DeadlineExceeded:
    """The error for a reply that did not come within ``timeout_s``."""
    return DeadlineExceeded(f"{_what(request)} did not answer in the {timeout_s:.3g} s it had")


def unreachable(address: str, cause: object) -> ServerUnreachable:
    """The error for an address where nothing answers, or what answers cannot show who it is."""
    if UNTRUSTED.search(str(cause)):
        return CertificateRefused(
            f"{address} shows a certificate that is not believed: name its authority (ca=, --ca, SEXTANT_CA) and write "
            f"the host as the certificate does: {cause}"
        )
    return ServerUnreachable(f"no Triton answers at {address}: {_printable(cause)}")


def _fits(row: Row, status: str | int, sentence: str) -> bool:
    return status in (row.grpc, row.http) and re.search(row.words, sentence, re.IGNORECASE) is not None


def _readable(request: Request, sentence: str) -> str:
    """Without the request's number, the note on max_batch_size, and the name of the pipeline asked; with advice."""
    said = NOISE.sub("", sentence).removeprefix(f"in ensemble '{request.model}', ").strip()
    return said + next((advice for words, advice in ADVICE.items() if words in said), "")


def _where(request: Request) -> str:
    if isinstance(request, ModelInfer) and request.rows:
        return f"rows {request.rows[0]} to {request.rows[1] - 1} of the batch: "
    return ""


def _what(request: Request) -> str:
    return f"model {request.model!r}" if request.model else "the server"


def _printable(cause: object) -> str:
    """What came, without the bytes of another protocol: those of gRPC's port, asked over HTTP."""
    said = str(cause)
    return said if said.isprintable() else "what answers there speaks another protocol (is it the port of grpc://?)"
