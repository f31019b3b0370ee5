"""NICs through the whole engine: what is written to which guest, and what becomes of locks, hotplug and restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.engine.nics import PER_NODE
from pve_evpn.observe.source import NodeTarget
from pve_lab.faults import (
    ErrorAnswer,
    Fault,
    GatewayError,
    GuestEdited,
    GuestLocked,
    GuestMoves,
    HotplugFails,
    NodeOffline,
    Proceed,
    TaskFails,
)
from pve_lab.guests import Guest
from pve_lab.lab import Lab
from pve_lab.nics import Nic
from pve_lab.request import Answer, Request
from tests.engine.world import Killed, Unseeing, World, cluster, controller, document, key, vnet, zone

ACCESS = [{"namespaces": {}, "guests": {"vmids": [{"from": 100, "to": 9999}]}}]
SEED = (controller(), zone(), vnet("net1", 5001), vnet("net2", 5002))
TEXT = "virtio=BC:24:11:00:00:{:02X},bridge=vmbr0,firewall=1"


def nic(vmid: int = 500, device: str = "net0", name: str = "", **spec: Any) -> dict[str, Any]:
    base = {"clusterRef": {"name": "pve"}, "guest": {"vmid": vmid}, "device": device, "vnetRef": {"name": "net1"}}
    return document("NicAttachment", name or f"n{vmid}-{device}", {**base, **spec})


class Wired(World):
    """The world with the seed's VNets ready and some guests: VM 500 and container 600 on pve1, running."""

    def __init__(self, nodes: int = 3, **spec: Any) -> None:
        super().__init__(nodes)
        self.apply(cluster(**{"guestAccess": ACCESS, **spec}), *SEED)
        self.vm = self.guest(500, "qemu", {"net0": TEXT.format(1)})
        text = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=dhcp,type=veth"
        self.container = self.guest(600, "lxc", {"net0": text})

    def guest(self, vmid: int, kind: str, config: dict[str, str], node: str = "pve1") -> Guest:
        self.lab.guests[vmid] = made = Guest(vmid, kind, node, f"g{vmid}", config)
        return made

    async def after(self, *documents: dict[str, Any]) -> list[ObjectKey]:
        """Apply these and let everything come to rest, as far as it does by itself."""
        keys = self.apply(*documents)
        await self.passes(3)
        return keys

    async def passes(self, count: int) -> None:
        if self.operator is None:
            self.start()
        for _ in range(count):
            await self.one_pass()

    def guest_writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.writes() if path.endswith("/config")]

    def programmed(self, nic_key: ObjectKey) -> tuple[str, str, str]:
        found = self.kube.condition(nic_key, "Programmed")
        return found["status"], found["reason"], found["message"]

    def events(self, reason: str) -> list[str]:
        return [event.message for event in self.kube.events if event.reason == reason]

    def bridges(self, vmid: int = 500) -> dict[str, str | None]:
        guest = self.lab.guests[vmid]
        return {device: live.bridge for device, live in guest.nics().items()}


async def test_a_nic_that_may_not_be_written_holds_up_no_other_of_its_guest() -> None:
    """Its present bridge is not the token's to change, and Proxmox blames the whole request."""

    class Forbids(ErrorAnswer):
        def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
            return super().around(lab, request, proceed) if "net1" in request.params else proceed()

    world = Wired()
    world.vm.config["net1"] = TEXT.format(7).replace("vmbr0", "vmbr1")
    message = "Permission check failed (/sdn/zones/localnetwork/vmbr1, SDN.Use)"
    world.lab.faults.add(Forbids(method="POST", path=".*/config", status=403, message=message))
    good, bad = await world.after(nic(), nic(device="net1"))
    assert world.programmed(good)[0] == "True"
    assert world.programmed(bad)[1] == "PrivilegesMissing"
    assert world.bridges() == {"net0": "net1", "net1": "vmbr1"}


