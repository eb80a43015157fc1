"""Everything wrong with a ``sextant.toml``, in reading order, before anything is done by it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sextant_export.problem import Problem, guess
from sextant_export.values import Bounds, Check, flag, number, section, text

BY_NAME = "grpc+dns://"
"""How a URL begins that stands for every address of its name."""

PLACES = ("token_file", "private_key", "public_key")
"""The keys of tables that name files of this machine."""

TOKENS = ("token", "token_file", "token_env")
_HOST_PORT = r"[^\s:/]+:\d+|\[[0-9a-fA-F:]+\]:\d+"


def settings_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    r"""
    Every problem of the tables *raw*, each with its address and, where there is one, a guess.

    >>> print(*settings_problems({"stor": "var/store", "watch": {"poll_s": 0}}), sep="\n")
    stor: unknown; did you mean 'store'?
    watch.poll_s: expected a number above 0, got 0
    """
    for key, value in raw.items():
        if key in _CHECKS:
            yield from _CHECKS[key](value, key)
        else:
            yield Problem(key, f"unknown{guess(key, _CHECKS)}")


def _servers(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(address, "expected a table for each server: write [[server]], in two brackets")
        return
    seen: dict[Any, str] = {}
    for index, table in enumerate(value):
        at = f"{address}[{index}]"
        yield from _SERVER(table, at)
        yield from _whole(table, at)
        url = table.get("url") if isinstance(table, Mapping) else None
        if isinstance(url, str) and seen.setdefault(url, at) != at:
            yield Problem(f"{at}.url", f"{url!r} is {seen[url]} already")


def _whole(table: Any, address: str) -> Iterator[Problem]:
    """What keys of one server mean beside each other."""
    if not isinstance(table, Mapping):
        return
    if "url" not in table:
        yield Problem(f"{address}.url", "missing")
    if len(named := [key for key in TOKENS if key in table]) > 1:
        yield Problem(f"{address}.{named[1]}", f"expected one of {', '.join(TOKENS)}, got {' and '.join(named)}")
    if "storage_options" in table and "copy" not in table:
        yield Problem(f"{address}.storage_options", "only of a server with a copy")
    if str(table.get("url", "")).startswith(BY_NAME):
        yield from _by_name(table, address)


def _by_name(table: Mapping[str, Any], address: str) -> Iterator[Problem]:
    """What cannot be of several servers, that come and go."""
    if "copy" in table:
        yield Problem(f"{address}.copy", "only of one server, and a name is of several: let all mount the store")
    metrics, name = table.get("metrics"), _host(str(table["url"]))
    if isinstance(metrics, str) and _host(metrics) != name:
        yield Problem(f"{address}.metrics", f"expected {name}, the name of the url, as its host, got {metrics!r}")


def _host(url: str) -> str:
    """
    The host of a *url*.

    >>> _host("grpc+dns://triton-pods:8001"), _host("http://[::1]:8002/metrics")
    ('triton-pods', '[::1]')
    """
    authority = url.partition("://")[2].partition("/")[0]
    return re.sub(r":\d*$", "", authority)


def _signing(value: Any, address: str) -> Iterator[Problem]:
    keys = {"private_key": text("the path of a key"), "public_key": text("the path of a key"), "required": flag}
    yield from section(keys)(value, address)
    if isinstance(value, Mapping) and value.get("required") is True and "public_key" not in value:
        yield Problem(f"{address}.public_key", "missing: nothing could be verified, and `required` asks for it")


def _store(value: Any, address: str) -> Iterator[Problem]:
    yield from text("the folder of the store")(value, address)
    if isinstance(value, str) and "://" in value:
        yield Problem(address, f"expected a folder, got {value!r}: a bucket holds a server's `copy` of it")


def _watch(value: Any, address: str) -> Iterator[Problem]:
    checks = {
        "poll_s": _SECONDS,
        "hook": _like(_HOST_PORT, "host:port, to listen for MLflow's webhooks"),
        "secret_env": _VARIABLE,
        "metrics": _like(_HOST_PORT, "host:port, for Prometheus to read metrics from"),
    }
    yield from section(checks)(value, address)
    if isinstance(value, Mapping) and "hook" in value and "secret_env" not in value:
        yield Problem(f"{address}.secret_env", "missing: MLflow's calls on `hook` could not be told from anybody's")


def _options(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(address, f"expected a table of fsspec's storage options, got {value!r}")


def _like(pattern: str, meaning: str) -> Check:
    """A check that a value is a string of *pattern*."""

    def check(value: Any, address: str) -> Iterator[Problem]:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            yield Problem(address, f"expected {meaning}, got {value!r}")

    return check


_SECONDS = number(Bounds(above=0))
_VARIABLE = _like(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")
_SERVER = section(
    {
        "url": _like(r"grpc(\+dns)?://[^/\s]+:\d+", "grpc://host:port, because model control goes over gRPC"),
        "metrics": _like(r"https?://\S+", "http://host:port/metrics"),
        "token": text("a token"),
        "token_file": text("the path of a file that holds the token"),
        "token_env": _VARIABLE,
        "copy": text("a folder, s3://bucket/prefix or gs://bucket/prefix"),
        "storage_options": _options,
    }
)
_CHECKS: Mapping[str, Check] = {
    "store": _store,
    "registry": text("MLflow's tracking and registry URI"),
    "server": _servers,
    "signing": _signing,
    "limits": section({"memory_mb": number(Bounds(at_least=64, whole=True)), "seconds": _SECONDS}),
    "watch": _watch,
}
