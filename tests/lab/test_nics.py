"""Net strings: read, printed and refused as the code of VMs and containers does."""

from __future__ import annotations

import pytest

from pve_lab.nics import MODELS, Nic

MAC = "BC:24:11:00:00:07"
QEMU = f"virtio={MAC}"
LXC = f"name=eth0,hwaddr={MAC}"


def printed(kind: str, text: str) -> str:
    return Nic.parse(kind, text).with_mac(lambda: MAC).text()


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("e1000", f"e1000={MAC}"),
        ("bridge=vmbr0,e1000", f"e1000={MAC},bridge=vmbr0"),
        (f"tag=7,model=virtio,macaddr={MAC},bridge=v1", f"virtio={MAC},bridge=v1,tag=7"),
        (f"macaddr=BC:24:11:00:00:01,virtio={MAC}", f"virtio={MAC}"),
        (f"{QEMU},firewall=Yes,link_down=OFF", f"{QEMU},firewall=1,link_down=0"),
        (f"{QEMU},host-tunnel=on", f"{QEMU},host-tunnel=1"),
        (f"{QEMU},rate=.25,mtu=0900,queues=+4", f"{QEMU},mtu=0900,queues=+4,rate=.25"),
        (f"{QEMU},rate=1e3", f"{QEMU},rate=1e3"),
        (f",,{QEMU},", QEMU),
        (f"{QEMU}\n", QEMU),
        ("virtio=bc:24:11:aa:BB:cc", "virtio=bc:24:11:aa:BB:cc"),
    ],
)
def test_a_vms_nic_is_stored(text: str, stored: str) -> None:
    assert printed("qemu", text) == stored


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("name=eth0", f"{LXC},type=veth"),
        (f"hwaddr={MAC},bridge=v1,name=eth0", f"name=eth0,bridge=v1,hwaddr={MAC},type=veth"),
        (f"{LXC},ip=10.9.0.7/8,gw=10.0.0.1", f"name=eth0,gw=10.0.0.1,hwaddr={MAC},ip=10.9.0.7/8,type=veth"),
        (f"{LXC},ip6=auto,rate=-1", f"{LXC},ip6=auto,rate=-1,type=veth"),
        (f"{LXC},firewall=TRUE", f"name=eth0,firewall=1,hwaddr={MAC},type=veth"),
    ],
)
def test_a_containers_nic_is_stored(text: str, stored: str) -> None:
    assert printed("lxc", text) == stored


def refusal(kind: str, text: str) -> str:
    with pytest.raises(ValueError, match=r"^invalid format - ") as refused:
        Nic.parse(kind, text, "net3")
    return str(refused.value).removeprefix("invalid format - ")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("qemu", "virtio,e1000", "duplicate key in comma-separated list property: model\n"),
        ("qemu", f"{QEMU},e1000=BC:24:11:00:00:08", "key alias 'model' is already defined\n"),
        ("qemu", f"{QEMU},macaddr={MAC}", "duplicate key in comma-separated list property: macaddr\n"),
        ("qemu", f"{QEMU},tag=1,tag=2", "duplicate key in comma-separated list property: tag\n"),
        ("qemu", f"colour=1,tag=x,{QEMU},bridge=", "missing key in comma-separated list property\n"),
        ("lxc", "eth0", "value without key, but schema does not define a default key\n"),
        ("lxc", "name=eth0,=x", "missing key in comma-separated list property\n"),
    ],
)
def test_a_fault_of_form_is_all_that_is_said(kind: str, text: str, message: str) -> None:
    assert refusal(kind, text) == message


@pytest.mark.parametrize(
    ("kind", "text", "lines"),
    [
        ("qemu", "tag=5000", ["model: property is missing", "tag: value must have a maximum value of 4094"]),
        ("qemu", "pot", [f"model: value 'pot' does not have a value in the enumeration '{', '.join(MODELS)}'"]),
        ("qemu", f"{QEMU},bridge=a b", ["bridge: invalid format - invalid bridge ID 'a b'\n"]),
        ("qemu", f"{QEMU},firewall=2", ["firewall: type check ('boolean') failed - got '2'"]),
        ("qemu", f"{QEMU},rate=-1", ["rate: value must have a minimum value of 0"]),
        ("qemu", f"{QEMU},trunks=7;", ["trunks: value does not match the regex pattern"]),
        ("qemu", "virtio=03:24:11:00:00:07", ["macaddr: invalid format - value does not look like a valid unicast"]),
        ("lxc", f"{LXC},trunks=7-9", ["trunks: value does not match the regex pattern"]),
        ("lxc", f"{LXC},host-tunnel=1", ["host-tunnel: property is not defined in schema"]),
        ("lxc", f"{LXC},ip=10.0.0.7/7", ["ip: invalid format - value does not look like a valid ipv4 network"]),
        ("lxc", f"{LXC},ip=10.0.0.7/255.0.0.0", ["ip: invalid format"]),
        ("lxc", f"{LXC},ip6=fe80::7%eth0/64", ["ip6: invalid format - value does not look like a valid ipv6 network"]),
        ("lxc", f"{LXC},gw=10.0.0.7/24", ["gw: invalid format - value does not look like a valid IPv4 address"]),
        ("lxc", f"{LXC},type=phys", ["type: value 'phys' does not have a value in the enumeration 'veth'"]),
    ],
)
def test_wrong_values_are_listed_below_the_option(kind: str, text: str, lines: list[str]) -> None:
    head, *rest = refusal(kind, text).split("\nnet3.")
    assert head == "format error"
    assert len(rest) == len(lines)
    assert all(found.startswith(line) for found, line in zip(rest, lines, strict=True)), rest