async def test_a_number_reused_for_another_guest_gets_its_nic_back_at_the_end() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic(device="net1"))
    assert world.kube.status(nic_key)["origin"] == "Created"
    world.vm = world.guest(500, "qemu", {"net0": TEXT.format(1), "net1": TEXT.format(9)})
    await world.passes(2)
    assert world.bridges()["net1"] == "net1"
    assert world.kube.status(nic_key)["origin"] == "Adopted"
    world.kube.delete(nic_key)
    await world.passes(2)
    assert world.vm.config["net1"] == TEXT.format(9)
    assert nic_key not in world.kube.objects


async def test_a_nic_that_is_lost_keeps_its_mac() -> None:
    world = Wired()
    await world.after(nic(device="net1"))
    before = world.vm.config.pop("net1")
    await world.passes(2)
    assert world.vm.config["net1"] == before


# --- what it costs ------------------------------------------------------------------------------------------------


async def test_a_thousand_nics_on_two_hundred_guests_are_two_hundred_writes_in_one_pass() -> None:
    world = Wired(nodes=8)
    vmids = range(1000, 1200)
    for n, vmid in enumerate(vmids):
        nics = {f"net{d}": f"virtio=BC:24:11:01:{n:02X}:{d:02X},bridge=vmbr0" for d in range(5)}
        world.guest(vmid, "qemu", nics, node=f"pve{n % 8 + 1}")
    keys = world.apply(*(nic(vmid, f"net{d}") for vmid in vmids for d in range(5)))
    await world.passes(1)
    assert Counter(world.guest_writes()) == {
        ("POST", f"/nodes/pve{n % 8 + 1}/qemu/{vmid}/config"): 1 for n, vmid in enumerate(vmids)
    }
    assert world.lab.applies == 1
    assert {bridge for vmid in vmids for bridge in world.bridges(vmid).values()} == {"net1"}
    assert {world.programmed(nic_key)[0] for nic_key in keys} == {"True"}
    patches = len(world.kube.writes)
    await world.passes(1)
    assert len(world.guest_writes()) == 200
    assert world.kube.writes[patches:] == [], "the second pass has nothing to say"


async def test_several_nics_of_one_guest_are_one_write_whatever_is_done_to_them() -> None:
    world = Wired()
    world.vm.config |= {"net1": TEXT.format(11), "net2": TEXT.format(12)}
    keys = await world.after(nic(), nic(device="net1"), nic(device="net5"))
    assert len(world.guest_writes()) == 1
    assert world.bridges() == {"net0": "net1", "net1": "net1", "net2": "vmbr0", "net5": "net1"}
    for nic_key in keys:
        world.kube.delete(nic_key)
    await world.passes(2)
    assert len(world.guest_writes()) == 2
    assert world.bridges() == {"net0": "vmbr0", "net1": "vmbr0", "net2": "vmbr0"}
    assert not any(nic_key in world.kube.objects for nic_key in keys)


async def test_guests_are_written_a_few_at_a_time_per_node() -> None:
    world = Wired()
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    def watch(when: str, method: str, path: str) -> None:
        if method == "POST" and path.endswith("/config"):
            node = path.split("/")[2]
            running[node] += 1 if when == "before" else 0
            most[node] = max(most[node], running[node])
        elif when == "after" and path.endswith("/tasks"):  # the node's list says that all have ended
            running[path.split("/")[2]] = 0

    for n in range(30):
        world.guest(1000 + n, "qemu", {"net0": f"virtio=BC:24:11:02:00:{n:02X},bridge=vmbr0"})
    world.interrupt = watch
    await world.after(*(nic(1000 + n) for n in range(30)))
    assert len(world.guest_writes()) == 30
    assert 1 < most["pve1"] <= PER_NODE


# --- what is written, and how -------------------------------------------------------------------------------------


async def test_a_vm_is_written_by_a_task_and_a_container_at_once_each_with_its_digest() -> None:
    world = Wired()
    sent: list[tuple[str, str, bool]] = []
    world.lab.faults.before.append(
        lambda request: (
            sent.append((request.method, request.path, bool(request.params.get("digest"))))
            if request.path.endswith("/config") and request.method != "GET"
            else None
        )
    )
    await world.after(nic(), nic(600, type="lxc"))
    assert sorted(sent) == [
        ("POST", "/nodes/pve1/qemu/500/config", True),
        ("PUT", "/nodes/pve1/lxc/600/config", True),
    ]
    assert Nic.parse("lxc", world.container.config["net0"]).get("ip") == "dhcp"
    assert Nic.parse("lxc", world.container.config["net0"]).get("hwaddr") == "BC:24:11:00:00:02"


