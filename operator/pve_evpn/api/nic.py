"""NicAttachment: one NIC of one VM or container on one VNet, and what EVPN makes of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ObservedStatus
from pve_evpn.api.limits import Cut
from pve_evpn.api.rules import ATOMIC, ONE_LINE, SET, Matching, Rule, immutable, only_one_of, rules
from pve_evpn.api.shared import SHARED
from pve_evpn.api.types import (
    ApiModel,
    ClusterScopedRef,
    IpAddress,
    LocalRef,
    MacAddress,
    ManagementPolicyOfObject,
    Origin,
    Timestamp,
)

Device = Annotated[
    str, Length(max_length=5), Matching(r"net([0-9]|[12][0-9]|3[01])", "must be a network device: net0 to net31")
]
Vlan = Annotated[int, Field(ge=1, le=4094)]
Vmid = Annotated[int, Field(ge=100, le=999999999)]
Model = Literal[
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
    "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
]  # fmt: skip


def _configured(family: int, *words: str) -> Rule:
    """An interface's address: a word, or address/length of one family (host bits are the point of it)."""
    listed = ", ".join(f"'{word}'" for word in words)
    return Rule(
        f"self in [{listed}] || "
        f"(isCIDR(self) && cidr(self).ip().family() == {family} && cidr(self).prefixLength() >= 8)",
        f"must be an IPv{family} address with prefix length (8 or more), or {' or '.join(words)}",
    )


def _gateway(family: int) -> Rule:
    return Rule(f"isIP(self) && ip(self).family() == {family}", f"must be an IPv{family} address")


class Guest(ApiModel):
    """Which VM or container: by number or by name."""

    model_config = ConfigDict(
        json_schema_extra=rules(Rule(only_one_of("vmid", "name"), "set exactly one of vmid and name"))
    )

    vmid: Vmid | None = Field(None, description="By number, 100 or more.")
    name: Annotated[str, Length(min_length=1, max_length=255), ONE_LINE] | None = Field(
        None, description="By name, which must be unique in the Proxmox cluster."
    )


