"""What routers counted, read from metrics pages as Triton writes them."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sextant.errors import AddressRefused, ServerUnreachable
from sextant_promote.canary.observations import ArmCounts, Observed, Totals, observe

PAGE = """# HELP sextant_route_requests Requests that this release was asked
# TYPE sextant_route_requests counter
sextant_route_requests{arm="candidate",pipeline="locate",release="8",trial="20"} 5
sextant_route_requests{arm="serving",pipeline="locate",release="7",trial="20"} 95
sextant_route_requests{arm="serving",pipeline="locate",release="7",trial="10"} 1000
sextant_route_requests{arm="serving",pipeline="other",release="7",trial="30"} 400
sextant_route_errors{arm="candidate",pipeline="locate",release="8",trial="20"} 1
sextant_route_latency_ms_count{arm="candidate",pipeline="locate",release="8",trial="20"} 4
sextant_route_latency_ms_sum{arm="candidate",pipeline="locate",release="8",trial="20"} 7.25
sextant_route_latency_ms_bucket{arm="candidate",pipeline="locate",release="8",trial="20",le="1.5"} 3
sextant_route_latency_ms_bucket{arm="candidate",pipeline="locate",release="8",trial="20",le="12288"} 4
sextant_route_latency_ms_bucket{arm="candidate",pipeline="locate",release="8",trial="20",le="+Inf"} 4
sextant_route_shadow_compared{arm="shadow",pipeline="locate",release="8",trial="20"} 9
sextant_route_shadow_differing{arm="shadow",pipeline="locate",release="8",trial="20"} 2
sextant_route_requests{arm="shadow",pipeline="locate",release="8",trial="20"} 9
sextant_route_errors{arm="shadow",pipeline="locate",release="8",trial="20"} 1
sextant_route_refused{arm="candidate",pipeline="locate",release="8",trial="20"} 3
nv_inference_count{model="locate",version="1"} 1.5e+06
nv_inference_request_failure{model="locate",reason="BACKEND",version="1"} 70
nv_inference_request_failure{model="locate",reason="BACKEND",version="20"} 2
nv_inference_request_failure{model="locate",reason="BACKEND",version="25"} 1
nv_inference_request_failure{model="locate",reason="CANCELED",version="25"} 8
nv_inference_request_failure{model="locate.r8",reason="BACKEND",version="30"} 9
"""


@contextmanager
def page(*texts, status=200):
    """The address of a metrics page: what it says at each look."""
    looks = iter(texts)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(next(looks).encode())

        def log_message(self, *_arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()


def test_the_latest_trial_of_the_pipeline_is_counted():
    with page(PAGE) as url:
        (observed,) = observe([url], "locate")

    assert observed == Observed(
        serving=ArmCounts(requests=95, errors=0, within={}),
        candidate=ArmCounts(requests=5, errors=1, within={1.5: 3, 12288: 4, math.inf: 4}),
        compared=9,
        differing=2,
        shadow=ArmCounts(requests=9, errors=1, within={}),
        broken=3,
    )


def test_servers_are_added_up():
    with page(PAGE) as one, page(PAGE) as other:
        observed = Totals([one, other], "locate").observe()

    assert (observed.serving.requests, observed.candidate.errors, observed.differing) == (190, 2, 4)
    assert observed.candidate.within == {1.5: 6, 12288: 8, math.inf: 8}


def test_a_server_that_has_not_loaded_the_router_yet_adds_nothing():
    with page(PAGE) as one, page("") as other:
        both = Totals([one, other], "locate").observe()

    with page(PAGE) as one:
        assert both == Totals([one], "locate").observe()


def test_nothing_is_counted_where_there_is_no_router():
    none = ArmCounts(requests=0, errors=0, within={})

    assert Totals([], "locate").observe() == Observed(serving=none, candidate=none, compared=0, differing=0)


def counting(requests, errors=0):
    """The page of a router whose candidate was asked so many times."""
    labels = 'arm="candidate",pipeline="locate",release="8",trial="20"'
    return f"sextant_route_requests{{{labels}}} {requests}\nsextant_route_errors{{{labels}}} {errors}\n"


def test_a_server_that_was_started_again_loses_no_count():
    """Though the other has counted more than it lost, so that their sum has grown."""
    looks = [(100, 100), (20, 250), (30, 260)]
    with page(*(counting(one) for one, _ in looks)) as one, page(*(counting(other) for _, other in looks)) as other:
        totals = Totals([one, other], "locate")
        seen = [totals.observe().candidate.requests for _ in looks]

    assert seen == [200, 200 + 20 + 150, 200 + 30 + 160]


def test_one_count_that_fell_says_that_a_server_began_anew():
    """It has been asked more than before already, and has failed less."""
    with page(counting(10, errors=5), counting(12, errors=1)) as url:
        totals = Totals([url], "locate")
        seen = [totals.observe().candidate for _ in range(2)]

    assert [(each.requests, each.errors) for each in seen] == [(10, 5), (22, 6)]


def test_a_page_that_is_refused_is_a_server_out_of_reach():
    with page("", status=503) as url, pytest.raises(ServerUnreachable, match="cannot be read"):
        observe([url], "locate")


def test_only_web_pages_are_read():
    with pytest.raises(AddressRefused, match="write http://host:port/metrics"):
        observe(["file:///etc/passwd"], "locate")