async def test_an_added_nic_keeps_the_mac_it_got_and_is_taken_away_again() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic(device="net3"))
    status = world.kube.status(nic_key)
    assert status["origin"] == "Created"
    mac = status["macAddress"]
    await world.after(nic(device="net3", rateLimitMBps=5))
    assert world.kube.status(nic_key)["macAddress"] == mac
    assert world.kube.status(nic_key)["origin"] == "Created"
    world.kube.delete(nic_key)
    await world.passes(2)
    assert world.bridges() == {"net0": "vmbr0"}


async def test_a_new_vnet_moves_the_nic_and_the_way_back_stays_the_first() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic())
    await world.after(nic(vnetRef={"name": "net2"}))
    assert world.bridges() == {"net0": "net2"}
    assert world.kube.status(nic_key)["previousBridge"] == "vmbr0"
    world.kube.delete(nic_key)
    await world.passes(2)
    assert world.bridges() == {"net0": "vmbr0"}


async def test_a_nic_that_was_on_no_bridge_is_detached_from_the_vnet_though_the_operator_was_restarted() -> None:
    world = Wired()
    world.vm.config["net0"] = "virtio=BC:24:11:00:00:01"
    (nic_key,) = await world.after(nic())
    assert world.kube.status(nic_key)["previousBridge"] == ""
    world.die()
    await world.passes(1)
    world.kube.delete(nic_key)
    await world.passes(2)
    assert world.vm.config["net0"] == "virtio=BC:24:11:00:00:01"
    assert nic_key not in world.kube.objects


async def test_a_stopped_container_whose_bridge_is_gone_is_detached_though_proxmox_answers_500() -> None:
    """Proxmox looks for the bridge after it has written the configuration."""
    world = Wired()
    world.container.running = False
    (nic_key,) = await world.after(nic(600))
    text = "name=eth0,bridge=net1,hwaddr=BC:24:11:00:00:02,ip=dhcp,type=veth"
    assert world.container.config["net0"] == text
    status = world.kube.objects[nic_key]["status"]
    status["previousBridge"] = "vmbr9"
    world.die()
    await world.passes(1)
    world.kube.delete(nic_key)
    await world.passes(2)
    assert world.container.config["net0"] == text.replace("net1", "vmbr9")
    assert nic_key not in world.kube.objects
    assert len(world.events("Detached")) == 1


async def test_a_missing_bridge_is_not_a_missing_guest() -> None:
    world = Wired()
    fault = ErrorAnswer(method="PUT", path=".*/lxc/600/config", status=500, message="bridge 'net1' does not exist")
    world.lab.faults.add(fault)
    (nic_key,) = await world.after(nic(600))
    assert world.programmed(nic_key)[1:] == ("ApplyFailed", "Proxmox refused: bridge 'net1' does not exist")


async def test_a_write_that_proxmox_takes_without_effect_is_named_and_backs_off() -> None:
    world = Wired()
    await world.after()

    def undo(when: str, method: str, path: str) -> None:
        if when == "after" and method == "POST" and path.endswith("/config"):
            world.vm.config["net0"] = world.vm.config["net0"].replace("rate=5", "rate=4")

    world.interrupt = undo
    (nic_key,) = await world.after(nic(rateLimitMBps=5))
    assert len(world.guest_writes()) == 1
    status, reason, message = world.programmed(nic_key)
    assert (status, reason) == ("False", "ApplyFailed")
    assert message.endswith("or another client changed it at once: rateLimitMBps is 4, written 5")
    world.now += timedelta(minutes=1)
    await world.passes(1)
    assert len(world.guest_writes()) == 2
    world.interrupt = lambda *_: None
    world.now += timedelta(minutes=2)
    await world.passes(2)
    assert world.programmed(nic_key)[0] == "True"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_around_the_write_forgets_neither_origin_nor_the_way_back(moment: str) -> None:
    world = Wired()
    await world.after()

    def kill(when: str, method: str, path: str) -> None:
        if when == moment and method == "POST" and path.endswith("/config"):
            raise Killed

    keys = world.apply(nic(), nic(device="net4"))
    world.interrupt = kill
    with pytest.raises(Killed):
        await world.passes(1)
    world.interrupt = lambda *_: None
    world.die()
    await world.passes(3)
    assert [world.kube.status(k)["origin"] for k in keys] == ["Adopted", "Created"]
    for nic_key in keys:
        world.kube.delete(nic_key)
    await world.passes(2)
    assert world.bridges() == {"net0": "vmbr0"}


