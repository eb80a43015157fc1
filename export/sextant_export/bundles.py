"""
The seam to OpenSSF's ``model-signing``: signatures of digests that were taken before, as Sigstore bundles.

The library hashes a folder and signs the list; here it is given the list, so that a gigabyte is not read once more. The
list is the one it would make itself, and a test has its own command line check that against the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from model_signing import hashing, signing, verifying
from model_signing._hashing.hashing import Digest
from model_signing.manifest import FileManifestItem, Manifest, SerializationType

from sextant.errors import SignatureError

_FILES = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
_KEY = "expected a PEM file of an elliptic key without a password, as `openssl ecparam -name prime256v1 -genkey` makes"


class Taken(hashing.Config):  # type: ignore[misc]  # the library is outside mypy's sight
    """The *digests* of files, by path, where the library would take them itself."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        super().__init__()
        self._digests = digests

    def hash(self, model_path: Any, **_: Any) -> Manifest:
        """What the library makes of the folder *model_path*."""
        items = (
            FileManifestItem(path=PurePosixPath(path), digest=Digest("sha256", bytes.fromhex(digest)))
            for path, digest in self._digests.items()
        )
        return Manifest(Path(model_path).name, items, SerializationType.from_args(_FILES))


def sign(folder: Path, digests: Mapping[str, str], private_key: Path, bundle: Path) -> None:
    """Sign the *digests* of files by their paths in *folder*; ``SignatureError`` where the key cannot do it."""
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=private_key)
    except Exception as error:  # a key file may hold anything, and each kind has an error of its own
        raise SignatureError(f"{private_key} cannot sign ({_said(error)}): {_KEY}") from error
    config.set_hashing_config(Taken(digests)).sign(folder, bundle)


def check(folder: Path, digests: Mapping[str, str], public_key: Path, bundle: Path) -> None:
    """Raise ``SignatureError`` unless *bundle* signs these very *digests* with the key that *public_key* belongs to."""
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except Exception as error:  # as above
        raise SignatureError(f"{public_key} cannot check signatures ({_said(error)}): {_KEY}") from error
    try:
        config.set_hashing_config(Taken(digests)).verify(folder, bundle)
    except Exception as error:  # the bundle may be anybody's, and each damage has an error of its own
        raise SignatureError(f"{bundle} does not fit by the key {public_key} ({_said(error)})") from error


def _said(error: Exception) -> str:
    """The first line of what a library says, or its error's name; where digests differ it says pages."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "it signs other digests" if first.startswith("Signature mismatch") else first
