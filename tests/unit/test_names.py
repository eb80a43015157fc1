"""A name that stands for several servers is every address it has, looked up when they are wanted."""

from __future__ import annotations

import socket

import pytest

from sextant.errors import AddressRefused, ServerUnreachable
from sextant_cli.fleet import fleet_or_none, servers_of
from sextant_export.settings import ServerSettings, Settings
from sextant_export.settings_problems import settings_problems
from sextant_export.store import Store
from sextant_promote.names import servers_behind

PODS = ServerSettings(
    url="grpc+dns://triton-pods:8001", metrics="http://triton-pods:8002/metrics", token_file="tokens/pods"
)


@pytest.fixture
def addresses(monkeypatch):
    """The addresses that every name has; they may be changed."""
    known = ["10.1.0.9", "10.1.0.7"]

    def lookup(_name, port, *, type):  # noqa: A002  as the system's is called
        return [(socket.AF_INET, type, 0, "", (address, int(port))) for address in known * 2]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return known


def test_a_name_is_every_address_it_has(addresses):
    """Each with its metrics and the name's token, in an order that does not change from look to look."""
    servers = servers_behind(PODS)

    assert [(server.url, server.metrics) for server in servers] == [
        ("grpc://10.1.0.7:8001", "http://10.1.0.7:8002/metrics"),
        ("grpc://10.1.0.9:8001", "http://10.1.0.9:8002/metrics"),
    ]
    assert {server.token_file for server in servers} == {"tokens/pods"}


def test_an_address_of_the_newer_kind_stands_in_brackets(addresses):
    addresses[:] = ["fd00::7"]
    (server,) = servers_behind(PODS)

    assert (server.url, server.metrics) == ("grpc://[fd00::7]:8001", "http://[fd00::7]:8002/metrics")


def test_one_server_is_itself(addresses):
    told = ServerSettings(url="grpc://gpu-1:8001", metrics="http://gpu-1:8002/metrics")

    assert servers_behind(told) == (told,)


def test_the_system_is_asked():
    """``localhost`` has an address on every machine."""
    urls = {server.url for server in servers_behind(ServerSettings(url="grpc+dns://localhost:8001"))}

    assert urls & {"grpc://127.0.0.1:8001", "grpc://[::1]:8001"}


def test_a_name_without_an_address_is_out_of_reach():
    with pytest.raises(ServerUnreachable, match=r"at grpc\+dns://nobody\.invalid:8001: nobody\.invalid has no"):
        servers_behind(ServerSettings(url="grpc+dns://nobody.invalid:8001"))


@pytest.mark.parametrize(
    "url",
    ["grpc+dns://triton-pods", "grpc+dns://", "grpc+dns://a/b:8001", "grpc+dns://a..b:8001", "grpc+dns://a:99999"],
)
def test_what_is_no_name_with_a_port_is_refused(url):
    with pytest.raises(AddressRefused, match=r"write grpc\+dns://name:port"):
        servers_behind(ServerSettings(url=url))


def test_a_name_is_looked_up_at_each_call(addresses, tmp_path):
    """A pod that joined is there at the next look, with the token that was given for all."""
    settings = Settings(servers=(PODS,))
    before = servers_of(Store(tmp_path), (), "given", settings)
    addresses.append("10.1.0.8")
    after = servers_of(Store(tmp_path), (), "given", settings)

    assert (len(before), len(after)) == (2, 3)
    assert {(server.token, server.token_file) for server in after} == {("given", None)}


def test_a_name_may_be_given_by_option(addresses, tmp_path):
    """With what the settings know of it."""
    servers = servers_of(Store(tmp_path), [PODS.url], None, Settings(servers=(PODS,)))

    assert [server.metrics for server in servers] == ["http://10.1.0.7:8002/metrics", "http://10.1.0.9:8002/metrics"]


def test_a_name_that_has_no_address_is_not_taken_for_no_server(tmp_path):
    """`prune` would otherwise take away what a server that cannot be seen just now has loaded."""
    asked = fleet_or_none(Store(tmp_path), ["grpc+dns://nobody.invalid:8001"], None)

    with pytest.raises(ServerUnreachable), asked:
        pass


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"copy": "s3://models/pods"}, "server[0].copy: only of one server, and a name is of several: "),
        (
            {"metrics": "http://gpu-1:8002/metrics"},
            "server[0].metrics: expected triton-pods, the name of the url, as its host, got 'http://gpu-1:8002/metrics'",
        ),
        ({"metrics": "http://[:8002"}, "server[0].metrics: expected triton-pods, the name of the url, as its host, "),
    ],
)
def test_what_cannot_be_of_several_servers_is_refused(more, complaint):
    (problem,) = settings_problems({"server": [{"url": "grpc+dns://triton-pods:8001", **more}]})

    assert str(problem).startswith(complaint)


def test_a_name_with_its_metrics_is_sound():
    table = {"url": PODS.url, "metrics": PODS.metrics, "token_file": "tokens/pods"}

    assert list(settings_problems({"server": [table]})) == []
