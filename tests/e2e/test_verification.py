"""A store that real promotions filled is sound, served or not, and one changed byte in it is found."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from sklearn.linear_model import Ridge

from sextant.errors import SignatureError
from sextant_export.receipt import read_receipt, releases
from sextant_export.seals import require_sound
from sextant_export.signing import Signing, require_signed, sign_release
from sextant_export.verification import verify
from sextant_promote.control import Control
from sextant_promote.promotion import promote, rollback
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.e2e


@pytest.fixture
def control(world):
    with EmbeddedTriton(world.store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:
        yield control


@pytest.fixture
def signing(tmp_path):
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    commands = f"-name prime256v1 -genkey -noout -out {private}", f"-in {private} -pubout -out {public}"
    for verb, options in zip(("ecparam", "ec"), commands, strict=True):
        subprocess.run(["openssl", verb, *options.split()], check=True, capture_output=True)
    return Signing(private_key=private, public_key=public, required=True)


def test_what_could_not_be_signed_is_not_made(world, control, signing):
    """Where signatures are required, said before anything is fetched; what nobody requires is made unsigned."""
    spec, without = world.write_spec(), replace(signing, private_key=None)

    with pytest.raises(SignatureError, match="names no private_key, so that a release made here could not be loaded"):
        promote(spec, world.store, world.registry, control, signing=without)
    assert releases(world.store, "locate") == []

    done = promote(spec, world.store, world.registry, control, signing=replace(without, required=False))
    assert done.changed


def test_promoted_signed_rolled_back_a_store_stays_sound(world, control, signing):
    """What Triton and Python leave beside the models is no damage; a byte in a served model is."""
    store = world.store
    first = promote(world.write_spec(), store, world.registry, control).receipt
    sign_release(store, first, signing)
    world.register("ridge", Ridge(alpha=50.0))
    promote(world.write_spec(), store, world.registry, control)
    rollback(store, "locate", control)
    again = read_receipt(store, "locate", first.release)

    require_sound(store, again)
    require_signed(store, again, signing)
    assert verify(store, signing=Signing(public_key=signing.public_key)) == ()

    model = max(store.models.glob("forest/*/model.onnx"))
    whole = bytearray(model.read_bytes())
    whole[len(whole) // 2] ^= 1
    model.write_bytes(whole)
    (found,) = verify(store, signing=Signing(public_key=signing.public_key))
    assert (found.kind, store.root / found.where) == ("changed", model)
