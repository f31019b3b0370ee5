"""Guests' configuration: pending values, hotplug, digests, locks, MACs, migration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pve_lab.guests import read_guests
from tests.lab.clients import LabClient

VM = "/nodes/pve4/qemu/100"
CT = "/nodes/pve2/lxc/200"
NET0 = "virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1"
CT_NET0 = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:22:22:22,ip=dhcp,type=veth"


def pending(pve: LabClient, guest: str, key: str) -> dict[str, object]:
    row = next((row for row in pve.get(f"{guest}/pending") if row["key"] == key), {})
    return {name: value for name, value in row.items() if name != "key"}


# --- VMs ----------------------------------------------------------------------------------------------------------


def test_a_post_is_pending_while_its_task_runs_and_live_when_it_has_ended(pve: LabClient) -> None:
    pve.overlay()
    moved = NET0.replace("vmbr0", "v1")
    upid = pve.post(f"{VM}/config", net0=moved)
    assert upid.split(":")[5:8] == ["qmconfig", "100", "root@pam!tok"]
    assert pve.exit_of(upid) is None
    assert pending(pve, VM, "net0") == {"value": NET0, "pending": moved}
    assert pve.get(f"{VM}/config")["net0"] == moved
    assert pve.get(f"{VM}/config", current=1)["net0"] == NET0
    pve.wait()
    assert pve.exit_of(upid) == "OK"
    assert pending(pve, VM, "net0") == {"value": moved}


def test_a_long_background_delay_answers_without_a_task(pve: LabClient) -> None:
    assert pve.post(f"{VM}/config", net0=NET0 + ",link_down=1", background_delay=5) is None
    assert pve.get(f"{VM}/config", current=1)["net0"].endswith("link_down=1")


def test_a_bridge_that_is_not_there_fails_the_task_and_stays_pending(pve: LabClient) -> None:
    upid = pve.post(f"{VM}/config", net0=NET0.replace("vmbr0", "nowhere"))
    pve.wait()
    assert "net0: hotplug problem - interface nowhere does not exist" in str(pve.exit_of(upid))
    assert pending(pve, VM, "net0")["value"] == NET0
    assert "pending" in pending(pve, VM, "net0")


@pytest.mark.parametrize(("firewall", "named"), [("0", "bridge 'nowhere'"), ("1", "interface nowhere")])
def test_the_same_by_put_is_a_parameter_error(pve: LabClient, firewall: str, named: str) -> None:
    """With a firewall it is the firewall's own bridge that misses the other one."""
    wanted = f"virtio=BC:24:11:11:11:11,bridge=nowhere,firewall={firewall}"
    errors = pve.errors("PUT", f"{VM}/config", net0=wanted)
    assert errors == {"net0": f"hotplug problem - {named} does not exist\n"}
    assert "pending" in pending(pve, VM, "net0")


def test_a_vnet_can_be_plugged_only_where_its_node_has_loaded_it(pve: LabClient) -> None:
    pve.overlay()
    pve.lab.nodes["pve4"].applied = None
    assert "net0" in pve.errors("PUT", f"{VM}/config", net0=NET0.replace("vmbr0", "v1"))


@pytest.mark.parametrize("change", ["firewall=0", "firewall=1,rate=10", "firewall=1,link_down=1", "firewall=1,tag=7"])
def test_without_hotplug_the_tap_can_still_be_changed(pve: LabClient, change: str) -> None:
    pve.lab.guests[100].config["hotplug"] = "disk"
    new = f"virtio=BC:24:11:11:11:11,bridge=vmbr0,{change}"
    pve.put(f"{VM}/config", net0=new)
    written = pending(pve, VM, "net0")
    assert written.keys() == {"value"}
    assert set(str(written["value"]).split(",")) == set(new.split(","))


