"""Signatures of releases: who made them, checked with Sextant and without it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from made_releases import make
from sextant.errors import MissingExtra, SignatureError
from sextant_export.receipt import read_receipt, write_receipt
from sextant_export.seals import with_seals
from sextant_export.signing import (
    Signing,
    check_signature,
    lasting,
    lasting_path,
    require_signed,
    sign_release,
    signature_path,
)
from sextant_export.store import Store
from sextant_export.verification import verify

pytest.importorskip("model_signing", reason="the extra signing is not installed")


def keys(folder: Path, curve: str = "prime256v1") -> Signing:
    """A pair of keys, made as the documentation says."""
    private, public = folder / "private.pem", folder / "public.pem"
    run("openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", private)
    run("openssl", "ec", "-in", private, "-pubout", "-out", public)
    return Signing(private_key=private, public_key=public, required=True)


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def signing(tmp_path_factory):
    return keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def made(signing, tmp_path_factory):
    """A store with a release that is sealed and signed."""
    store = Store(tmp_path_factory.mktemp("made") / "store").prepare()
    receipt = with_seals(store, make(store, 1, forest=3))
    write_receipt(store, receipt)
    sign_release(store, receipt, signing)
    return store


@pytest.fixture
def store(made, tmp_path):
    """A copy of its own for each test."""
    return Store(shutil.copytree(made.root, tmp_path / "store"))


@pytest.fixture
def receipt(store):
    return read_receipt(store, "locate", 1)


def test_a_signed_release_may_be_loaded(store, receipt, signing):
    """And is sound, whoever looks."""
    require_signed(store, receipt, signing)

    assert verify(store, signing=signing) == ()


def test_others_check_it_without_sextant(store, receipt, signing):
    """OpenSSF's command line, as the documentation says it, finds every file as it was signed."""
    command = Path(sys.executable).with_name("model_signing")
    signature, key = signature_path(store, receipt), signing.public_key

    ended = run(
        *(command, "verify", "key", "--signature", signature, "--public_key", key, "--ignore_unsigned_files"),
        store.root,
    )

    assert ended.stdout == "Verification succeeded\n"


@pytest.mark.parametrize("file", ["models/forest/3/model.onnx", "releases/locate/r1.lasting.json"])
def test_others_see_what_was_changed(store, receipt, signing, file):
    """Their library reads the files that are signed, which are those of the release and no others."""
    from model_signing import verifying

    (store.root / file).write_text("changed")
    config = verifying.Config().use_elliptic_key_verifier(public_key=signing.public_key)

    with pytest.raises(ValueError, match=f"Hash mismatch for .*{file}"):
        config.set_ignore_unsigned_files(True).verify(store.root, signature_path(store, receipt))


def test_what_becomes_of_a_release_leaves_its_signature_valid(store, receipt, signing):
    """Served, replaced, tried, removed: the release is what it was."""
    facts = {"replaced": 7, "proof": {"oak": {}}, "gate": ({"gate": "p95_ms"},), "canary": {"outcome": "advance"}}
    write_receipt(store, receipt.ended("served", served_at="2026-02-01", reason="because", **facts))
    became = read_receipt(store, "locate", 1)

    require_signed(store, became, signing)

    assert (became.outcome, became.replaced, lasting(became)) == ("served", 7, lasting(receipt))


