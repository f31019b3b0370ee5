"""The four tables a network engineer looks at, twice: as the operator reports them and as FRR prints them."""

from __future__ import annotations

from collections.abc import Callable

from pve_lab.frr.topology import Topology
from tests.e2e.stack import Stack
from tests.frr.world import VNI


def _table(field: str, **columns: str) -> str:
    """A jsonpath with a heading that prints a list inside of a status."""
    heading = r"\t".join(name.replace("_", " ") for name in columns)
    cells = r"""{"\t"}""".join(f"{{.{path}}}" for path in columns.values())
    return f"""jsonpath={{"{heading}\\n"}}{{range .status.{field}[*]}}{cells}{{"\\n"}}{{end}}"""


_PEERS = _table(
    "peers", NEIGHBOR="address", NODE="node", STATE="state", PFXRCD="prefixesReceived", PFXSNT="prefixesSent"
)
_VNIS = _table(
    "vnis", VNI="vni", TYPE="type", VNET="vnet", MACS="macs", ARPS="arpNd", VTEPS="remoteVteps", VRF="tenantVrf"
)
_MAC = "custom-columns=MAC:.status.macAddress,NODE:.status.evpn.announcedBy,IPS:.status.evpn.ips[*],"
_MAC += "MOVES:.status.evpn.mobilitySequence,SEEN BY:.status.evpn.seenBy,VERDICT:.status.evpn.verdict"
_ROUTES = "custom-columns=VNET:.status.id,VNI:.status.vni,TYPE-2:.status.routes.type2,TYPE-3:.status.routes.type3"


def show(stack: Stack, frr: Topology, shell: Callable[..., None]) -> None:
    """Sessions, VNIs, MACs and routes as seen from pve1; `shell` runs a kubectl command and prints it."""
    shell(stack, "get", "evpnn", "pve-pve1", "-o", _PEERS)
    _vtysh(frr, "show bgp l2vpn evpn summary")
    shell(stack, "get", "evpnn", "pve-pve1", "-o", _VNIS)
    _vtysh(frr, "show evpn vni")
    shell(stack, "get", "nic", "-A", "-o", _MAC)
    _vtysh(frr, f"show evpn mac vni {VNI}")
    shell(stack, "get", "vnet", "-A", "-o", _ROUTES)
    _vtysh(frr, "show bgp l2vpn evpn route type macip")
    _vtysh(frr, "show bgp l2vpn evpn route type multicast")


def _vtysh(frr: Topology, command: str) -> None:
    print(f"\npve1# {command}")
    # The legend is the same every time.
    legend = ("Status codes", "Origin codes", "EVPN type", "Flags:")
    lines = frr.vtysh("pve1", command).strip().splitlines()
    print("\n".join(line for line in lines if not line.startswith(legend)), flush=True)