@pytest.mark.parametrize(
    "new",
    [
        "e1000=BC:24:11:11:11:11,bridge=vmbr0,firewall=1",
        "virtio=BC:24:11:11:11:12,bridge=vmbr0,firewall=1",
        NET0 + ",mtu=1450",
        NET0 + ",queues=4",
        "virtio=BC:24:11:11:11:11,firewall=1",
    ],
)
def test_without_hotplug_what_takes_the_device_out_waits_for_a_restart(pve: LabClient, new: str) -> None:
    pve.lab.guests[100].config["hotplug"] = "disk"
    pve.put(f"{VM}/config", net0=new)
    assert pending(pve, VM, "net0") == {"value": NET0, "pending": new}
    upid = pve.post(f"{VM}/status/reboot")
    pve.wait()
    assert pve.exit_of(upid) == "OK"
    assert pending(pve, VM, "net0") == {"value": new}


def test_without_hotplug_a_nic_is_neither_added_nor_removed_before_a_restart(pve: LabClient) -> None:
    pve.lab.guests[100].config["hotplug"] = "0"
    pve.put(f"{VM}/config", net1="virtio=BC:24:11:00:00:01,bridge=vmbr0", delete="net0")
    assert pending(pve, VM, "net1") == {"pending": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}
    assert pending(pve, VM, "net0") == {"value": NET0, "delete": 1}
    assert "net0" not in pve.get(f"{VM}/config")
    pve.put(f"{VM}/config", revert="net0,net1")
    assert pending(pve, VM, "net0") == {"value": NET0}
    assert pending(pve, VM, "net1") == {}


def test_a_stopped_vm_takes_everything_at_once(pve: LabClient) -> None:
    guest = pve.lab.guests[100]
    guest.stop()
    guest.config["hotplug"] = "0"
    pve.put(f"{VM}/config", net0="e1000=BC:24:11:11:11:11,bridge=nowhere", cores=4)
    assert pending(pve, VM, "net0") == {"value": "e1000=BC:24:11:11:11:11,bridge=nowhere"}
    assert pve.get(f"{VM}/config")["cores"] == 4


def test_other_options_of_a_running_vm_wait_or_do_not(pve: LabClient) -> None:
    pve.put(f"{VM}/config", cores=4, description="a text", name="other")
    assert pending(pve, VM, "cores") == {"pending": 4}
    assert pending(pve, VM, "description") == {"value": "a text"}
    assert pve.get(f"{VM}/config")["name"] == "other"


def test_every_write_without_a_mac_invents_another_one(pve: LabClient) -> None:
    seen = set()
    for _ in range(3):
        pve.put(f"{VM}/config", net1="virtio,bridge=vmbr0")
        text = pve.get(f"{VM}/config")["net1"]
        assert text.endswith(",bridge=vmbr0")
        seen.add(text)
    assert len(seen) == 3
    assert all(text.startswith("virtio=BC:24:11:") for text in seen)


def test_a_nic_is_stored_in_proxmox_own_order(pve: LabClient) -> None:
    pve.put(f"{VM}/config", net1="tag=5,firewall=on,model=e1000,bridge=vmbr0,macaddr=02:00:00:00:00:01")
    assert pve.get(f"{VM}/config")["net1"] == "e1000=02:00:00:00:00:01,bridge=vmbr0,firewall=1,tag=5"
    pve.put(f"{CT}/config", net1="bridge=vmbr0,ip=10.0.0.2/24,name=eth1,hwaddr=02:00:00:00:00:02")
    assert pve.get(f"{CT}/config")["net1"] == (
        "name=eth1,bridge=vmbr0,hwaddr=02:00:00:00:00:02,ip=10.0.0.2/24,type=veth"
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bridge=vmbr0", "model: property is missing"),
        ("virtio=BC:24:11:11:11:11,colour=red", "colour: property is not defined"),
        ("virtio=BC:24:11:11:11:11,tag=4095", "tag: value must have a maximum value of 4094"),
        ("virtio=BC:24:11:11:11:11,mtu=0", "mtu: value must have a minimum value of 1"),
        ("virtio=01:00:5E:00:00:01", "unicast MAC"),
        ("virtio=BC:24:11:11:11:11,tag=1,tag=2", "duplicate key"),
        ("gluon=BC:24:11:11:11:11", "gluon: property is not defined"),
    ],
)
def test_a_malformed_nic_is_named(pve: LabClient, text: str, named: str) -> None:
    assert named in pve.errors("PUT", f"{VM}/config", net0=text)["net0"]


