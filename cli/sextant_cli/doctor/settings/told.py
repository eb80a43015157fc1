"""What the commands on this machine are told, as its checks see it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from sextant_export.settings import FILE, Settings


@dataclass(frozen=True, kw_only=True)
class Told:
    """The *settings*, and the *registry* that is used, an MLflow tracking URI; *named* where somebody said which."""

    settings: Settings
    registry: str
    named: bool = False

    @property
    def where(self) -> str:
        """The file that says it."""
        return str(self.settings.file or f"the settings (no {FILE})")


def anonymous(url: str) -> str:
    """
    The *url* without the name and the password in it.

    >>> anonymous("https://ann:s3cret@mlflow.example/registry")
    'https://mlflow.example/registry'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