# --- locks --------------------------------------------------------------------------------------------------------

QEMU_LOCKS = (
    "backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspending", "suspended",
)  # fmt: skip
LXC_LOCKS = (
    "backup", "create", "destroyed", "disk", "fstrim", "migrate", "mounted", "rollback", "snapshot", "snapshot-delete",
)  # fmt: skip


@pytest.mark.parametrize(
    ("vmid", "lock"), [*((500, lock) for lock in QEMU_LOCKS), *((600, lock) for lock in LXC_LOCKS)]
)
async def test_a_locked_guest_is_written_when_the_lock_is_gone(vmid: int, lock: str) -> None:
    world = Wired()
    fault = world.lab.faults.add(GuestLocked(vmid=vmid, lock=lock))
    (nic_key,) = await world.after(nic(vmid))
    status, reason, message = world.programmed(nic_key)
    assert (status, reason) == ("False", "GuestLocked")
    assert lock in message
    assert world.guest_writes() == []
    assert world.kube.condition(nic_key, "Reconciling")["status"] == "True"
    world.lab.faults.remove(fault.id)
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "True"


async def test_a_lock_that_comes_between_read_and_write_is_a_lock_too() -> None:
    world = Wired()
    await world.after()
    (nic_key,) = world.apply(nic())

    def lock(when: str, method: str, path: str) -> None:
        if when == "before" and method == "POST" and path.endswith("/config"):
            world.vm.config["lock"] = "snapshot"

    world.interrupt = lock
    await world.passes(1)
    assert world.programmed(nic_key)[1] == "GuestLocked"
    world.interrupt = lambda *_: None
    del world.vm.config["lock"]
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "True"


async def test_a_busy_file_lock_passes() -> None:
    world = Wired()
    message = "can't lock file '/var/lock/qemu-server/lock-500.conf' - got timeout"
    world.lab.faults.add(ErrorAnswer(method="POST", path=".*/qemu/500/config", message=message, times=1))
    (nic_key,) = await world.after(nic())
    assert world.programmed(nic_key)[0] == "True"


async def test_a_guest_edited_meanwhile_is_read_again_and_the_edit_survives() -> None:
    world = Wired()
    await world.after()
    (nic_key,) = world.apply(nic())
    edited: list[Fault] = []

    def edit(when: str, method: str, path: str) -> None:
        if when == "before" and method == "POST" and path.endswith("/config") and not edited:
            edited.append(world.lab.faults.add(GuestEdited(vmid=500)))

    world.interrupt = edit
    await world.passes(1)
    assert "changed by another client" in world.programmed(nic_key)[2]
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "True"
    assert world.vm.config["description"] == "edited by another client"


# --- hotplug, pending, restarts -----------------------------------------------------------------------------------


async def test_without_hotplug_the_bridge_changes_at_once_and_the_model_at_the_next_start() -> None:
    world = Wired()
    world.vm.config["hotplug"] = "disk"
    (nic_key,) = await world.after(nic())
    assert world.programmed(nic_key)[0] == "True"
    await world.after(nic(model="e1000", queues=2))
    status, reason, message = world.programmed(nic_key)
    assert (status, reason) == ("False", "RestartRequired")
    assert "stopped and started" in message
    assert world.kube.status(nic_key)["restartRequired"] == ["model", "queues"]
    writes = world.guest_writes()
    await world.passes(2)
    assert world.guest_writes() == writes, "what waits for a restart is not written again"
    world.vm.stop()
    world.vm.start()
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "True"
    assert "restartRequired" not in world.kube.status(nic_key)


