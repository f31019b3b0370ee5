"""Whatever is asked of firewalls, guests and host networks, in whatever order: an answer that Proxmox could give."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab.clients import LabClient

RULES, OPTIONS = "/cluster/sdn/vnets/v1/firewall/rules", "/cluster/sdn/vnets/v1/firewall/options"
NETWORK = "/nodes/pve1/network"
GUESTS = ("/nodes/pve4/qemu/100", "/nodes/pve2/lxc/200")
RULE_KEYS = (
    "type", "action", "macro", "source", "dest", "proto", "sport", "dport", "icmp-type", "log", "comment", "enable",
    "iface", "digest", "delete", "moveto", "pos",
)  # fmt: skip
GUEST_KEYS = ("net0", "net1", "boot", "name", "cores", "memory", "delete", "revert", "description", "digest", "force")
IFACE_KEYS = (
    "address", "netmask", "cidr", "cidr6", "gateway", "bridge_ports", "mtu", "comments", "autostart",
    "bridge_vlan_aware", "vlan-raw-device", "delete",
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(["", "0", "-", "1", "22", "80:90", "80:", "a,b", "tcp", "icmp", "icmpv6", "ssh", "Ping", "DROP"]),
    st.sampled_from(["+x", "+sdn/v1-all", "dc/x", "10.0.0.0/8", "10.0.0.1/8", "2001:db8::1", "fe80::1%e", "10.0.0.1"]),
    st.sampled_from(
        ["x\ny", "[RULES]", "x\n[OPTIONS]\nenable: 5", "#", "|", "x\nFORWARD DROP -source foo", "=", "any"]
    ),
    st.sampled_from(["virtio,bridge=v1", "name=eth0", "e1000=,", "order=net0", "net0,boot", "vmbr0", "eno1", "24"]),
    st.text(max_size=8),
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str]]:
    def some(keys: tuple[str, ...]) -> dict[str, str]:
        return draw(st.dictionaries(st.sampled_from(keys), VALUES, max_size=4))

    place = draw(st.sampled_from(["rules", "options", "guest", "network"]))
    if place == "rules":
        sane = {"type": draw(st.sampled_from(["forward", "group"])), "action": "ACCEPT"}
        method = draw(st.sampled_from(["POST", "POST", "PUT", "DELETE"]))
        path = RULES if method == "POST" else f"{RULES}/{draw(st.integers(0, 3))}"
        return method, path, {} if method == "DELETE" else {**(sane if method == "POST" else {}), **some(RULE_KEYS)}
    if place == "options":
        return "PUT", OPTIONS, some(("enable", "policy_forward", "log_level_forward", "delete", "digest"))
    if place == "guest":
        return "PUT", f"{draw(st.sampled_from(GUESTS))}/config", some(GUEST_KEYS)
    name = draw(st.sampled_from(["vmbr0", "vmbr1", "vmbr0.7", "bond0", "eth7", "x9"]))
    typed = {"type": draw(st.sampled_from(["bridge", "vlan", "eth", "bond"])), **some(IFACE_KEYS)}
    return draw(
        st.sampled_from(
            [
                ("POST", NETWORK, {"iface": name, **typed}),
                ("PUT", f"{NETWORK}/{name}", typed),
                ("DELETE", f"{NETWORK}/{name}", {}),
                ("PUT", NETWORK, {}),
                ("DELETE", NETWORK, {}),
            ]
        )
    )


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests(), max_size=25), st.booleans())
def test_every_request_gets_an_answer_and_everything_can_be_read(asked: list[tuple[str, str, Any]], up: bool) -> None:
    pve = LabClient()
    pve.overlay()
    for guest in pve.lab.guests.values():
        guest.running = up
    for method, path, params in asked:
        given = pve.ask(method, path, **params)
        assert given.status in (200, 400, 500), (method, path, params)
        assert given.status == 200 or (given.body["message"] and ("errors" in given.body) == (given.status == 400))
        pve.wait()
        rows = pve.get(RULES)
        assert len({row["digest"] for row in rows}) <= 1
        assert [row["pos"] for row in rows] == list(range(len(rows)))
        for readable in (OPTIONS, NETWORK, *(f"{guest}/{what}" for guest in GUESTS for what in ("config", "pending"))):
            pve.get(readable)