def test_a_containers_nic_needs_a_name(pve: LabClient) -> None:
    assert "name: property is missing" in pve.errors("PUT", f"{CT}/config", net1="bridge=vmbr0")["net1"]
    assert "ip: invalid format" in pve.errors("PUT", f"{CT}/config", net1="name=eth1,ip=10.0.0.2")["net1"]


def test_nothing_to_do_is_refused(pve: LabClient) -> None:
    assert pve.message("PUT", f"{VM}/config") == "no options specified\n"


# --- digest and locks -----------------------------------------------------------------------------------------------


def test_the_digest_is_of_the_whole_file_with_what_is_pending(pve: LabClient) -> None:
    before = pve.get(f"{VM}/config")["digest"]
    pve.put(f"{VM}/config", cores=4)
    after = pve.get(f"{VM}/config")["digest"]
    assert after != before
    text = pve.message("PUT", f"{VM}/config", net0=NET0, digest=before)
    assert text == "checksum mismatch (file change by other user?)\n"
    pve.put(f"{VM}/config", net0=NET0, digest=after)


def test_a_container_says_it_in_other_words(pve: LabClient) -> None:
    text = pve.message("PUT", f"{CT}/config", net0=CT_NET0, digest="0" * 40)
    assert text == "detected modified configuration - file changed by other user? Try again.\n"


@pytest.mark.parametrize(("guest", "vmid", "word"), [(VM, 100, "VM"), (CT, 200, "CT")])
def test_a_locked_guest_is_not_written(pve: LabClient, guest: str, vmid: int, word: str) -> None:
    pve.lab.guests[vmid].config["lock"] = "backup"
    assert pve.message("PUT", f"{guest}/config", description="x") == f"{word} is locked (backup)\n"
    rows = pve.get("/cluster/resources", type="vm")
    assert next(row for row in rows if row["vmid"] == vmid)["lock"] == "backup"


def test_a_token_may_not_skip_the_lock(pve: LabClient) -> None:
    pve.lab.guests[100].config["lock"] = "backup"
    errors = pve.errors("PUT", f"{VM}/config", description="x", skiplock=1)
    assert errors == {"skiplock": "Only root may use this option."}
    pve.ask("PUT", f"{VM}/config", user="root@pam", description="x", skiplock=1)
    assert pve.get(f"{VM}/config")["description"] == "x"


# --- containers -----------------------------------------------------------------------------------------------------


def test_a_running_container_takes_its_nics_at_once(pve: LabClient) -> None:
    pve.overlay()
    new = CT_NET0.replace("vmbr0", "v1")
    assert pve.put(f"{CT}/config", net0=new) is None
    assert pending(pve, CT, "net0") == {"value": new}
    pve.put(f"{CT}/config", delete="net0")
    assert pending(pve, CT, "net0") == {}


def test_an_error_leaves_a_container_as_it_was(pve: LabClient) -> None:
    errors = pve.errors("PUT", f"{CT}/config", net0=CT_NET0.replace("vmbr0", "nowhere"), description="x")
    assert errors == {"net0": "unable to hotplug net0: bridge 'nowhere' does not exist\n"}
    assert pending(pve, CT, "net0") == {"value": CT_NET0}
    assert "description" not in pve.get(f"{CT}/config")