async def test_a_failed_hotplug_is_a_restart_with_proxmox_words() -> None:
    world = Wired()
    await world.after()
    (nic_key,) = world.apply(nic(mtu=1400))
    fault = world.lab.faults.add(HotplugFails(vmid=500))
    await world.passes(2)
    status, reason, message = world.programmed(nic_key)
    assert (status, reason) == ("False", "RestartRequired")
    assert "still busy" in message
    assert world.kube.status(nic_key)["restartRequired"] == ["vnetRef", "mtu"]
    world.lab.faults.remove(fault.id)
    world.vm.stop()
    world.vm.start()
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "True"


async def test_an_added_nic_that_cannot_be_plugged_waits_as_a_whole() -> None:
    world = Wired()
    world.vm.config["hotplug"] = "0"
    (nic_key,) = await world.after(nic(device="net2"))
    assert world.programmed(nic_key)[1] == "RestartRequired"
    assert world.kube.status(nic_key)["restartRequired"] == ["device"]


async def test_a_removed_nic_that_cannot_be_unplugged_holds_its_object_until_the_restart() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic(device="net2"))
    world.vm.config["hotplug"] = "0"
    world.kube.delete(nic_key)
    await world.passes(2)
    assert world.programmed(nic_key)[1] == "RestartRequired"
    world.vm.stop()
    world.vm.start()
    await world.passes(1)
    assert nic_key not in world.kube.objects


async def test_a_containers_two_digit_nic_leaves_at_its_next_start() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic(600, "net10", type="lxc"))
    assert world.programmed(nic_key)[0] == "True"
    world.kube.delete(nic_key)
    await world.passes(2)
    assert world.programmed(nic_key)[1] == "RestartRequired"
    world.container.stop()
    world.container.start()
    await world.passes(1)
    assert nic_key not in world.kube.objects


async def test_a_container_that_cannot_be_plugged_keeps_what_it_had_and_is_tried_again() -> None:
    world = Wired()
    await world.after()
    before = dict(world.container.config)
    fault = world.lab.faults.add(HotplugFails(vmid=600))
    (nic_key,) = await world.after(nic(600))
    assert world.programmed(nic_key)[1] == "ApplyFailed"
    assert world.container.config == before
    world.lab.faults.remove(fault.id)
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "True"


async def test_a_failed_task_is_told_and_what_is_there_counts() -> None:
    world = Wired()
    world.lab.faults.add(TaskFails(type="qmconfig", times=1))
    (nic_key,) = await world.after(nic())
    assert world.programmed(nic_key)[0] == "True"


async def test_a_stopped_guest_takes_everything() -> None:
    world = Wired()
    world.vm.running = False
    world.vm.config["hotplug"] = "0"
    (nic_key,) = await world.after(nic(model="e1000", mtu=1400))
    assert world.programmed(nic_key)[0] == "True"


async def test_a_value_proxmox_refuses_holds_up_no_other_nic_and_is_not_sent_again() -> None:
    world = Wired()
    world.vm.config["net1"] = TEXT.format(3)
    await world.after()
    refused = ErrorAnswer(
        method="POST", path=".*/qemu/500/config", status=400, message="Parameter verification failed."
    )
    refused.around = _refusing("net1", "mtu: value must have a maximum value of 1300")  # type: ignore[method-assign]
    world.lab.faults.add(refused)
    good, bad = await world.after(nic(), nic(device="net1", mtu=1400))
    assert world.programmed(good)[0] == "True"
    status, reason, message = world.programmed(bad)
    assert (status, reason) == ("False", "ApplyFailed")
    assert "maximum value of 1300" in message
    assert world.kube.condition(bad, "Stalled")["status"] == "True"
    sent = len([1 for method, path, _ in world.lab.journal if method == "POST" and path.endswith("/config")])
    await world.passes(3)
    assert len([1 for method, path, _ in world.lab.journal if method == "POST" and path.endswith("/config")]) == sent
    world.lab.faults.remove(refused.id)
    await world.after(nic(device="net1", mtu=1300))
    assert world.programmed(bad)[0] == "True"


