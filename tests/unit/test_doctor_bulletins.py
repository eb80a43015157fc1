"""Which security bulletins hit which version of Triton."""

from __future__ import annotations

import pytest

from examined import said
from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.server.bulletins import bulletins
from sextant_cli.doctor.server.version import EXPOSED, VERSION


@pytest.mark.parametrize(
    ("version", "count", "worst", "newest"),
    [
        ("2.30.0", 62, "CVE-2026-47627", "26.07"),
        ("2.51.0", 55, "CVE-2026-47627", "26.07"),
        ("2.59.0", 46, "CVE-2026-47627", "26.07"),
        ("2.59.1", 37, "CVE-2026-47627", "26.07"),
        ("2.60.0", 33, "CVE-2026-47627", "26.07"),
        ("2.70.0", 1, "CVE-2026-16497", "26.07"),
    ],
)
def test_an_older_triton_lacks_what_was_fixed_after_it(version, count, worst, newest):
    """25.07 was a patch of 25.06, and the last flaw that is known was fixed in 26.07."""
    flaws = bulletins().unfixed(version)

    assert (len(flaws), flaws[0].cve, max(flaw.fixed_in for flaw in flaws)) == (count, worst, newest)


def test_the_embedded_triton_is_a_critical_finding_with_its_figures():
    (found,) = VERSION.look(said("2.51.0"))

    assert found.severity == "critical"
    assert "Triton 2.51.0 (24.10) lacks the fixes of 55 known flaws" in found.found
    assert "the worst CVE-2026-47627 (CVSS 9.8): bulletins 5612, 5687, 5691, 5723" in found.found
    assert "tritonserver:26.08-py3 or later" in found.change


def test_a_triton_whose_worst_flaw_is_not_grave_is_a_warning():
    (exposed,) = EXPOSED.look(said("2.70.0", url="grpc://192.0.2.7:8001"))
    (found,) = VERSION.look(said("2.70.0"))

    assert exposed.severity == "warning"
    assert (found.severity, "the fixes of 1 known flaw, the worst CVE-2026-16497 (CVSS 7.5)" in found.found) == (
        "warning",
        True,
    )


@pytest.mark.parametrize("version", ["2.71.0", "2.72.0", "2.73.0"])
def test_a_triton_with_every_fix_has_no_finding(version):
    assert list(VERSION.look(said(version))) == []


def test_a_triton_newer_than_the_table_is_not_known_to_be_affected():
    """A note, which fails nothing, and says of when the table is."""
    (found,) = VERSION.look(said("2.81.0"))

    assert found.severity == "note"
    assert f"not known to be affected as of {bulletins().as_of}" in found.found


@pytest.mark.parametrize(("version", "reason"), [("main", "expected a version like 2.73.0"), (None, "does not say")])
def test_a_triton_that_says_no_version_is_not_passed(version, reason):
    with pytest.raises(NotMade, match=reason):
        list(VERSION.look(said(version)))


def test_a_flawed_triton_that_other_machines_reach_is_the_worst():
    (found,) = EXPOSED.look(said("2.51.0", url="grpc://192.0.2.7:8001"))

    assert found.severity == "critical"
    assert "other machines reach it (192.0.2.7:8001)" in found.found
    assert "--grpc-address=127.0.0.1 --http-address=127.0.0.1" in found.change


@pytest.mark.parametrize(
    ("version", "url"), [("2.72.0", "grpc://192.0.2.7:8001"), ("2.51.0", "grpc://127.0.0.1:9")], ids=["fixed", "alone"]
)
def test_a_triton_without_flaws_or_on_loopback_is_not_exposed(version, url):
    assert list(EXPOSED.look(said(version, url))) == []


def test_the_table_hangs_together():
    """Every fix is in a release that the table knows, and the one that is advised has them all."""
    table = bulletins()

    assert {flaw.fixed_in for flaw in table.flaws} <= {*table.releases.values()}
    assert list(table.releases.values()) == sorted(table.releases.values())
    assert table.advised >= max(flaw.fixed_in for flaw in table.flaws)
    assert all(0 < flaw.score <= 10 for flaw in table.flaws)
    assert len({flaw.cve for flaw in table.flaws}) == len(table.flaws)