class NicAttachmentSpec(ApiModel):
    """One NIC. Only the fields set here are written; the rest of the NIC's configuration stays as it is."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("!(has(self.tag) && has(self.trunks))", "tag and trunks exclude each other"),
            Rule(
                "!(has(self.model) || has(self.queues)) || !has(self.type) || self.type == 'qemu'",
                "model and queues exist for VMs only (type: qemu)",
            ),
            Rule(
                "!(has(self.name) || has(self.ip) || has(self.gw) || has(self.ip6) || has(self.gw6)) || "
                "(has(self.type) && self.type == 'lxc')",
                "name, ip, gw, ip6 and gw6 exist for containers only: set type: lxc",
            ),
            Rule("!has(self.gw) || (has(self.ip) && self.ip.contains('/'))", "gw needs a static ip"),
            Rule("!has(self.gw6) || (has(self.ip6) && self.ip6.contains('/'))", "gw6 needs a static ip6"),
            Rule(
                "!has(self.mtu) || !has(self.type) || self.type != 'lxc' || self.mtu >= 64",
                "the mtu of a container must be at least 64",
            ),
            Rule(
                "!has(self.mtu) || (has(self.type) && self.type == 'lxc') || self.mtu <= 65520",
                "the mtu of a VM must be at most 65520",
            ),
        )
    )

    cluster_ref: Annotated[ClusterScopedRef, SHARED, immutable("clusterRef")] = Field(
        description="The ProxmoxCluster, which must grant this namespace the guest (guestAccess). Immutable."
    )
    guest: Annotated[Guest, SHARED, immutable("guest")] = Field(description="The VM or container. Immutable.")
    type: Literal["qemu", "lxc"] | None = Field(
        None, description="Kind of guest: VM (qemu) or container (lxc). Default: whichever it is."
    )
    device: Annotated[Device, immutable("device")] = Field(
        description="The NIC, net0 to net31; added where the guest has none of that name. Immutable. Proxmox: netN."
    )
    vnet_ref: Annotated[LocalRef, SHARED] = Field(
        description="The VNet, in the same namespace. Changing it moves the NIC. Proxmox: bridge."
    )
    mac_address: MacAddress | None = Field(
        None,
        description="MAC address. Default: the one it has; a new NIC gets one from Proxmox. Proxmox: macaddr "
        "(containers: hwaddr).",
    )
    model: Model | None = Field(
        None, description="VMs only: the emulated card. Default: as it is, virtio for a new NIC. Proxmox: model."
    )
    firewall: bool | None = Field(
        None, description="Put the NIC behind Proxmox' firewall. Default: as it is. Proxmox: firewall."
    )
    link_down: bool | None = Field(None, description="Set the link down. Default: as it is. Proxmox: link_down.")
    mtu: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None,
        description="MTU in bytes. VMs (virtio only): 1 to 65520, 1 meaning that of the bridge; containers: 64 to "
        "65535. Default: as it is. Proxmox: mtu.",
    )
    queues: Annotated[int, Field(ge=0, le=64)] | None = Field(
        None, description="VMs only: packet queues, 0 to 64. Default: as it is. Proxmox: queues."
    )
    rate_limit_m_bps: (
        Annotated[
            float,
            Field(ge=0, le=1000000),
            Rule("self == 0.0 || self >= 0.001", "must be 0 (no limit) or at least 0.001"),
        ]
        | None
    ) = Field(
        None,
        alias="rateLimitMBps",
        description="Limit in megabytes per second: 0 for none, or 0.001 to 1000000 with six decimal places. "
        "Default: as it is. Proxmox: rate.",
    )
    tag: Vlan | None = Field(None, description="VLAN tag, 1 to 4094. Default: as it is. Proxmox: tag.")
    trunks: list[Vlan] | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="VLANs let through, instead of tag. Default: as it is. Proxmox: trunks.",
        json_schema_extra=ATOMIC,
    )
    name: (
        Annotated[
            str,
            Length(min_length=1, max_length=15),
            Matching(r"[a-zA-Z][a-zA-Z0-9._-]*", "must be the name of an interface, such as eth0"),
        ]
        | None
    ) = Field(None, description="Containers only: the interface's name inside. Proxmox: name.")
    ip: Annotated[str, Length(max_length=18), _configured(4, "dhcp", "manual")] | None = Field(
        None, description="Containers only: address/length, dhcp or manual. Proxmox: ip."
    )
    gw: Annotated[str, Length(max_length=15), _gateway(4)] | None = Field(
        None, description="Containers only: IPv4 gateway; needs a static ip. Proxmox: gw."
    )
    ip6: Annotated[str, Length(max_length=49), _configured(6, "auto", "dhcp", "manual")] | None = Field(
        None, description="Containers only: address/length, auto, dhcp or manual. Proxmox: ip6."
    )
    gw6: Annotated[str, Length(max_length=45), _gateway(6)] | None = Field(
        None, description="Containers only: IPv6 gateway; needs a static ip6. Proxmox: gw6."
    )
    addresses: list[IpAddress] | None = Field(
        None,
        max_length=16,
        description="The guest's addresses, registered with its MAC in the IPAM of the VNet's zone, where that has "
        "one. A container's ip and ip6 are not registered unless they are here too. Default: none.",
        json_schema_extra=SET,
    )
    silent_host: Literal["Observe", "Pin"] | None = Field(
        None,
        description="Observe reports when the guest's MAC is withdrawn because it sends no frames; Pin keeps it "
        "advertised. Default: Observe.",
    )
    management_policy: ManagementPolicyOfObject = None
    deletion_policy: Literal["Detach", "LinkDown", "Orphan"] | None = Field(
        None,
        description="What deleting this object does to the NIC: Detach removes it if the operator created it, else "
        "connects the previous bridge; LinkDown sets the link down; Orphan leaves it. Default: Detach.",
    )


class MacState(StrEnum):
    """What EVPN makes of a NIC's MAC."""

    ADVERTISED = "Advertised"
    SILENT = "Silent"
    NEVER_SEEN = "NeverSeen"
    WRONG_NODE = "WrongNode"
    DUPLICATE = "Duplicate"
    ZOMBIE = "Zombie"
    UNKNOWN = "Unknown"