def _refusing(parameter: str, text: str) -> Callable[[Lab, Request, Proceed], Answer]:
    """Refuses a request for one parameter, as Proxmox does when a value breaks a rule; lets others through."""

    def around(_lab: Lab, request: Request, proceed: Proceed) -> Answer:
        if parameter not in request.params:
            return proceed()
        body = {"data": None, "errors": {parameter: text}, "message": "Parameter verification failed.\n"}
        return Answer(400, "Parameter verification failed.", body)

    return around


async def test_an_unknown_outcome_is_read_before_it_is_repeated() -> None:
    world = Wired()
    world.lab.faults.add(GatewayError(method="POST", path=".*/qemu/500/config", outcome="done", times=1))
    (nic_key,) = await world.after(nic())
    assert world.programmed(nic_key)[0] == "True"
    assert len([1 for method, path, _ in world.lab.journal if method == "POST" and path.endswith("500/config")]) == 1


# --- where the guest is -------------------------------------------------------------------------------------------


async def test_a_guest_that_appears_later_is_attached_then() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic(700))
    assert world.programmed(nic_key)[1] == "RefNotFound"
    world.guest(700, "qemu", {"net0": TEXT.format(7)}, node="pve3")
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "True"
    assert world.kube.status(nic_key)["node"] == "pve3"


async def test_a_moved_guest_is_followed_and_told_of_once() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic())
    world.lab.faults.add(GuestMoves(vmid=500, target="pve2"))
    await world.passes(2)
    assert world.kube.status(nic_key)["node"] == "pve2"
    assert world.events("Moved") == ["VM 500 (g500) moved from pve1 to pve2"]
    assert len(world.guest_writes()) == 1
    await world.after(nic(mtu=1400))
    assert world.guest_writes()[-1] == ("POST", "/nodes/pve2/qemu/500/config")


async def test_a_guest_that_moves_between_read_and_write_is_found_again() -> None:
    world = Wired()
    await world.after()
    (nic_key,) = world.apply(nic())

    def move(when: str, method: str, path: str) -> None:
        if when == "before" and method == "POST" and path.endswith("/config") and world.vm.node == "pve1":
            world.vm.node = "pve3"

    world.interrupt = move
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "False"
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "True"
    assert world.kube.status(nic_key)["node"] == "pve3"


async def test_a_guest_on_a_dead_node_waits_and_keeps_its_object() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic())
    fault = world.lab.faults.add(NodeOffline(node="pve1"))
    await world.passes(1)
    assert world.programmed(nic_key)[0] == "False"
    world.kube.delete(nic_key)
    await world.passes(2)
    assert nic_key in world.kube.objects
    world.lab.faults.remove(fault.id)
    await world.passes(2)
    assert nic_key not in world.kube.objects
    assert world.bridges() == {"net0": "vmbr0"}


# --- who, and what is said ----------------------------------------------------------------------------------------


async def test_a_withdrawn_grant_stops_management_and_leaves_the_nic() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic())
    await world.after(cluster())
    assert world.kube.condition(nic_key, "Accepted")["reason"] == "RefNotPermitted"
    assert world.bridges() == {"net0": "net1"}
    assert "node" not in world.kube.status(nic_key)
    world.vm.config["net0"] = TEXT.format(1)
    await world.passes(2)
    assert world.bridges() == {"net0": "vmbr0"}, "nothing is corrected any more"
    await world.after(cluster(guestAccess=ACCESS))
    assert world.bridges() == {"net0": "net1"}


async def test_drift_is_told_and_put_back() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic())
    world.lab.faults.add(GuestEdited(vmid=500, set="net0=virtio=BC:24:11:00:00:01,bridge=vmbr0"))
    await world.passes(1)
    assert world.bridges() == {"net0": "net1"}
    assert world.events("Drifted") == ["vnetRef is vmbr0, specified net1: the specified values are written back"]
    assert world.programmed(nic_key)[0] == "True"


