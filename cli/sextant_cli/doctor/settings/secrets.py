"""Tokens and keys that others may read, or that are not where the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sextant.errors import SettingsError
from sextant_cli.doctor.access import EVERYBODY, readers
from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import CRITICAL, WARNING, Finding
from sextant_cli.doctor.settings.told import Told, anonymous
from sextant_export.settings import ServerSettings

_KEYS = {"key", "secret", "password", "token"}
"""What fsspec's storage options call their secrets."""


def _readable(told: Told) -> Iterator[Finding]:
    for path, what in _secrets(told):
        if path.is_file() and (who := readers(path)):
            yield Finding(
                severity=CRITICAL if who == EVERYBODY else WARNING,
                where=str(path),
                found=f"{who} may read {what}",
                why="who has a control token, a signing key or a storage's secret decides what is served",
                change=f"chmod 600 {path}, and make the secret anew if anybody may have read it",
            )


def _there(told: Told) -> Iterator[Finding]:
    for server in told.settings.servers:
        if missing := _missing(server):
            yield Finding(
                severity=WARNING,
                found=missing,
                why=f"no control call reaches {server.url}: nothing is promoted, watched or rolled back there",
                change="put it there, or name another token_file or token_env under [[server]]",
            )


def _missing(server: ServerSettings) -> str:
    """Why the token of *server* cannot be read, if so."""
    try:
        server.secret()
    except SettingsError as error:
        return str(error)
    return ""


def _secrets(told: Told) -> Iterator[tuple[Path, str]]:
    """Each file that holds a secret, and which."""
    settings = told.settings
    if settings.file and settings.registry and settings.registry != anonymous(settings.registry):
        yield settings.file, "the password of the registry, which stands in the file itself"
    for server in settings.servers:
        if settings.file and (server.token or _KEYS & {*server.storage_options}):
            yield settings.file, f"a token or a storage's secret of {server.url}, which stands in the file itself"
        if server.token_file:
            yield server.token_file, f"the control token of {server.url}"
    if settings.signing.private_key:
        yield settings.signing.private_key, "the key that signs releases"


SECRETS = Check("secrets", "May others read the tokens and keys that the settings name?", _readable)
TOKENS = Check("tokens", "Is each token where the settings say?", _there)
