"""What a refresh reads and what it remembers: calls are counted, and nothing is published that was not read.

The memory is compared with a second gateway that remembers nothing, on the lab, while another client edits, applies and
edits back between the reads.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pve_evpn.domain.plan.model import Step
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot
from pve_evpn.pve import gateway as gateway_module
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.memory import CONFIRMED
from pve_evpn.pve.transport import Trust
from tests.engine.world import DirectGateway, World

CONTROLLER = {"controller": "ctl", "type": "evpn", "asn": 65001, "peers": "1.1.1.1"}
ZONE = {"zone": "zz", "type": "evpn", "controller": "ctl", "vrf-vxlan": 9000}
VNETS = ("v1", "v2", "v3", "v4")
_SUBNET = SdnObject(SdnRef(SdnKind.SUBNET, "zz-10.3.0.0-24"), "subnet", {}, "v4")
NEW_SUBNET = Step(_SUBNET.ref, None, _SUBNET)


def gateway(world: World, remember: float) -> DirectGateway:
    made = DirectGateway("pve", ["https://pve1"], Credentials("root@pam", "tok", "secret"), Trust())
    made.world = world
    made.remember_for(remember)
    return made


class Fabric:
    """A lab with one EVPN zone, VNets, and two readers: one that remembers, one that does not."""

    def __init__(self) -> None:
        self.world = World()
        self.world.remembers = True
        self.remembering, self.thorough = gateway(self.world, 600.0), gateway(self.world, 0.0)
        self.other = gateway(self.world, 0.0)

    async def begin(self, subnets: int = 1) -> None:
        await self.foreign("POST", "/cluster/sdn/controllers", **CONTROLLER)
        await self.foreign("POST", "/cluster/sdn/zones", **ZONE)
        for number, vnet in enumerate(VNETS):
            await self.foreign("POST", "/cluster/sdn/vnets", vnet=vnet, zone="zz", tag=100 + number)
            if number < subnets:
                await self.add_subnet(vnet)
        await self.foreign("PUT", "/cluster/sdn")

    async def foreign(self, method: str, path: str, **params: Any) -> Any:
        return await self.other.call(method, path, **params)

    async def add_subnet(self, vnet: str, third: int = 0) -> None:
        number = VNETS.index(vnet)
        await self.foreign(
            "POST", f"/cluster/sdn/vnets/{vnet}/subnets", subnet=f"10.{number}.{third}.0/24", type="subnet"
        )

    async def set_gateway(self, vnet: str, last: int) -> None:
        number = VNETS.index(vnet)
        path = f"/cluster/sdn/vnets/{vnet}/subnets/zz-10.{number}.0.0-24"
        await self.foreign("PUT", path, gateway=f"10.{number}.0.{last}")

    async def move_nic(self, number: int) -> None:
        """Another client's edit of a guest, of which Proxmox makes no task."""
        guest = next(guest for guest in self.world.lab.guests.values() if guest.kind == "lxc")
        net0 = f"name=eth0,bridge=vmbr0,hwaddr=BC:24:11:22:22:22,rate={number},type=veth"
        await self.foreign("PUT", f"/nodes/{guest.node}/lxc/{guest.vmid}/config", net0=net0)

    async def busy(self, node: str) -> None:
        """More tasks of another client than the cluster's list holds of a node."""
        for _ in range(30):
            await self.foreign("PUT", f"/nodes/{node}/network")

    def let_pass(self, seconds: float) -> None:
        """What was read was read so long ago."""
        for memory in (self.remembering._subnets, self.remembering._guests):
            for known in memory._known.values():
                known.read_at -= seconds

    async def read(self, *, before_apply: bool = False, guests: bool = False) -> SdnSnapshot:
        state = await self.remembering.read_cluster("9.2.3", guests=guests, before_apply=before_apply)
        return state.sdn

    async def truth(self) -> SdnSnapshot:
        return (await self.thorough.read_cluster("9.2.3", guests=False)).sdn

    async def write(self, token: str, *steps: Step, apply: bool = True) -> None:
        """The operator's own writes, after a read under the lock ``token``; the lock is given back."""
        for step in steps:
            await self.remembering.stage(step, token)
        await self.remembering.seal()
        if apply:
            await self.remembering.apply(token)
        await self.remembering.unlock(token)

    async def subnet_calls(self) -> list[str]:
        """Which lists of subnets a read asks for."""
        return [path for path in await self.calls() if path.endswith("/subnets")]

    async def calls(self, **how: bool) -> list[str]:
        began = len(self.world.calls)
        await self.read(**how)
        return [path for _, path, _ in self.world.calls[began:]]


def subnets(snapshot: SdnSnapshot) -> tuple[dict[SdnRef, SdnObject], dict[SdnRef, SdnObject]]:
    edited = {ref: obj for ref, obj in snapshot.edited.items() if ref.kind is SdnKind.SUBNET}
    return edited, {ref: obj for ref, obj in snapshot.running.items() if ref.kind is SdnKind.SUBNET}