class EvpnView(ApiModel):
    """What EVPN makes of the NIC's MAC."""

    verdict: MacState = Field(
        description="Advertised: by the guest's node. Silent: withdrawn. NeverSeen: never advertised. WrongNode: by "
        "another node than the guest's. Duplicate: by several in turn. Zombie: though the NIC is gone. Unknown: "
        "no source can see it."
    )
    since: Timestamp | None = Field(None, description="Since when the MAC is in this state.")
    announced_by: Annotated[str, Cut(63)] | None = Field(None, description="The node that advertises the MAC.")
    last_announced_by: Annotated[str, Cut(63)] | None = Field(
        None, description="The node that advertised it last, while none does."
    )
    ips: Annotated[list[Annotated[str, Cut(45)]], Cut(16)] | None = Field(
        None, description="Its IP addresses, as advertised.", json_schema_extra=ATOMIC
    )
    mobility_sequence: int | None = Field(None, description="How often the MAC has moved (RFC 7432, 7.7).")
    seen_by: int | None = Field(None, description="How many nodes have the route.")


class PinView(ApiModel):
    """The bridge's entry that keeps a silent host's MAC advertised, made by the helper on the node."""

    node: Annotated[str, Cut(63)] = Field(description="The node it is on.")
    vnet: Annotated[str, Cut(8)] = Field(description="The VNet's name in Proxmox.")
    vmid: int = Field(description="The guest's number.")
    mac_address: Annotated[str, Cut(17)] = Field(description="The MAC address.")


class RegisteredAddress(ApiModel):
    """One address in the IPAM of a zone, which the operator registered."""

    address: Annotated[str, Cut(45)] = Field(description="The address.")
    mac_address: Annotated[str, Cut(17)] = Field(description="The MAC address it is registered with.")
    zone: Annotated[str, Cut(8)] = Field(description="The zone's name in Proxmox.")
    vnet: Annotated[str, Cut(8)] = Field(description="The VNet's name in Proxmox.")
    since: Timestamp | None = Field(
        None, description="When Proxmox took it; absent while it is asked for, or where Proxmox did not answer."
    )


class NicAttachmentStatus(ObservedStatus):
    """Where the NIC is and whether the fabric knows it."""

    vmid: int | None = Field(None, description="The guest's number.")
    guest_name: Annotated[str, Cut(255)] | None = Field(None, description="The guest's name.")
    node: Annotated[str, Cut(63)] | None = Field(None, description="The node it is on.")
    device: Annotated[str, Cut(8)] | None = Field(None, description="netN.")
    mac_address: Annotated[str, Cut(17)] | None = Field(None, description="Its MAC address.")
    vnet: Annotated[str, Cut(8)] | None = Field(None, description="The VNet's name in Proxmox.")
    previous_bridge: Annotated[str, Cut(32)] | None = Field(
        None,
        description="The bridge it was on before, which Detach connects again; empty: none; absent: not known.",
    )
    origin: Origin | None = Field(None, description="Created: the operator added the NIC. Adopted: the guest had it.")
    restart_required: Annotated[list[Annotated[str, Cut(64)]], Cut(32)] | None = Field(
        None,
        description="Fields that are written and take effect when the guest is stopped and started.",
        json_schema_extra=ATOMIC,
    )
    ipam: Annotated[list[RegisteredAddress], Cut(64)] | None = Field(
        None,
        description="Its addresses in the IPAM of the zone, as the operator registered them; they are released when "
        "the object goes.",
        json_schema_extra=ATOMIC,
    )
    evpn: Annotated[EvpnView, SHARED] | None = Field(None, description="What EVPN makes of its MAC.")
    pinned: bool | None = Field(
        None, description="Whether its MAC is kept advertised, by the helper or by the zone; absent: not known."
    )
    pin: PinView | None = Field(None, description="The entry on the node, where the helper made one.")
