"""What is wrong with a store: who may write there, what is not what was proven, where it lies."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

import made_releases as made
from sextant_cli.doctor.access import EVERYBODY
from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.checks import STORE
from sextant_cli.doctor.store.kept import Kept
from sextant_cli.doctor.store.permissions import READABLE, WRITABLE
from sextant_cli.doctor.store.place import PATH, STAMPS, short
from sextant_cli.doctor.store.signatures import SIGNATURES
from sextant_cli.doctor.store.soundness import LINKS, MEANS, SOUND
from sextant_export.seals import with_seals
from sextant_export.signing import Signing
from sextant_export.store import Store
from sextant_export.verification.finding import KINDS

MB = 10**6


@pytest.fixture
def kept():
    """A store with a release that serves, for its owner alone, in a folder that everybody gets as far as."""
    folder = Path(tempfile.mkdtemp(prefix="sextant-doctor-"))
    folder.chmod(0o755)
    store = Store(folder / "store").prepare()
    made.serve(store, with_seals(store, made.make(store, 1, forest=3)))
    store.root.chmod(0o700)
    yield Kept(store=store)
    shutil.rmtree(folder)


def test_a_store_for_its_owner_alone_has_one_note(kept):
    """Nothing is wrong but that nobody signed."""
    found = {check.name: [finding.severity for finding in check.look(kept)] for check in STORE}

    assert found.pop("store-signatures") == ["note"]
    assert not any(found.values())


def test_a_store_that_everybody_may_write_is_critical(kept):
    """Where the store itself is closed, what is in it cannot be reached."""
    kept.store.models.chmod(0o777)
    closed = list(WRITABLE.look(kept))
    kept.store.root.chmod(0o755)

    (found,) = WRITABLE.look(kept)

    assert closed == []
    assert found.severity == "critical"
    assert found.found == f"{EVERYBODY} may write 1 files and folders (models)"
    assert found.change == f"chmod -R o-w {kept.store.root}"


def test_receipts_that_everybody_may_read_are_a_note_and_a_token_is_critical(kept):
    kept.store.root.chmod(0o755)
    kept.store.releases.chmod(0o755)
    (kept.store.root / "server.json").write_text("{}")

    critical, note = READABLE.look(kept)

    assert (critical.severity, note.severity) == ("critical", "note")
    assert "control token" in critical.found
    assert "releases/locate/r1.json" in note.found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("check", STORE, ids=[check.name for check in STORE])
def test_a_store_that_may_not_be_looked_into_is_not_passed(kept, check):
    """Somebody else asks about a store that is its owner's alone."""
    os.seteuid(65534)
    try:
        with pytest.raises((NotMade, OSError), match="Permission denied"):
            list(check.look(kept))
    finally:
        os.seteuid(0)


def test_a_changed_byte_is_critical_and_what_more_there_is_is_counted(kept):
    """One finding a kind: `sextant verify` lists the rest."""
    for name in ("model.onnx", "other.onnx"):
        (kept.store.models / "forest" / "3" / name).write_text("changed")

    changed, unexpected = SOUND.look(kept)

    assert (changed.severity, unexpected.severity) == ("critical", "warning")
    assert "models/forest/3/model.onnx has other bytes than when it was proven" in changed.found
    assert changed.change.startswith("restore it from a backup")


def test_several_of_a_kind_are_one_finding(kept):
    for number in range(3):
        (kept.store.models / f"stray{number}").mkdir()

    (found,) = SOUND.look(kept)

    assert "models/stray0 is no model that a receipt knows; 2 more unexpected: `sextant verify" in found.found


def test_every_kind_that_verification_knows_has_a_severity():
    assert set(MEANS) == set(KINDS)


def test_a_link_that_leads_out_is_named_with_where_it_leads(kept, tmp_path):
    (tmp_path / "elsewhere.onnx").touch()
    (kept.store.models / "forest" / "3" / "link.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    (kept.store.models / "forest" / "3" / "inside.onnx").symlink_to("model.onnx")

    (found,) = LINKS.look(kept)

    assert found.severity == "warning"
    assert str(tmp_path / "elsewhere.onnx") in found.found
    assert found.where.endswith("link.onnx")


def test_a_link_to_itself_leads_nowhere(kept):
    link = kept.store.models / "again"
    link.symlink_to(link)

    assert [list(check.look(kept)) for check in (LINKS, WRITABLE, READABLE, STAMPS)] == [[]] * 4


def test_a_folder_in_which_everybody_may_exchange_the_store_is_critical(kept):
    """In /tmp nobody may: its sticky bit keeps what is another's in its place."""
    folder = kept.store.root.parent
    folder.chmod(0o1777)
    sticky = list(WRITABLE.look(kept))
    folder.chmod(0o777)

    (found,) = WRITABLE.look(kept)

    assert sticky == []
    assert (found.severity, found.where, found.change.partition(",")[0]) == (
        "critical",
        str(folder),
        f"chmod o-w {folder}",
    )


def test_unsigned_releases_are_a_warning_where_there_is_a_key(kept):
    (note,) = SIGNATURES.look(kept)
    (warning,) = SIGNATURES.look(Kept(store=kept.store, signing=Signing(public_key=Path("release.pub"))))
    required = Signing(public_key=Path("release.pub"), required=True)

    assert (note.severity, warning.severity) == ("note", "warning")
    assert "1 of 1 releases that serve are not signed: locate.r1" in note.found
    assert list(SIGNATURES.look(Kept(store=kept.store, signing=required))) == []


@pytest.mark.parametrize(
    ("free", "inodes", "largest", "found"),
    [
        (500 * MB, 10**6, 100 * MB, []),
        (500 * MB, None, 400 * MB, ["warning"]),
        (50 * MB, 10**6, MB, ["critical"]),
        (500 * MB, 12, MB, ["warning"]),
    ],
    ids=["enough", "not for two", "none", "no inodes"],
)
def test_room_is_held_against_the_largest_version(free, inodes, largest, found):
    assert [finding.severity for finding in short(free, inodes, largest)] == found


def test_a_path_and_a_name_that_a_shell_would_break_are_told(tmp_path):
    store = Store(tmp_path / "my store").prepare()
    (store.models / "a;b").mkdir()
    (store.models / "a;b" / "config.pbtxt").write_text('name: "a;b"')

    path, name = PATH.look(Kept(store=store))

    assert f"'{store.root}'" in path.found
    assert (name.severity, name.found) == ("warning", "model 'a;b'")


def test_a_configuration_from_the_future_is_told(kept):
    """A clock that runs ahead by an hour, here or on the file server."""
    config = kept.store.models / "locate" / "config.pbtxt"
    os.utime(config, (time.time() + 3600,) * 2)

    (found,) = STAMPS.look(kept)

    assert found.where == str(config)
    assert "1 configurations were written in the future" in found.found
