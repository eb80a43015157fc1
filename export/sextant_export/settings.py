"""
``sextant.toml``: what every command on this machine would otherwise be told by options, said once.

Where the store and the registry are, which Tritons serve, who signs. An option or an environment variable, where a
command has one, is stronger than the file. A release is never made of what stands here: that is the spec's business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sextant.errors import SettingsError
from sextant_export.problem import Problem
from sextant_export.settings_problems import PLACES, settings_problems
from sextant_export.signing import Signing
from sextant_export.toml_file import read_tables

FILE, VARIABLE = "sextant.toml", "SEXTANT_SETTINGS"
SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """
    One Triton: *url* of its gRPC side, of its *metrics*, and of its own *copy* of the store, if it has one.

    A *url* that begins with ``grpc+dns://`` is of every address that its name has (:mod:`sextant_promote.names`).
    *storage_options* are fsspec's for the copy. The token for its control calls is asked for by :meth:`secret`.
    """

    url: str
    metrics: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    token_env: str | None = None
    copy: str | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def secret(self) -> str | None:
        """The token, from wherever it was said to be; ``SettingsError`` where it is not there."""
        if self.token_file is not None:
            return _read_secret(self.token_file, f"the token of {self.url}")
        return self.token if self.token_env is None else _secret_of(self.token_env, f"the token of {self.url}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a child process that loads a model may take: *memory_mb* of address space, *seconds* of time."""

    memory_mb: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """
    How ``sextant watch`` looks at the registry: every *poll_s*, and when MLflow calls at *hook*, ``host:port``.

    *secret_env* names the environment variable that holds the secret of MLflow's webhook; *metrics* is the
    ``host:port`` of its page for Prometheus.
    """

    poll_s: float = 15.0
    hook: str | None = None
    secret_env: str | None = None
    metrics: str | None = None

    def secret(self) -> str | None:
        """The webhook's secret; ``SettingsError`` where its variable is not set."""
        return None if self.secret_env is None else _secret_of(self.secret_env, "the webhook's secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of ``sextant.toml``; None, or none, where the *file* does not say. Paths are absolute."""

    file: Path | None = None
    store: Path | None = None
    registry: str | None = None
    servers: tuple[ServerSettings, ...] = ()
    signing: Signing = field(default_factory=Signing)
    limits: Limits = field(default_factory=Limits)
    watch: Watch = field(default_factory=Watch)


def find_settings(named: Path | None = None) -> Path | None:
    """The file that was *named*, else the one that ``SEXTANT_SETTINGS`` names, else the one here, else None."""
    named = named or (Path(value) if (value := os.environ.get(VARIABLE)) else None)
    return named or (Path(FILE) if Path(FILE).is_file() else None)


def load_settings(named: Path | None = None) -> Settings:
    """
    The settings in the file that :func:`find_settings` finds; those of an empty one where there is none.

    ``SettingsError`` lists everything that is wrong with it, each with its address.
    """
    file = find_settings(named)
    if file is None:
        return Settings()
    raw = read_tables(file, SettingsError)
    if problems := tuple(settings_problems(raw)):
        raise SettingsError(tuple(Problem(f"{file}: {address}", message) for address, message in problems))
    return settings_of(raw, file.absolute())


def settings_of(raw: Mapping[str, Any], file: Path) -> Settings:
    """
    What the tables *raw* of *file* say, with paths as they are seen from the file's folder.

    >>> raw = {"store": "var/store", "server": [{"url": "grpc://a:8001", "copy": "s3://fleet/a"}]}
    >>> settings = settings_of(raw, Path("/etc/sextant/sextant.toml"))
    >>> str(settings.store), settings.servers[0].copy
    ('/etc/sextant/var/store', 's3://fleet/a')
    """
    folder = file.parent
    return Settings(
        file=file,
        store=folder / raw["store"] if "store" in raw else None,
        registry=_seen_from(folder, raw["registry"]) if "registry" in raw else None,
        servers=tuple(_server(table, folder) for table in raw.get("server", ())),
        signing=Signing(**_placed(raw.get("signing", {}), folder)),
        limits=Limits(**raw.get("limits", {})),
        watch=Watch(**raw.get("watch", {})),
    )


def _server(table: Mapping[str, Any], folder: Path) -> ServerSettings:
    said = _placed(table, folder)
    if "copy" in said:
        said["copy"] = _seen_from(folder, said["copy"])
    return ServerSettings(**{**said, "storage_options": MappingProxyType(dict(said.get("storage_options", {})))})


def _placed(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """*table* with its paths as they are seen from *folder*."""
    return {key: folder / Path(value).expanduser() if key in PLACES else value for key, value in table.items()}


def _seen_from(folder: Path, place: str) -> str:
    """
    A URL as it stands; a folder, or the file of an SQLite registry, as it is seen from *folder*.

    >>> _seen_from(Path("/etc"), "sqlite:///var/mlflow.db"), _seen_from(Path("/etc"), "copies/a")
    ('sqlite:////etc/var/mlflow.db', '/etc/copies/a')
    """
    prefix = SQLITE if place.startswith(SQLITE) else ""
    if "://" in place and not prefix:
        return place
    return f"{prefix}{folder / place.removeprefix(prefix)}"


def _read_secret(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _refusal(file, f"cannot be read for {what}: {error.strerror}") from error


def _secret_of(variable: str, what: str) -> str:
    if not (secret := os.environ.get(variable, "").strip()):
        raise _refusal(variable, f"expected {what} in this environment variable, which is not set")
    return secret


def _refusal(address: object, message: str) -> SettingsError:
    return SettingsError((Problem(str(address), message),))
