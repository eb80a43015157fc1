"""Triton's control API, as little of it as a launcher needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from sextant.errors import ServerError, ServerUnreachable
from sextant_server.address import TOKEN_HEADER
from sextant_server.log import plain
from sextant_server.ports import LOOPBACK

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ModelState:
    """One line of Triton's repository index."""

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return self.state == "READY"

    @property
    def failed(self) -> bool:
        """Whether loading it was tried, and it did not come up."""
        return self.state == "UNAVAILABLE" and bool(self.reason)


@dataclass(frozen=True, slots=True)
class Control:
    """The control API of the server on *port* of this machine."""

    port: int
    token: str

    def index(self) -> list[ModelState]:
        """Every model the server knows, one entry a version."""
        return [ModelState(**entry) for entry in self._call("POST", "/v2/repository/index")]

    def config(self, model: str) -> dict[str, Any]:
        """The configuration of *model* as the server completed it."""
        config: dict[str, Any] = self._call("GET", f"/v2/models/{quote(model)}/config")
        return config

    def load(self, model: str) -> None:
        """Load or reload *model*; raises ServerError with Triton's reason in plain words."""
        self._call("POST", f"/v2/repository/models/{quote(model)}/load")

    def unload(self, model: str) -> None:
        """Stop serving *model*; requests in flight are answered."""
        self._call("POST", f"/v2/repository/models/{quote(model)}/unload")

    def _call(self, method: str, path: str) -> Any:
        connection = HTTPConnection(LOOPBACK, self.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, headers={TOKEN_HEADER: self.token})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            raise ServerUnreachable(f"no Triton answers on port {self.port}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ServerError(_sentence(body))
        return json.loads(body or b"null")


def _sentence(body: bytes) -> str:
    try:
        return plain(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return plain(body.decode(errors="replace"))
