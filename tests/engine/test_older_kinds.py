"""CRDs of an older release: the API server drops the fields it does not know, and the operator works all the same."""

from __future__ import annotations

import pytest

from pve_evpn.domain.objects import ObjectKey
from tests.engine.fake_kube import FakeKube
from tests.engine.world import SEED, World

#: Parts of statuses that came with later releases.
LATER = ("vnets", "nics", "activeCredential", "vnetProblems", "lastTransaction", "lock", "zoneRef")


class Older(FakeKube):
    """An API server with the kinds of an older release."""

    def _changed(self, key: ObjectKey) -> None:
        for name in LATER:
            self.objects[key].get("status", {}).pop(name, None)
        super()._changed(key)


@pytest.mark.redteam
async def test_what_an_older_kind_drops_is_written_once_per_sync_and_holds_up_nothing() -> None:
    world = World()
    older = Older()
    older.secrets = world.kube.secrets
    world.kube = older
    world.apply(*SEED)
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 1
    applied, syncs = len(world.writes()), 3
    for _ in range(syncs):
        older.writes.clear()
        await world.one_pass()
        assert len(older.writes) == len(set(older.writes)), older.writes
    assert len(world.writes()) == applied
