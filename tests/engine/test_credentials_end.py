"""When the credentials end: shown where Proxmox tells, unknown where it does not, asked rarely."""

from __future__ import annotations

from typing import Any

import pytest

from pve_evpn.pve import decode
from pve_lab.access import Token
from tests.engine.world import World, cluster, key

CLUSTER = key(cluster())
NEXT_YEAR = 1798761600  # 2027-01-01


def shown(world: World) -> Any:
    return world.kube.objects[CLUSTER]["status"].get("tokenExpiresAt")


async def test_the_status_shows_when_the_token_ends() -> None:
    world = World()
    world.lab.access.tokens["root@pam!tok"] = Token(expire=NEXT_YEAR)
    world.apply(cluster())
    await world.settle()
    assert shown(world) == "2027-01-01T00:00:00Z"
    asked = [path for _, path, _ in world.lab.journal if path == "/access/users/root@pam"]
    await world.one_pass()
    await world.one_pass()
    assert [path for _, path, _ in world.lab.journal if path == "/access/users/root@pam"] == asked


async def test_changed_credentials_are_asked_about_at_once() -> None:
    world = World()
    world.apply(cluster())
    await world.settle()
    assert shown(world) is None
    world.lab.access.tokens["root@pam!tok"] = Token(expire=NEXT_YEAR)
    world.kube.secrets["c"] = {"tokenId": "root@pam!tok", "token": "another"}
    await world.one_pass()
    assert shown(world) == "2027-01-01T00:00:00Z"


async def test_who_may_not_know_goes_on_without() -> None:
    world = World()
    del world.lab.access.users["root@pam"]
    world.apply(cluster())
    await world.settle()
    assert world.complaints() == []
    assert shown(world) is None


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, None),
        ({"expire": 0, "tokens": {"t": {"expire": 0}}}, None),
        ({"tokens": {"t": {"expire": 20}, "other": {"expire": 5}}}, 20),
        ({"expire": "10", "tokens": {"t": {"expire": 20}}}, 10),
        ({"expire": 30, "tokens": {"t": {"expire": 20}}}, 20),
        ({"expire": 30, "tokens": [{"tokenid": "t", "expire": 20}]}, 30),
    ],
)
def test_the_sooner_of_account_and_token_counts(user: dict[str, Any], expected: int | None) -> None:
    end = decode.earliest_end(user, "t")
    assert (end.timestamp() if end else None) == expected
