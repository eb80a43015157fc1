"""What a call over TLS rests on: whose certificates are believed, and the token that says who asks."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from sextant.errors import ParametersError

_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    *ca* is a PEM file of the authorities to believe, the system's where None; *token* is what the proxy asks for.

    ``ParametersError`` for a file that holds no certificates, and for a token that no header can carry.

    >>> Credentials(token="s3cret").headers
    {'Authorization': 'Bearer s3cret'}
    """

    ca: str | os.PathLike[str] | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ParametersError("token: expected printable ASCII without spaces, got something else")

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def context(self) -> ssl.SSLContext:
        """Python's own judgement of certificates and names, with these authorities."""
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ValueError) as error:  # OpenSSL's are OSErrors, without a number of the system's
            reason = "it holds none" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
            raise ParametersError(f"ca: expected a PEM file of certificates, got {str(self.ca)!r}: {reason}") from error

    def roots(self) -> bytes | None:
        """The authorities as gRPC takes them; None leaves it the ones that it brings."""
        self.context()
        return b"\n".join(Path(file).read_bytes() for file in ([self.ca] if self.ca else _systems())) or None


def _systems() -> list[Path]:
    """The files that OpenSSL believes: all in one, or a folder with one of each, by a hash of its name."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return [Path(paths.cafile)]
    return sorted(Path(paths.capath).glob("*.[0-9]")) if paths.capath else []
