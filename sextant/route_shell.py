"""
A router as Triton's Python backend wants it: requests in, each answered by the model of one arm.

``execute`` takes each request's response sender, hands both to a thread, and returns: the thread asks the arm through
Triton's business-logic scripting and sends what it says, so that slow answers hold nobody up.  Batches are made where
the arms' members are, not here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from traceback import format_exc
from typing import Any
from uuid import uuid4

from sextant.backend import read_parameters
from sextant.blocks.route import Route
from sextant.route_tally import COMPARED, DIFFERING, DROPPED, ERRORS, MIRRORED, REFUSED, REQUESTS, Tally
from sextant.routing import CANDIDATE, SERVING, SHADOW, code_of, forwarded, other
from sextant.shadow import Mirrored, Shadow, alike

THREADS = 32
"""As many as Triton 24.10 lets one Python process ask other models at the same time."""


class RouteShell:
    """
    The router of one pipeline; *pb_utils* is handed in, *args* are those of ``initialize``.

    Every request is answered: by an arm, by the arm's own error, or by INTERNAL and a sentence where this shell breaks.
    """

    def __init__(self, pb_utils: Any, args: Mapping[str, str]) -> None:
        self._pb, self._name = pb_utils, args["model_name"]
        page = read_parameters(Path(args["model_repository"], args["model_version"]))
        self._route = Route(page, nonce=uuid4().hex)
        self._tally = Tally(pb_utils, self._route)
        self._shadow = Shadow(self._mirror) if self._route.shadow else None
        self._pool = ThreadPoolExecutor(THREADS, "route")

    def accept(self, requests: list[Any]) -> None:
        """Take *requests*; each is answered later, through its response sender."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._pool.submit(self._serve, request, sender)
            except RuntimeError as error:  # no thread can be started
                self._send(sender, self._broken(error))

    def close(self) -> None:
        """Answer what was accepted, write what was counted, and end."""
        self._pool.shutdown()
        if self._shadow:
            self._shadow.close()
        self._tally.close()

    def _serve(self, request: Any, sender: Any) -> None:
        arm, answer, ms = SERVING, None, 0.0
        try:
            if request.is_cancelled():
                response = self._refusal("the caller ended the request", self._pb.TritonError.CANCELLED)
            else:
                arm = self._route.arm(_parameters(request), request.request_id())
                begun = perf_counter()
                answer = self._asked(arm, request)
                ms = 1000 * (perf_counter() - begun)
                response = self._passed_on(arm, answer)
        except Exception as error:  # noqa: BLE001 - a bug of ours: said in the log, and to this caller only
            response = self._broken(error)
        self._send(sender, response)
        if answer is not None:
            self._afterwards(arm, request, answer, ms)

    def _asked(self, arm: str, request: Any) -> Any:
        """What the model of *arm* answers to *request*."""
        return self._question(
            arm,
            request.inputs(),
            request.requested_output_names(),
            _parameters(request),
            request_id=request.request_id(),
            correlation_id=request.correlation_id(),
            timeout=request.timeout(),
            trace=request.trace(),
        ).exec()

    def _question(self, arm: str, inputs: Any, outputs: Any, parameters: Mapping[str, Any], **facts: Any) -> Any:
        return self._pb.InferenceRequest(
            model_name=self._route.model(arm),
            inputs=list(inputs),
            requested_output_names=list(outputs),
            parameters=forwarded(parameters),
            **facts,
        )

    def _afterwards(self, arm: str, request: Any, answer: Any, ms: float) -> None:
        """Count what *arm* answered within *ms*, and mirror it; nobody waits any more."""
        try:
            if not answer.has_error():
                self._tally.count(REQUESTS, arm)
                self._tally.took(arm, ms)
                if self._shadow and arm == SERVING:
                    self._offer(self._shadow, request, answer)
            elif self._refused_by_both(arm, request, answer):
                self._tally.count(REFUSED, arm)
            else:
                self._tally.count(REQUESTS, arm)
                self._tally.count(ERRORS, arm)
        except Exception:  # noqa: BLE001 - the caller has the answer: this is for the log alone
            self._pb.Logger.log_error(f"{self._name}: {format_exc()}")

    def _refused_by_both(self, arm: str, request: Any, answer: Any) -> bool:
        """Whether the fault is the caller's: the other release, which is asked now, refuses the same."""
        if not self._refuses(answer):
            return False
        names, parameters = request.requested_output_names(), _parameters(request)
        return self._refuses(self._question(other(arm), request.inputs(), names, parameters).exec())

    def _refuses(self, answer: Any) -> bool:
        return bool(answer.has_error() and self._code(answer.error()) == self._pb.TritonError.INVALID_ARG)

    def _passed_on(self, arm: str, answer: Any) -> Any:
        """The arm's answer as the front's own; an error as the front would say it if it were the arm's ensemble."""
        if not answer.has_error():
            return self._pb.InferenceResponse(output_tensors=answer.output_tensors())
        error, model = answer.error(), self._route.model(arm)
        sentence = error.message().replace(f"in ensemble '{model}'", f"in ensemble '{self._route.pipeline}'", 1)
        return self._refusal(sentence, self._code(error))

    def _code(self, error: Any) -> Any:
        """INTERNAL is what Triton 24.10 says of every error between models: then the words say more."""
        code = error.code()
        if code != self._pb.TritonError.INTERNAL:
            return code
        return getattr(self._pb.TritonError, code_of(error.message()))

    def _send(self, sender: Any, response: Any) -> None:
        try:
            sender.send(response, flags=self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        except Exception as error:  # noqa: BLE001 - what cannot be sent is still answered
            sender.send(self._broken(error), flags=self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _broken(self, error: Exception) -> Any:
        self._pb.Logger.log_error(f"{self._name}: {format_exc()}")
        return self._refusal(f"the router {self._name} broke: {error!r}", self._pb.TritonError.INTERNAL)

    def _refusal(self, sentence: str, code: Any) -> Any:
        return self._pb.InferenceResponse(output_tensors=[], error=self._pb.TritonError(sentence, code))

    def _offer(self, shadow: Shadow, request: Any, answer: Any) -> None:
        """Hand an answered request to the shadow, where its turn has come and there is room."""
        if self._route.mirrors():
            mirrored = Mirrored(_arrays(request.inputs()), _arrays(answer.output_tensors()), _parameters(request))
            self._tally.count(MIRRORED if shadow.offer(mirrored) else DROPPED, SHADOW)

    def _mirror(self, mirrored: Mirrored) -> None:
        """Ask the candidate what was answered, and compare."""
        try:
            inputs = [self._pb.Tensor(name, array) for name, array in mirrored.inputs.items()]
            answer = self._question(CANDIDATE, inputs, mirrored.outputs, mirrored.parameters).exec()
            self._tally.count(REQUESTS, SHADOW)
            self._tally.count(COMPARED, SHADOW)
            if answer.has_error():
                self._tally.count(ERRORS, SHADOW)
            same = not answer.has_error() and self._same(mirrored, answer)
            if not same:
                self._tally.count(DIFFERING, SHADOW)
        except Exception:  # noqa: BLE001 - the caller has the answer: this is for the log alone
            self._pb.Logger.log_error(f"{self._name}: {format_exc()}")

    def _same(self, mirrored: Mirrored, answer: Any) -> bool:
        return alike(mirrored.outputs, _arrays(answer.output_tensors()), self._route.tolerance)


def _parameters(request: Any) -> dict[str, Any]:
    parameters: dict[str, Any] = json.loads(request.parameters() or "{}")
    return parameters


def _arrays(tensors: list[Any]) -> dict[str, Any]:
    return {tensor.name(): tensor.as_numpy() for tensor in tensors}