@pytest.mark.asyncio
async def test_where_nothing_changed_one_probe_stands_for_all_subnets() -> None:
    fabric = Fabric()
    await fabric.begin(subnets=4)
    await fabric.read()
    calls = await fabric.calls()
    assert [path for path in calls if path.endswith("/subnets")] == ["/cluster/sdn/vnets/v1/subnets"]


@pytest.mark.asyncio
async def test_what_the_digest_confirms_is_read_again_a_few_times_the_bound_later() -> None:
    fabric = Fabric()
    await fabric.begin(subnets=4)
    await fabric.read()
    fabric.let_pass(600.0)
    assert await fabric.subnet_calls() == ["/cluster/sdn/vnets/v1/subnets"]
    fabric.let_pass(600.0 * CONFIRMED)
    assert len(await fabric.subnet_calls()) > len(VNETS)


@pytest.mark.asyncio
async def test_what_no_digest_confirms_is_read_again_within_the_bound() -> None:
    fabric = Fabric()
    await fabric.begin(subnets=0)
    await fabric.read()
    await fabric.add_subnet("v3")
    fabric.let_pass(600.0)
    assert subnets(await fabric.read()) == subnets(await fabric.truth())


@pytest.mark.asyncio
async def test_an_edit_is_noticed_by_the_next_read() -> None:
    fabric = Fabric()
    await fabric.begin(subnets=4)
    await fabric.read()
    await fabric.set_gateway("v3", 1)
    assert subnets(await fabric.read()) == subnets(await fabric.truth())


@pytest.mark.asyncio
async def test_an_apply_of_another_client_is_noticed_though_the_edit_was_taken_back() -> None:
    """The digest is then what it was; the running copy is not."""
    fabric = Fabric()
    await fabric.begin(subnets=4)
    await fabric.set_gateway("v3", 1)
    await fabric.foreign("PUT", "/cluster/sdn")
    await fabric.read()
    await fabric.set_gateway("v3", 2)
    await fabric.foreign("PUT", "/cluster/sdn")
    await fabric.set_gateway("v3", 1)
    assert subnets(await fabric.read()) == subnets(await fabric.truth())


@pytest.mark.asyncio
async def test_an_apply_that_other_tasks_pushed_out_of_the_cluster_s_list_is_noticed_before_an_apply() -> None:
    """Of each node Proxmox lists 25 tasks there; a node on which more began since is asked for its own."""
    fabric = Fabric()
    await fabric.begin(subnets=4)
    await fabric.set_gateway("v3", 1)
    await fabric.foreign("PUT", "/cluster/sdn")
    await fabric.busy("pve1")
    await fabric.read()
    await fabric.set_gateway("v3", 2)
    await fabric.foreign("PUT", "/cluster/sdn")
    await fabric.set_gateway("v3", 1)
    await fabric.busy("pve1")
    await fabric.read()
    token = await fabric.remembering.lock(allow_pending=True)
    began = len(fabric.world.calls)
    assert subnets(await fabric.read(before_apply=True)) == subnets(await fabric.truth())
    asked = [path for _, path, _ in fabric.world.calls[began:] if path.endswith("/tasks")]
    assert asked == ["/cluster/tasks", "/nodes/pve1/tasks"]
    assert [path for path in await fabric.calls(before_apply=True) if path.endswith("/tasks")] == ["/cluster/tasks"]
    await fabric.remembering.unlock(token)


@pytest.mark.asyncio
async def test_without_any_subnet_everything_is_read_before_an_apply() -> None:
    fabric = Fabric()
    await fabric.begin(subnets=0)
    await fabric.read()
    await fabric.add_subnet("v2")
    token = await fabric.remembering.lock(allow_pending=True)
    assert subnets(await fabric.read(before_apply=True)) == subnets(await fabric.truth())
    await fabric.remembering.unlock(token)


@pytest.mark.asyncio
async def test_own_writes_cost_no_complete_read() -> None:
    fabric = Fabric()
    await fabric.begin(subnets=3)
    await fabric.read()
    token = await fabric.remembering.lock(allow_pending=False)
    await fabric.read(before_apply=True)
    await fabric.write(token, NEW_SUBNET)
    calls = await fabric.subnet_calls()
    assert calls == ["/cluster/sdn/vnets/v1/subnets", "/cluster/sdn/vnets/v4/subnets"]
    assert subnets(await fabric.read()) == subnets(await fabric.truth())