def test_a_two_digit_nic_of_a_running_container_is_not_taken_out(pve: LabClient) -> None:
    pve.put(f"{CT}/config", net10="name=eth10,bridge=vmbr0")
    pve.put(f"{CT}/config", delete="net10")
    assert pending(pve, CT, "net10")["delete"] == 1


def test_a_container_has_no_post(pve: LabClient) -> None:
    assert pve.ask("POST", f"{CT}/config", net0=CT_NET0).status == 501


# --- where guests are -------------------------------------------------------------------------------------------------


def test_a_migration_locks_the_guest_until_it_is_there(pve: LabClient) -> None:
    upid = pve.post(f"{VM}/migrate", target="pve1", online=1)
    assert pve.message("POST", f"{VM}/config", net0=NET0) == "VM is locked (migrate)\n"
    pve.wait()
    assert pve.exit_of(upid) == "OK"
    text = pve.message("GET", f"{VM}/config")
    assert text == "Configuration file 'nodes/pve4/qemu-server/100.conf' does not exist\n"
    assert pve.get("/nodes/pve1/qemu/100/config")["net0"] == NET0


def test_a_migration_to_a_node_without_the_vnet_fails(pve: LabClient) -> None:
    pve.overlay()
    pve.put("/cluster/sdn/zones/z1", nodes="pve3,pve4")
    pve.put("/cluster/sdn")
    pve.wait()
    pve.put(f"{VM}/config", net0=NET0.replace("vmbr0", "v1"))
    upid = pve.post(f"{VM}/migrate", target="pve1", online=1)
    pve.wait()
    assert pve.exit_of(upid) == "vnet v1 is not allowed on this node"
    assert pve.lab.guests[100].node == "pve4"
    assert pve.lab.guests[100].lock == ""


def test_what_a_migration_refuses(pve: LabClient) -> None:
    assert pve.errors("POST", f"{VM}/migrate", target="pve4") == {"target": "target is local node."}
    assert "--online" in pve.message("POST", f"{VM}/migrate", target="pve1")
    pve.lab.nodes["pve1"].online = False
    assert "not online" in pve.message("POST", f"{VM}/migrate", target="pve1", online=1)


def test_a_template_is_shown_as_one_and_does_not_start(pve: LabClient) -> None:
    guest = pve.lab.guests[100]
    guest.stop()
    guest.config["template"] = "1"
    rows = pve.get("/cluster/resources", type="vm")
    assert [row["template"] for row in rows if row["vmid"] == 100] == [1]
    with pytest.raises(Exception, match="template"):
        guest.start()


def test_a_guest_on_a_node_that_is_away_is_listed_but_cannot_be_read(pve: LabClient) -> None:
    pve.lab.nodes["pve4"].online = False
    rows = pve.get("/cluster/resources", type="vm")
    assert next(row for row in rows if row["vmid"] == 100)["status"] == "unknown"
    assert pve.ask("GET", f"{VM}/config").status == 595


# --- what the recordings of the guests' code added -------------------------------------------------------------------


def test_numbers_of_the_schema_are_numbers_everywhere(pve: LabClient) -> None:
    """The memory of a VM is a property string, that of a container a number."""
    for guest, memory in ((VM, "2048"), (CT, 2048)):
        pve.lab.guests[100 if guest == VM else 200].config.update(memory="2048", cores="2")
        assert pve.get(f"{guest}/config")["memory"] == memory
        assert pending(pve, guest, "memory") == {"value": memory}
        assert pending(pve, guest, "cores") == {"value": 2}


@pytest.mark.parametrize("name", ["colour", "net32", "digest"])
def test_only_options_can_be_deleted_and_reverted(pve: LabClient, name: str) -> None:
    for guest in (VM, CT):
        for what in ("delete", "revert"):
            assert pve.errors("PUT", f"{guest}/config", **{what: name}) == {what: f"unknown option '{name}'"}


