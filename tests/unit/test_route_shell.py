"""The router's shell without a Triton: every request is answered, whatever breaks."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import fake_pb_utils
from fake_pb_utils import InferenceResponse, Tensor, TritonError
from sextant.errors import ParametersError
from sextant.route_shell import RouteShell
from sextant.route_tally import COMPARED, DIFFERING, DROPPED, ERRORS, LATENCY, MIRRORED, REFUSED, REQUESTS
from sextant.routing import CANDIDATE, SERVING, SHADOW
from sextant.shadow import Mirrored, Shadow

ALL, NONE = {"weight": 1.0}, {"weight": 0.0}


class Sender:
    """Keeps what is sent; the first *failures* sends fail."""

    def __init__(self, failures=0):
        self.sent, self.failures, self.done = [], failures, threading.Event()

    def send(self, response, flags):
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no shared memory")
        self.sent.append((response, flags))
        self.done.set()

    @property
    def response(self):
        assert self.done.wait(10)
        ((response, flags),) = self.sent
        assert flags == "final"
        return response


class Request:
    """One request of a caller."""

    def __init__(self, x=1.0, *, parameters=None, cancelled=False, failures=0):
        self.sender, self._cancelled = Sender(failures), cancelled
        self._tensors, self._parameters = [Tensor("x", np.full((1, 2), x, np.float32))], parameters or {}

    def get_response_sender(self):
        return self.sender

    def inputs(self):
        return self._tensors

    def is_cancelled(self):
        return self._cancelled

    def parameters(self):
        return json.dumps(self._parameters)

    def request_id(self):
        return "a7"

    def requested_output_names(self):
        return {"y"}

    def correlation_id(self):
        return 5

    def timeout(self):
        return 9

    def trace(self):
        return "trace"


class Triton(SimpleNamespace):
    """``pb_utils`` with two releases behind it, which answer what *answers* makes of x."""

    def __init__(self, answers):
        triton, self.asked, self.written = self, [], {}

        class Question:
            def __init__(self, **facts):
                self.facts = facts

            def exec(self):
                triton.asked.append(self.facts)
                x = self.facts["inputs"][0].as_numpy()
                outcome = answers[self.facts["model_name"]](x)
                if isinstance(outcome, TritonError):
                    return Answer(error=outcome)
                return Answer([Tensor("y", outcome)])

        class Answer(InferenceResponse):
            def has_error(self):
                return self.error is not None

            def output_tensors(self):
                return self.tensors

            def __init__(self, tensors=(), error=None):
                self.tensors, self._error = list(tensors), error

            @property
            def error(self):
                return None if self._error is None else lambda: self._error

        super().__init__(
            Tensor=Tensor,
            TritonError=TritonError,
            InferenceResponse=InferenceResponse,
            InferenceRequest=Question,
            Logger=fake_pb_utils.Logger,
            TRITONSERVER_RESPONSE_COMPLETE_FINAL="final",
            MetricFamily=self._family(),
        )

    def _family(triton):  # noqa: N805 - the class within has a self of its own
        class MetricFamily:
            COUNTER, HISTOGRAM = "counter", "histogram"

            def __init__(self, name, description, kind):
                self.name = name

            def Metric(self, labels, buckets=None):  # noqa: N802 - Triton's word
                def write(amount):
                    key = self.name, labels["arm"]
                    triton.written[key] = triton.written.get(key, 0) + (1 if buckets else amount)

                return SimpleNamespace(increment=write, observe=write)

        return MetricFamily


@pytest.fixture
def shell(tmp_path):
    """A router with some parameters between two releases, and the Triton that it is in."""

    def make(parameters, serving=lambda x: x, candidate=lambda x: 2 * x):
        version = tmp_path / "7"
        version.mkdir()
        page = {"pipeline": "p", "serving": 1, "candidate": 2, **parameters}
        (version / "parameters.json").write_text(json.dumps(page))
        triton = Triton({"p.r1": serving, "p.r2": candidate})
        args = {"model_name": "p", "model_repository": str(tmp_path), "model_version": "7"}
        return RouteShell(triton, args), triton

    return make


@pytest.fixture
def served(shell):
    """Has requests answered by such a router; gives the Triton once all are answered and counted."""

    def serve(parameters, requests, **releases):
        router, triton = shell(parameters, **releases)
        assert router.accept(requests) is None
        router.close()
        return triton

    return serve


def refusal(release):
    return TritonError(f"in ensemble 'p.r{release}', x: expected no 1, got 1")


def test_a_request_goes_on_as_it_came(served):
    request = Request(parameters={"route_key": "anna", "sequence_id": 4})

    triton = served(ALL, [request])

    (asked,) = triton.asked
    assert asked == {
        "model_name": "p.r2",
        "inputs": request.inputs(),
        "requested_output_names": ["y"],
        "parameters": {"route_key": "anna"},
        "request_id": "a7",
        "correlation_id": 5,
        "timeout": 9,
        "trace": "trace",
    }
    assert request.sender.response.arrays()["y"].tolist() == [[2, 2]]


@pytest.mark.parametrize(("parameters", "arm"), [(NONE, SERVING), (ALL, CANDIDATE)])
def test_each_arm_is_counted(served, parameters, arm):
    triton = served(parameters, [Request() for _ in range(20)])

    assert triton.written == {(REQUESTS, arm): 20, (LATENCY, arm): 20}


def test_an_error_of_an_arm_is_passed_on_and_counted_without_its_time(served):
    """The serving release, which is asked afterwards, would have answered."""
    request = Request()

    triton = served(ALL, [request], candidate=lambda _: refusal(2))

    error = request.sender.response.error
    assert (error.message(), error.code()) == ("in ensemble 'p', x: expected no 1, got 1", TritonError.INVALID_ARG)
    assert triton.written == {(REQUESTS, CANDIDATE): 1, (ERRORS, CANDIDATE): 1}


@pytest.mark.parametrize("arm", [SERVING, CANDIDATE])
def test_what_both_releases_refuse_is_no_error_of_either(served, arm):
    """The other is asked once the caller has heard; the answer was not waited for."""
    request = Request(parameters={"route_key": "anna"})
    refuse = {SERVING: lambda _: refusal(1), CANDIDATE: lambda _: refusal(2)}

    triton = served(ALL if arm == CANDIDATE else NONE, [request], **refuse)

    own, other = ("p.r2", "p.r1") if arm == CANDIDATE else ("p.r1", "p.r2")
    assert [asked["model_name"] for asked in triton.asked] == [own, other]
    assert triton.asked[1]["parameters"] == {"route_key": "anna"}
    assert request.sender.response.error.message() == "in ensemble 'p', x: expected no 1, got 1"
    assert triton.written == {(REFUSED, arm): 1}


def test_what_breaks_is_an_error_though_the_other_refuses_it(served):
    """Only a refusal is put to the other release: who breaks is not asked twice."""
    broken = TritonError("in ensemble 'p.r2', p.adds broke: KeyError('x')")

    triton = served(ALL, [Request()], serving=lambda _: refusal(1), candidate=lambda _: broken)

    assert [asked["model_name"] for asked in triton.asked] == ["p.r2"]
    assert triton.written == {(REQUESTS, CANDIDATE): 1, (ERRORS, CANDIDATE): 1}


def test_where_the_code_is_known_it_is_kept(served):
    request = Request()

    served(ALL, [request], candidate=lambda _: TritonError("full", TritonError.UNAVAILABLE))

    assert request.sender.response.error.code() == TritonError.UNAVAILABLE


def test_what_breaks_in_the_router_is_said_to_its_caller_alone(served):
    def breaks(x):
        if x[0, 0] < 0:
            raise KeyError("x")
        return x

    requests = [Request(1), Request(-1), Request(2)]
    served(NONE, requests, serving=breaks)

    said = [request.sender.response.error for request in requests]
    assert [error is None for error in said] == [True, False, True]
    assert (said[1].message(), said[1].code()) == ("the router p broke: KeyError('x')", TritonError.INTERNAL)


def test_what_cannot_be_sent_is_still_answered(served):
    request = Request(failures=1)

    served(NONE, [request])

    assert request.sender.response.error.message() == "the router p broke: RuntimeError('no shared memory')"


def test_who_went_away_is_not_asked_for(served):
    request = Request(cancelled=True)

    triton = served(NONE, [request])

    assert (triton.asked, triton.written) == ([], {})
    assert request.sender.response.error.code() == TritonError.CANCELLED


def test_a_router_with_wrong_parameters_does_not_load(served):
    with pytest.raises(ParametersError, match="weight"):
        served({"weight": 2}, [])


def test_a_shadow_that_breaks_is_not_the_callers_matter(served):
    """It answers errors, or raises: the caller has the serving release's answer already."""
    requests = [Request() for _ in range(10)]

    served({"shadow": 1.0}, requests, candidate=lambda _: 1 / 0)

    assert [request.sender.response.arrays()["y"].tolist() for request in requests] == [[[1, 1]]] * 10