@pytest.mark.asyncio
async def test_of_many_written_vnets_some_are_read_again_and_the_rest_is_what_was_staged() -> None:
    fabric = Fabric()
    await fabric.begin(subnets=3)
    fabric.remembering._subnets.verified = 1
    await fabric.read()
    token = await fabric.remembering.lock(allow_pending=False)
    before = await fabric.read(before_apply=True)
    old_ref = SdnRef(SdnKind.SUBNET, "zz-10.1.0.0-24")
    old = before.edited[old_ref]
    changed = SdnObject(old_ref, "subnet", {"gateway": "10.1.0.1"}, "v2")
    gone = SdnRef(SdnKind.SUBNET, "zz-10.2.0.0-24")
    await fabric.write(token, NEW_SUBNET, Step(old_ref, old, changed), Step(gone, before.edited[gone], None))
    calls = await fabric.subnet_calls()
    assert calls == ["/cluster/sdn/vnets/v1/subnets", "/cluster/sdn/vnets/v2/subnets"]
    assert subnets(await fabric.read()) == subnets(await fabric.truth())
    fabric.let_pass(600.0)
    read = {*await fabric.subnet_calls()}
    assert read >= {"/cluster/sdn/vnets/v3/subnets", "/cluster/sdn/vnets/v4/subnets"}, (
        "what was never read has its turn"
    )


@pytest.mark.asyncio
async def test_what_was_staged_and_not_applied_is_read_again() -> None:
    fabric = Fabric()
    await fabric.begin(subnets=3)
    fabric.remembering._subnets.verified = 0
    await fabric.read()
    token = await fabric.remembering.lock(allow_pending=False)
    await fabric.read(before_apply=True)
    await fabric.write(token, NEW_SUBNET, apply=False)
    assert subnets(await fabric.read()) == subnets(await fabric.truth())


@pytest.mark.asyncio
async def test_guests_are_read_again_when_something_hints_at_them() -> None:
    fabric = Fabric()
    await fabric.begin()
    guests = sorted(fabric.world.lab.guests)
    await fabric.read(guests=True)
    assert not [path for path in await fabric.calls(guests=True) if path.endswith("/pending")]
    guest = fabric.world.lab.guests[guests[0]]
    path = f"/nodes/{guest.node}/{guest.kind}/{guest.vmid}/config"
    await fabric.foreign("POST" if guest.kind == "qemu" else "PUT", path, description="x")
    read = [path for path in await fabric.calls(guests=True) if path.endswith("/pending")]
    assert read == [path.replace("/config", "/pending")]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["edit", "add", "delete", "apply", "guest", "busy", "read", "read guests", "transaction"]),
        st.sampled_from(VNETS),
        st.integers(1, 3),
    ),
    max_size=14,
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 4), OPERATIONS, st.sampled_from([0, 1, 50]))
def test_before_an_apply_everything_is_as_it_is(
    begin: int, operations: list[tuple[str, str, int]], verified: int
) -> None:
    asyncio.run(_everything_is_as_it_is(begin, operations, verified))


async def _everything_is_as_it_is(begin: int, operations: list[tuple[str, str, int]], verified: int) -> None:
    fabric = Fabric()
    fabric.remembering._subnets.verified = verified
    await fabric.begin(subnets=begin)
    for operation, vnet, number in operations:
        await _carry_out(fabric, operation, vnet, number)
    token = await fabric.remembering.lock(allow_pending=True)
    assert subnets(await fabric.read(before_apply=True)) == subnets(await fabric.truth())
    await fabric.remembering.unlock(token)
    fabric.let_pass(600.0)
    seen = await fabric.remembering.read_cluster("9.2.3", guests=True)
    there = await fabric.thorough.read_cluster("9.2.3", guests=True)
    assert subnets(seen.sdn) == subnets(there.sdn)
    assert seen.guests == there.guests, "whatever hints at it, nothing is older than the bound"


async def _carry_out(fabric: Fabric, operation: str, vnet: str, number: int) -> None:
    if operation.startswith("read"):
        await fabric.read(guests=operation == "read guests")
        return
    if operation == "guest":
        await fabric.move_nic(number)
        return
    if operation == "busy":
        await fabric.busy(f"pve{number}")
        return
    if operation == "transaction":
        token = await fabric.remembering.lock(allow_pending=True)
        snapshot = await fabric.read(before_apply=True)
        assert subnets(snapshot) == subnets(await fabric.truth())
        ref = SdnRef(SdnKind.SUBNET, f"zz-10.{VNETS.index(vnet)}.0.0-24")
        have = snapshot.edited.get(ref)
        want = SdnObject(ref, "subnet", {"gateway": f"10.{VNETS.index(vnet)}.0.{number}"}, vnet)
        if have != want:
            await fabric.remembering.stage(Step(ref, have, want), token)
        await fabric.remembering.seal()
        await fabric.remembering.apply(token)
        await fabric.remembering.unlock(token)
        return
    try:
        match operation:
            case "edit":
                await fabric.set_gateway(vnet, number)
            case "add":
                await fabric.add_subnet(vnet)
            case "delete":
                path = f"/cluster/sdn/vnets/{vnet}/subnets/zz-10.{VNETS.index(vnet)}.0.0-24"
                await fabric.foreign("DELETE", path)
            case "apply":
                await fabric.foreign("PUT", "/cluster/sdn")
    except gateway_module.errors.Refused:
        pass  # there is no such subnet, or there is one already
