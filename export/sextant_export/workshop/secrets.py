"""The environment that a model's code may see: without tokens, passwords and keys to clouds."""

from __future__ import annotations

import re
from collections.abc import Mapping

_CLOUDS = ("MLFLOW_TRACKING_", "AWS_", "AZURE_", "GOOGLE_", "GCP_", "CLOUDSDK_", "DATABRICKS_", "MINIO_", "VAULT_")
_WORDS = (
    *("TOKENS?", "SECRETS?", "CREDENTIALS?", "[A-Z]*PASSWORD", "[A-Z]*PASSWD", "PASS", "PASSPHRASE"),
    *("[A-Z]*KEYS?", "AUTH", "AUTHORIZATION", "DSN", "PAT"),
)
_NAME = re.compile(rf"(?:^|_)(?:{'|'.join(_WORDS)})\d*(?:_|$)")
_USER_IN_URL = re.compile(r"://[^/\s]*@")


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """
    *environment* without what names a secret, belongs to a cloud or a registry, or holds a URL with a user in it.

    >>> without_secrets({"SEXTANT_TOKEN": "x", "AWS_REGION": "x", "TOKENIZERS_PARALLELISM": "false", "HOME": "/root"})
    {'TOKENIZERS_PARALLELISM': 'false', 'HOME': '/root'}
    >>> without_secrets({"PIP_INDEX_URL": "https://me:secret@packages.example/simple"})
    {}
    """
    return {name: value for name, value in environment.items() if not _is_secret(name.upper(), value)}


def _is_secret(name: str, value: str) -> bool:
    return name.startswith(_CLOUDS) or bool(_NAME.search(name)) or bool(_USER_IN_URL.search(value))