def test_what_the_serving_release_did_not_answer_is_not_mirrored(served):
    triton = served({"shadow": 1.0}, [Request()], serving=lambda _: TritonError("p.adds broke: no"))

    assert [asked["model_name"] for asked in triton.asked] == ["p.r1"]


def test_mirrored_requests_are_compared(shell):
    """Each is asked of the candidate once, and what differs is counted; the shadow is waited for."""
    compared = threading.Semaphore(0)
    router, triton = shell({"shadow": 1.0}, candidate=lambda x: (compared.release(), x + (x > 5))[1])

    router.accept([Request(x) for x in range(10)])
    for _ in range(10):
        assert compared.acquire(timeout=10)
    router.close()

    counted = {name: count for (name, arm), count in triton.written.items() if arm == SHADOW}
    assert counted == {MIRRORED: 10, REQUESTS: 10, COMPARED: 10, DIFFERING: 4}


@pytest.mark.parametrize(("room", "taken"), [({"requests": 3}, 3), ({"size": 400}, 2)])
def test_what_a_shadow_holds_is_bounded(room, taken):
    """Until what it holds is asked; then there is room again."""
    begun, go = threading.Semaphore(0), threading.Semaphore(0)

    def ask(_mirrored):
        begun.release()
        assert go.acquire(timeout=10)

    shadow = Shadow(ask, **room)
    mirrored = Mirrored({"x": np.zeros(20, np.float32)}, {"y": np.zeros(20, np.float32)}, {})
    assert mirrored.size == 160

    offers = [shadow.offer(mirrored) for _ in range(5)]
    go.release(taken - 1)
    for _ in range(taken):  # that the last has begun says that those before it are held no more
        assert begun.acquire(timeout=10)
    again = shadow.offer(mirrored)
    go.release(2)
    shadow.close()

    assert offers == [True] * taken + [False] * (5 - taken)
    assert again


def test_texts_count_with_their_bytes():
    texts = np.array([b"x" * 1000, b"y" * 500], object)

    assert Mirrored({"text": texts}, {}, {}).size == texts.nbytes + 1500


def test_what_is_dropped_is_counted(served, monkeypatch):
    monkeypatch.setattr("sextant.route_shell.Shadow.offer", lambda *_: False)

    triton = served({"shadow": 1.0}, [Request() for _ in range(4)])

    assert triton.written[DROPPED, SHADOW] == 4