@pytest.mark.parametrize(
    "change",
    [
        {"created": "2020-01-01"},
        {"release": 2},
        {"digests": {"forest/3": {"model.onnx": "0" * 64}}},
        {"blocks": {}},
        {"evidence": "0" * 64},
        {"models": (("forest", 4),)},
        {"configs": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_forged_receipt_is_not_signed(store, receipt, signing, change):
    """Whoever writes a receipt anew can seal it, and cannot sign it."""
    forged = replace(receipt, **change)
    signature_path(store, receipt).rename(signature_path(store, replace(receipt, release=9)))
    signature_path(store, replace(receipt, release=9)).rename(signature_path(store, forged))
    lasting_path(store, forged).write_bytes(lasting(forged))

    with pytest.raises(SignatureError, match="is not loaded.*signs other digests"):
        require_signed(store, forged, signing)


def test_a_release_without_a_signature_is_refused_where_one_is_required(store, receipt, signing):
    """And loaded where none is."""
    signature_path(store, receipt).unlink()

    require_signed(store, receipt, None)
    require_signed(store, receipt, replace(signing, required=False))
    with pytest.raises(SignatureError, match=r"locate\.r1 is not loaded, because signatures are required: there is no"):
        require_signed(store, receipt, signing)
    assert verify(store, signing=signing)[0].kind == "signature"


def test_the_key_of_another_does_not_fit(store, receipt, tmp_path):
    """A signature by whoever has a key is none by whom you trust."""
    with pytest.raises(SignatureError, match="does not fit"):
        check_signature(store, receipt, keys(tmp_path).public_key)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"mediaType": 1}', "\0\1"], ids=repr)
def test_a_file_that_is_no_signature_is_refused(store, receipt, signing, text):
    """Whatever stands there, the sentence names it."""
    signature_path(store, receipt).write_text(text)

    with pytest.raises(SignatureError, match=r"r1\.sig does not fit"):
        check_signature(store, receipt, signing.public_key)


def test_a_changed_signature_is_found(store, receipt, signing):
    """A byte in what is signed, and a byte in the signature."""
    path = signature_path(store, receipt)
    whole = path.read_bytes()
    for word in (b'"payload":"', b'"sig":"'):
        place = whole.index(word) + len(word) + 20
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])

        assert [(found.kind, found.where) for found in verify(store, signing=signing)] == [
            ("signature", "releases/locate/r1.sig")
        ]


def test_a_signature_that_nobody_can_check_is_said(store, receipt):
    """Without the public key the store is not called sound; the rest of the receipt's copy still is compared."""
    lasting_path(store, receipt).write_text("{}")

    assert [found.kind for found in verify(store)] == ["changed", "unchecked"]


def test_a_requirement_without_a_key_is_refused(store, receipt):
    """Nothing is loaded on trust because a line is missing."""
    with pytest.raises(SignatureError, match="names no public_key"):
        require_signed(store, receipt, Signing(required=True))


def test_without_a_private_key_nothing_is_signed(store, receipt, signing):
    """A host that only checks has none."""
    assert sign_release(store, receipt, replace(signing, private_key=None)) is None


def test_a_key_that_cannot_sign_is_said(store, receipt, signing, tmp_path):
    """Not there, of another kind, of another curve: and no half of a signature is left."""
    rsa = tmp_path / "rsa.pem"
    run("openssl", "genrsa", "-out", rsa)

    for key in (tmp_path / "none.pem", rsa, signing.public_key, keys(tmp_path, "secp256k1").private_key):
        with pytest.raises(SignatureError, match=rf"{key.name} cannot sign .*openssl ecparam"):
            sign_release(store, receipt, Signing(private_key=key))
    require_signed(store, receipt, signing)


def test_without_the_library_the_line_to_type_is_said(store, receipt, signing, monkeypatch):
    """The extra's name is what pip takes."""
    monkeypatch.delattr("sextant_export.bundles")
    monkeypatch.delitem(sys.modules, "sextant_export.bundles")
    monkeypatch.setitem(sys.modules, "model_signing", None)

    with pytest.raises(MissingExtra, match=r"pip install 'triton-sextant\[signing\]'"):
        require_signed(store, receipt, signing)


def test_a_field_that_a_later_sextant_adds_changes_nothing_that_was_signed(receipt):
    """A receipt's fields have defaults, and what has its default is not said."""
    assert b"fused" not in lasting(receipt)
    assert lasting(replace(receipt, fused={"model": "locate.graph"})) != lasting(receipt)
