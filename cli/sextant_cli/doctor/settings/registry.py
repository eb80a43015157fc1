"""The MLflow registry: there, and who may put models, which are code, into it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from sextant_cli.doctor.access import writers
from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.finding import NOTE, WARNING, Finding
from sextant_cli.doctor.network import loopback, private
from sextant_cli.doctor.settings.told import Told, anonymous
from sextant_client.credentials import Credentials
from sextant_export.settings import SQLITE

HEALTH, MODELS = "/health", "/api/2.0/mlflow/registered-models/search?max_results=1"
"""What is asked of a registry's server, without credentials; both only read."""
CERTIFICATES = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE")
"""Where MLflow's client is told whose certificates to believe, the strongest first."""
TIMEOUT_S = 5.0
_ANSWERS = {200, 401, 403}  # itself, or the proxy in front of it that asks who it is
_CODE = "whoever can register a model, or move an alias, has his code run by `sextant promote` and by the servers"


def _look(told: Told) -> Iterator[Finding]:
    if told.registry.startswith(SQLITE):
        yield from _file(Path(told.registry.removeprefix(SQLITE)), told)
    elif urlsplit(told.registry).scheme in {"http", "https"}:
        yield from _server(anonymous(told.registry.rstrip("/")))
    else:
        raise NotMade(f"registries other than SQLite files and MLflow's server are not looked at: {told.registry}")


def _file(path: Path, told: Told) -> Iterator[Finding]:
    if not path.is_file():
        if not told.named:
            raise NotMade(f"there is no registry at {path}: name it by --registry")
        yield _silent(str(path), "there is no such file", "name the right one by --registry or in sextant.toml")
    elif who := writers(path):
        yield Finding(
            severity=WARNING,
            where=str(path),
            found=f"{who} may write in the registry",
            why=_CODE,
            change=f"chmod go-w {path}",
        )


def _server(uri: str) -> Iterator[Finding]:
    try:
        health, anybody = _status(uri + HEALTH), _status(uri + MODELS) == 200
        away = "" if health in _ANSWERS else f"HTTP {health} at {HEALTH}"
    except (OSError, HTTPException) as error:
        away, anybody = str(getattr(error, "reason", error)), False
    if away:
        yield _silent(uri, away, "start it, or name the right one by --registry or in sextant.toml")
    host = urlsplit(uri).hostname or ""
    if anybody and not loopback(host):
        tls = "" if uri.startswith("https") else ", and without TLS"
        yield Finding(
            severity=NOTE if private(host) else WARNING,
            where=uri,
            found=f"the registry answers whoever asks, without credentials{tls}",
            why=_CODE,
            change="mlflow server --app-name basic-auth behind a proxy with TLS; and `sextant promote --no-pickle`, "
            "which loads no pickled model",
        )


def _silent(where: str, why: str, change: str) -> Finding:
    return Finding(
        severity=WARNING,
        where=where,
        found=f"the registry does not answer: {why}",
        why="what is served stays as it is: no alias is followed, and no release is made",
        change=change,
    )


def _status(url: str) -> int:
    """The HTTP status of *url*; an ``OSError`` where nothing answers, or nothing that is to be believed."""
    trusted = Credentials(ca=next(filter(None, map(os.environ.get, CERTIFICATES)), None)).context()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=trusted) as answer:  # noqa: S310  scheme is known
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


REGISTRY = Check("registry", "Does the registry answer, and who may write in it?", _look)