@pytest.mark.parametrize(
    ("boot", "delete", "left"),
    [
        ("order=net0", "net0", " "),
        ("order=scsi0;net0;net1", "net0", "order=scsi0;net1"),
        ("order=scsi0;net0;net1", "net0,net1", "order=scsi0"),
        ("order=scsi0", "net0", "order=scsi0"),
        ("order=net0", "net0,boot", None),
    ],
)
@pytest.mark.parametrize("running", [True, False])
def test_a_deleted_nic_leaves_the_boot_order(
    pve: LabClient, boot: str, delete: str, left: str | None, running: bool
) -> None:
    guest = pve.lab.guests[100]
    guest.config |= {"boot": boot, "net1": "virtio=BC:24:11:11:11:12,bridge=vmbr0"}
    guest.running = running
    pve.put(f"{VM}/config", delete=delete)
    assert pve.get(f"{VM}/config").get("boot") == left
    assert pve.get(f"{VM}/config", current=1).get("boot") == (boot if running else left)


@pytest.mark.parametrize("bridge", ["nowhere", ""])
def test_a_stopped_container_is_written_and_refused(pve: LabClient, bridge: str) -> None:
    """Proxmox finds the missing bridge after the write, when it makes the container's own files."""
    pve.lab.guests[200].stop()
    wanted = "name=eth0,hwaddr=BC:24:11:22:22:22,type=veth"
    wanted = wanted.replace("eth0,", f"eth0,bridge={bridge},") if bridge else wanted
    assert pve.message("PUT", f"{CT}/config", net0=wanted) == f"bridge '{bridge}' does not exist\n"
    assert pve.get(f"{CT}/config")["net0"] == wanted
    # Any other write to it fails in the same way, and happens.
    assert pve.message("PUT", f"{CT}/config", description="x") == f"bridge '{bridge}' does not exist\n"
    assert pve.get(f"{CT}/config")["description"] == "x"


@pytest.mark.parametrize(("bridge", "mtu", "most"), [("vmbr0", 1501, 1500), ("v1", 1451, 1450)])
@pytest.mark.parametrize("running", [True, False])
def test_a_containers_mtu_is_at_most_its_bridges(
    pve: LabClient, bridge: str, mtu: int, most: int, running: bool
) -> None:
    pve.overlay()
    guest = pve.lab.guests[200]
    guest.running, before = running, guest.config["net0"]
    wanted = f"name=eth0,bridge={bridge},hwaddr=BC:24:11:22:22:22,mtu="
    text = pve.message("PUT", f"{CT}/config", net0=f"{wanted}{mtu}")
    assert text == f"net0: MTU size '{mtu}' is bigger than bridge MTU '{most}'\n"
    assert guest.config["net0"] == before
    pve.put(f"{CT}/config", net0=f"{wanted}{most}")


def test_a_wrong_net_string_is_named_before_the_guest_is_missed(pve: LabClient) -> None:
    path = "/nodes/pve4/qemu/999/config"
    assert pve.errors("PUT", path, net0="virtio,colour=1", net1="x").keys() == {"net0", "net1"}
    assert "does not exist" in pve.message("PUT", path, net0="virtio")


def test_guests_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "guests.json"
    rows = [
        {"vmid": 7, "kind": "qemu", "node": "pve1", "name": "a", "running": False, "config": {"cores": 2}},
        {"vmid": 8, "kind": "lxc", "node": "pve2", "name": "b"},
    ]
    file.write_text(json.dumps(rows))
    guests = read_guests(file)
    assert (guests[7].running, guests[7].config, guests[8].running, guests[8].name) == (
        False,
        {"cores": "2"},
        True,
        "b",
    )
    for wrong in ({"kind": "qemu", "node": "pve1"}, {"vmid": 9, "kind": "pot", "node": "pve1"}):
        file.write_text(json.dumps([*rows, wrong]))
        with pytest.raises(ValueError, match="entry 2"):
            read_guests(file)
