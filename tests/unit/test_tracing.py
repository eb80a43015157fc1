"""Where a server's spans go: what is understood, what is refused, and what Triton and its models are told."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from sextant.errors import ParametersError
from sextant_cli.verbs.serve import serve
from sextant_server import Tracing
from sextant_server.tracing import receiver

URL = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (URL, "http://127.0.0.1:4318/v1/traces"),
        (f"{URL}/", "http://127.0.0.1:4318/v1/traces"),
        (f"{URL}/v1/traces", "http://127.0.0.1:4318/v1/traces"),
        ("https://otlp.example/otlp", "https://otlp.example/otlp/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_the_path_of_traces_is_added_where_it_is_missing(given, meant):
    """As OpenTelemetry's own variable for all signals has it."""
    assert receiver(given) == meant


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("127.0.0.1:4318", r"got '127.0.0.1:4318'; did you mean 'http://127.0.0.1:4318'\?"),
        ("grpc://collector:4317", "Triton sends spans over HTTP, to the port that receivers usually keep for it, 4318"),
        ("", "such as http://127.0.0.1:4318, got ''$"),
        ("http://", "got 'http://'"),
        ("ftp://collector", "got 'ftp://collector'"),
        ("http://collector:port", "got 'http://collector:port'"),
        ("http://collector:99999", "got 'http://collector:99999'"),
        ("http://col lector", "got 'http://col lector'"),
        ("http://collector/a,url=http://other", "got 'http://collector/a,url=http://other'"),
        ("http://collector?token=1", "got 'http://collector"),
        ("http://me:secret@collector", "without a password.*OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_what_is_no_receiver_is_refused_with_what_one_looks_like(given, said):
    """Before anything is started."""
    with pytest.raises(ParametersError, match=said) as refused:
        Tracing(given)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("rate", "one_in"), [(1, 1), (0.5, 2), (0.3, 3), (0.01, 100), (1e-12, 2**32 - 1), (0.0, 0), (0.9, 1)]
)
def test_a_share_of_requests_is_one_in_so_many(rate, one_in):
    """Triton knows no other shares; 0 is those alone that callers trace."""
    assert Tracing(URL, rate=rate).one_in == one_in
    assert f"--trace-config=rate={one_in}" in Tracing(URL, rate=rate).flags()


@pytest.mark.parametrize(
    ("rate", "said"), [(1, "every request"), (0.01, "one request in 100"), (0, "requests that callers trace")]
)
def test_it_says_of_which_requests_in_a_line(rate, said):
    """`sextant serve` greets with it."""
    assert str(Tracing(URL, rate=rate)) == f"http://127.0.0.1:4318/v1/traces, of {said}"


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(rate):
    """A percentage, say."""
    with pytest.raises(ParametersError, match="rate: expected a share of requests, 0 to 1, got"):
        Tracing(URL, rate=rate)


@pytest.mark.parametrize("service", ["", " ", "two\nlines", "kiöske"])
def test_a_service_has_a_name(service):
    """Every span bears it."""
    with pytest.raises(ParametersError, match="service: expected a name"):
        Tracing(URL, service=service)


def test_models_processes_are_told_in_opentelemetrys_own_variables():
    """Where to and under which name says the server; how often, the environment if it likes."""
    own = {"OTEL_BSP_SCHEDULE_DELAY": "250", "OTEL_TRACES_EXPORTER": "none", "HOME": "/home/me"}

    told = Tracing(URL, service="shop").environment(own)

    assert told["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "http://127.0.0.1:4318/v1/traces"
    assert (told["OTEL_TRACES_EXPORTER"], told["OTEL_SERVICE_NAME"]) == ("otlp", "shop")
    assert (told["OTEL_BSP_SCHEDULE_DELAY"], told["HOME"]) == ("250", "/home/me")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trace", "127.0.0.1:4318"], "--trace: expected the URL of an OTLP receiver"),
        (["--trace", URL, "--trace-rate", "50"], "--trace-rate"),
        (["--trace-rate", "0.5"], "--trace-rate asks for --trace URL"),
        (["--trace-service", "shop"], "--trace-service asks for --trace URL"),
    ],
)
def test_the_command_refuses_at_once(tmp_path, options, said):
    """As a wrong usage, and nothing was started or made."""
    refused = CliRunner().invoke(serve, ["--store", str(tmp_path / "store"), *options])

    assert refused.exit_code == 2
    assert said in refused.output
    assert not (tmp_path / "store").exists()