async def test_events_say_what_happened_in_words() -> None:
    world = Wired()
    keys = await world.after(nic(), nic(device="net1"))
    assert sorted(world.events("Attached")) == [
        "added net1 of VM 500 (g500) on pve1 to net1",
        "connected net0 of VM 500 (g500) on pve1 to net1 (was on vmbr0)",
    ]
    await world.after(nic(mtu=1400))
    assert world.events("Updated") == ["changed mtu of net0 of VM 500 (g500) on pve1"]
    world.kube.delete(keys[0])
    await world.passes(2)
    assert world.events("Detached") == ["detached net0 of VM 500 (g500) from net1"]


async def test_a_nic_that_was_on_its_vnet_before_stays_there_and_that_is_told_once() -> None:
    world = Wired()
    world.vm.config["net0"] = on_vnet = TEXT.format(1).replace("vmbr0", "net1")
    (nic_key,) = await world.after(nic())
    world.kube.delete(nic_key)
    await world.passes(2)
    assert nic_key not in world.kube.objects
    assert world.vm.config["net0"] == on_vnet
    why = "because no bridge is known that it was on before"
    assert world.events("Orphaned") == [f"left in Proxmox: net0 of VM 500 (g500) on net1, {why}"]


async def test_a_vnet_goes_only_after_its_nics() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic())
    for doc in (vnet("net1", 5001), nic()):
        world.kube.delete(key(doc))
    await world.settle()
    assert nic_key not in world.kube.objects
    assert key(vnet("net1", 5001)) not in world.kube.objects
    assert world.bridges() == {"net0": "vmbr0"}


async def test_a_guest_costs_one_read_per_sync() -> None:
    world = Wired()
    await world.after(nic())
    before = len(world.lab.journal)
    await world.passes(1)
    reads = [path for method, path, _ in world.lab.journal[before:] if "/qemu/" in path or "/lxc/" in path]
    assert sorted(reads) == sorted(
        f"/nodes/{guest.node}/{guest.kind}/{vmid}/pending" for vmid, guest in world.lab.guests.items()
    )


async def test_a_vnet_is_not_taken_from_under_a_nic_that_is_still_plugged_in() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic(device="net2"))
    world.vm.config["hotplug"] = "0"
    vnet_key = key(vnet("net1", 5001))
    world.kube.delete(nic_key)
    await world.passes(2)
    world.kube.annotate(nic_key, "pve-evpn.dev/force-orphan", world.kube.objects[nic_key]["metadata"]["uid"])
    world.kube.delete(vnet_key)
    await world.passes(3)
    assert nic_key not in world.kube.objects
    assert "net1" in world.lab.sdn.running["vnets"]
    assert "VM 500" in world.programmed(vnet_key)[2]
    world.vm.stop()
    world.vm.start()
    await world.passes(3)
    assert "net1" not in world.lab.sdn.running["vnets"]


async def test_one_guest_that_may_not_be_read_hides_no_other() -> None:
    world = Wired()
    world.lab.faults.add(ErrorAnswer(path=".*/lxc/600/pending", status=403, message="Permission check failed"))
    first, second = await world.after(nic(), nic(600))
    assert world.programmed(first)[0] == "True"
    assert world.programmed(second)[1] == "Pending"


async def test_an_object_changed_meanwhile_is_planned_anew_before_its_guest_is_written() -> None:
    world = Wired()
    await world.after()
    (nic_key,) = world.apply(nic())
    changed: list[str] = []

    def change(what: str) -> None:
        if what == f"metadata {nic_key}" and not changed:
            changed.append(what)
            world.kube.apply(nic(vnetRef={"name": "net2"}))

    world.kube.around = change
    await world.passes(1)
    assert world.guest_writes() == []
    await world.passes(1)
    assert world.bridges() == {"net0": "net2"}
    assert len(world.guest_writes()) == 1


class Nodes(Unseeing):
    """An observer that has seen nothing special, and nodes whose helper does what it is asked."""

    looks = ClusterObservation(datetime(2026, 1, 1, tzinfo=UTC))

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def helper(self) -> Nodes:
        return self

    async def ask(self, node: NodeTarget, command: str, request: str) -> str:
        lines = request.splitlines()
        self._log += [f"{node.name}: {line}" for line in lines]
        return "\n".join(["pve-evpn-pin 1", *("done" for _ in lines), "pve-evpn-pin end"])


