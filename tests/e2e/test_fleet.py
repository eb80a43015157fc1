"""A fleet of three Tritons on one store: a promotion reaches all of them or none."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager

import pytest
from sklearn.linear_model import Ridge

from hosts import Host
from sextant.errors import LeaseHeld, ServerUnreachable
from sextant_client import Client
from sextant_export.narration import Silence
from sextant_export.pipeline import load_pipeline
from sextant_promote.control import Control
from sextant_promote.copies import StoreCopy
from sextant_promote.fleet import Fleet, Server
from sextant_promote.lease import holder, lease
from sextant_promote.promotion import promote, rollback
from sextant_promote.removal import remove
from sextant_server import EmbeddedTriton
from small_world import draw

pytestmark = pytest.mark.e2e


@pytest.fixture
def hosts(world, tmp_path):
    world.store.prepare()
    hosts = [Host(world.store, tmp_path / f"host{i}") for i in range(3)]
    with ExitStack() as stack:
        for host in hosts:
            host.start()
            stack.callback(host.stop)
        yield hosts


def fleet_of(world, hosts):
    return Fleet(world.store, [host.server for host in hosts])


def promoted(world, fleet, narrator=None):
    return promote(load_pipeline(world.spec), world.store, world.registry, fleet, narrator)


class At(Silence):
    """Does something when a phase begins."""

    def __init__(self, phase, act):
        self.phase, self.act = phase, act

    @contextmanager
    def step(self, title):
        if title.startswith(self.phase):
            self.act()
        yield self


def test_a_promotion_reaches_every_server_or_none(world, hosts):
    """One dies between the gates and the flip: the others go on as they were, and it comes back to the same."""
    fleet = fleet_of(world, hosts)
    promoted(world, fleet)
    assert [host.release() for host in hosts] == [1, 1, 1]

    world.register("ridge", Ridge(alpha=50.0))
    with pytest.raises(ServerUnreachable):
        promoted(world, fleet, At("flip", hosts[2].kill))
    assert [host.release() for host in hosts[:2]] == [1, 1]
    assert world.store.served_release("locate") == 1

    hosts[2].stop()
    hosts[2].start()
    assert hosts[2].release() == 1
    done = promoted(world, fleet_of(world, hosts))
    assert [host.release() for host in hosts] == [done.release] * 3

    rollback(world.store, "locate", fleet_of(world, hosts))
    assert [host.release() for host in hosts] == [1, 1, 1]


def test_a_server_that_is_away_is_told_before_anything_is_made(world, hosts):
    hosts[1].kill()

    with pytest.raises(ServerUnreachable):
        promoted(world, fleet_of(world, hosts))

    assert not list(world.store.models.iterdir())


def test_two_at_once_do_not_mix(world, hosts):
    """The second is told who is at work, and by whose death the lease ends."""
    with lease(world.store.prepare(), "locate"):
        assert f"process {os.getpid()} " in holder(world.store, "locate")
        with pytest.raises(LeaseHeld, match=f"process {os.getpid()} on .* holds its lease"):
            promoted(world, fleet_of(world, hosts))

    assert holder(world.store, "locate") is None


def test_a_server_with_a_copy_of_its_own_gets_what_is_promoted(world, tmp_path):
    """Its folder holds what the store does, digest by digest, after a promotion, a rollback and a removal."""
    copy = StoreCopy(str(tmp_path / "own"))
    (tmp_path / "own" / "models").mkdir(parents=True)
    with EmbeddedTriton(tmp_path / "own") as triton, Control(triton.address.grpc, triton.address.token) as control:
        fleet = Fleet(world.store.prepare(), [Server(control, copy=copy)])
        promoted(world, fleet)
        world.register("ridge", Ridge(alpha=50.0))
        promoted(world, fleet)

        rollback(world.store, "locate", fleet)
        with Client(triton.address.grpc) as client:
            assert client.pipeline("locate")(draw(1, seed=9).features[0]).release == 1
        assert copy.differing(world.store, read=True) == ()

        remove(world.store, "locate", fleet)
        assert not list((tmp_path / "own" / "models").iterdir())
        assert control.ready().get("locate", set()) == set()
