"""Where a server's spans go, and of which requests: Triton's own, and those of the Python processes of its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from sextant.errors import ParametersError

PATH = "/v1/traces"
SERVICE = "triton"
RATE = 0.01

_EXAMPLE = "http://127.0.0.1:4318"
_LARGEST = 2**32 - 1  # what Triton keeps "one in so many" in

# Triton and OpenTelemetry's SDK read these names alike, and what the environment says is stronger. Spans are sent every
# so many milliseconds, soon enough to look at what was just asked; so many may wait, those of seconds at full load; a
# receiver that does not answer is waited for so many seconds, else a server would not end for want of it.
_SENDING = {
    "OTEL_BSP_SCHEDULE_DELAY": "1000",
    "OTEL_BSP_MAX_QUEUE_SIZE": "16384",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2",
}


@dataclass(frozen=True, slots=True)
class Tracing:
    """
    Spans of requests, sent to the OTLP receiver at *url* over HTTP.

    *rate* is the share of requests that are traced, of those whose caller says nothing of a trace: Triton traces one
    in N, so it is 1/N for the nearest N, and at 0 no such request is traced. A request that comes with a
    ``traceparent`` is always traced, as a part of its caller's trace. *service* is the name that spans bear. Raises
    ParametersError for what cannot be meant.

    >>> Tracing("http://127.0.0.1:4318", rate=0.3)
    Tracing(url='http://127.0.0.1:4318/v1/traces', rate=0.3, service='triton')
    >>> Tracing("http://127.0.0.1:4318", rate=0.3).one_in
    3
    """

    url: str
    rate: float = RATE
    service: str = SERVICE

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", receiver(self.url))
        if not 0 <= self.rate <= 1:
            raise ParametersError(f"rate: expected a share of requests, 0 to 1, got {self.rate!r}")
        if not self.service.isascii() or not self.service.isprintable() or not self.service.strip():
            raise ParametersError(f"service: expected a name of ASCII characters, got {self.service!r}")

    def __str__(self) -> str:
        """Where to, and of which requests."""
        share = {0: "requests that callers trace", 1: "every request"}.get(self.one_in, f"one request in {self.one_in}")
        return f"{self.url}, of {share}"

    @property
    def one_in(self) -> int:
        """Triton's own word for the rate: one request in so many is traced; 0 for none."""
        return min(round(1 / self.rate), _LARGEST) if self.rate else 0

    def flags(self) -> Iterator[str]:
        """What Triton is told: one setting a flag."""
        yield "--trace-config=mode=opentelemetry"
        yield "--trace-config=level=TIMESTAMPS"
        yield f"--trace-config=rate={self.one_in}"
        yield f"--trace-config=opentelemetry,url={self.url}"
        yield f"--trace-config=opentelemetry,resource=service.name={self.service}"

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """What the Python processes of models are told, in OpenTelemetry's standard variables, beside their *own*."""
        return {
            **_SENDING,
            **own,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": self.url,
            "OTEL_SERVICE_NAME": self.service,
        }


def receiver(url: str) -> str:
    """
    The address that spans are posted to at *url*; raises ParametersError where it is none.

    >>> receiver("http://collector:4318/")
    'http://collector:4318/v1/traces'
    """
    parts = _split(url)
    if parts is None or parts.query or parts.fragment:
        raise ParametersError(f"expected the URL of an OTLP receiver, such as {_EXAMPLE}, got {url!r}{_guess(url)}")
    if parts.username is not None:
        raise ParametersError(
            f"expected a URL without a password, for everybody on this machine can read it: {parts.hostname}'s goes "
            "into the environment variable OTEL_EXPORTER_OTLP_HEADERS, such as authorization=Bearer%20..."
        )
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(PATH) else path + PATH).geturl()


def _split(url: str) -> SplitResult | None:
    """The parts of *url*; None where it is none of HTTP's, or holds what a command line could not carry."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        return None
    return parts if known and url.isascii() and url.isprintable() and not set(url) & set(" ,\"'") else None


def _guess(url: str) -> str:
    if url.startswith("grpc"):
        return ": Triton sends spans over HTTP, to the port that receivers usually keep for it, 4318"
    if url and "://" not in url:
        return f"; did you mean 'http://{url}'?"
    return ""