PINNING = {
    "sources": ["ssh"],
    "ssh": {"keySecretRef": {"name": "k", "key": "k"}, "knownHosts": ["pve1 ssh-ed25519 AAAA"], "pinning": True},
}


@pytest.mark.parametrize(
    ("change", "written"), [("delete", "net0 vmbr0"), ("move", "net0 net2"), ("link", "net0 net1")]
)
async def test_a_pin_goes_before_its_nic_changes(change: str, written: str) -> None:
    log: list[str] = []
    world = Wired(observe=PINNING)
    world.observer = Nodes(log)
    (nic_key,) = await world.after(nic(silentHost="Pin"))
    status = world.kube.status(nic_key)
    assert status["pinned"] is True
    assert status["pin"] == {"node": "pve1", "vnet": "net1", "vmid": 500, "macAddress": "bc:24:11:00:00:01"}

    def watch(request: Request) -> None:
        if request.method == "POST" and request.path.endswith("/config"):
            log.append(f"net0 {Nic.parse('qemu', request.params['net0']).bridge}")

    world.lab.faults.before.append(watch)
    log.clear()
    match change:
        case "delete":
            world.kube.delete(nic_key)
        case "move":
            world.apply(nic(silentHost="Pin", vnetRef={"name": "net2"}))
        case "link":
            world.apply(nic(silentHost="Pin", linkDown=True))
    await world.passes(1)
    assert log[:2] == ["pve1: unpin net1 500 0 bc:24:11:00:00:01", written]
    if change == "move":
        assert log[2:] == ["pve1: pin net2 500 0 bc:24:11:00:00:01"]
    assert world.events("Unpinned")


async def test_a_nic_deleted_while_no_operator_ran_is_unpinned_before_it_is_detached() -> None:
    log: list[str] = []
    world = Wired(observe=PINNING)
    world.observer = Nodes(log)
    (nic_key,) = await world.after(nic(silentHost="Pin"))
    world.kube.delete(nic_key)
    log.clear()
    world.observer = Unseeing()  # a new process has no way to the nodes before its first poll
    world.start()
    await world.passes(1)
    assert world.bridges() == {"net0": "net1"}
    assert "pve1" in world.programmed(nic_key)[2]
    world.observer = Nodes(log)
    world.start()
    await world.passes(2)
    assert log == ["pve1: unpin net1 500 0 bc:24:11:00:00:01"]
    assert world.bridges() == {"net0": "vmbr0"}
    assert nic_key not in world.kube.objects


async def test_one_read_that_fails_removes_no_pin() -> None:
    log: list[str] = []
    world = Wired(observe=PINNING)
    world.observer = Nodes(log)
    (nic_key,) = await world.after(nic(silentHost="Pin"))
    log.clear()
    path = "/nodes/pve1/qemu/500/pending"
    world.lab.faults.add(ErrorAnswer(method="GET", path=path, status=500, message="got timeout", times=1))
    await world.passes(2)
    assert [line for line in log if "unpin" in line] == []
    assert world.kube.status(nic_key)["pinned"] is True


async def test_a_pinned_guest_that_moves_is_pinned_where_it_is_and_a_restart_says_nothing() -> None:
    log: list[str] = []
    world = Wired(observe=PINNING)
    world.observer = Nodes(log)
    (nic_key,) = await world.after(nic(silentHost="Pin"))
    world.lab.faults.add(GuestMoves(vmid=500, target="pve2"))
    log.clear()
    await world.passes(1)
    assert log == ["pve1: unpin net1 500 0 bc:24:11:00:00:01", "pve2: pin net1 500 0 bc:24:11:00:00:01"]
    assert world.kube.status(nic_key)["pin"]["node"] == "pve2"
    world.observer = Unseeing()  # a new process has not polled yet
    world.start()
    patches = len(world.kube.writes)
    await world.passes(2)
    assert world.kube.writes[patches:] == []
