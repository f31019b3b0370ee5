"""NicAttachment: one NIC of one VM or container on one VNet, and what EVPN makes of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pve_evpn.api.base import (
    ATOMIC,
    ApiModel,
    ClusterScopedRef,
    LocalRef,
    MacAddress,
    ManagementPolicy,
    keyed,
    rule,
    rules,
)
from pve_evpn.api.conditions import Condition

Device = Annotated[str, StringConstraints(pattern=r"^net([0-9]|[12][0-9]|3[01])$")]
Vlan = Annotated[int, Field(ge=1, le=4094)]
Model = Literal[
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
    "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
]  # fmt: skip


class Guest(ApiModel):
    """Which guest."""

    model_config = ConfigDict(
        json_schema_extra=rules(rule("has(self.vmid) != has(self.name)", "set exactly one of vmid and name"))
    )

    vmid: Annotated[int, Field(ge=100, le=999999999)] | None = Field(None, description="By number.")
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        None, description="By name, which must be unique in the cluster."
    )


class NicAttachmentSpec(ApiModel):
    """One NIC. Only the fields set here are written; the rest of the NIC's configuration stays as it is."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!(has(self.tag) && has(self.trunks))", "tag and trunks exclude each other"),
            rule(
                "!(has(self.model) || has(self.queues)) || !has(self.type) || self.type == 'qemu'",
                "model and queues exist for VMs only (type: qemu)",
            ),
            rule(
                "!(has(self.name) || has(self.ip) || has(self.gw) || has(self.ip6) || has(self.gw6)) || "
                "(has(self.type) && self.type == 'lxc')",
                "name, ip, gw, ip6 and gw6 exist for containers only: set type: lxc",
            ),
            rule("!has(self.gw) || (has(self.ip) && self.ip.contains('/'))", "gw needs a static ip"),
            rule("!has(self.gw6) || (has(self.ip6) && self.ip6.contains('/'))", "gw6 needs a static ip6"),
        )
    )

    cluster_ref: ClusterScopedRef = Field(
        description="The ProxmoxCluster, which must grant this namespace the guest (guestAccess). Immutable.",
        json_schema_extra=rules(rule("self == oldSelf", "clusterRef cannot change")),
    )
    guest: Guest = Field(
        description="The VM or container. Immutable.",
        json_schema_extra=rules(rule("self == oldSelf", "guest cannot change: make a new NicAttachment")),
    )
    type: Literal["qemu", "lxc"] | None = Field(None, description="Kind of guest. Default: whichever it is.")
    device: Device = Field(
        description="net0 to net31. Immutable. Proxmox: netN.",
        json_schema_extra=rules(rule("self == oldSelf", "device cannot change: make a new NicAttachment")),
    )
    vnet_ref: LocalRef = Field(
        description="The VNet, in the same namespace. Changing it moves the NIC. Proxmox: bridge."
    )
    mac_address: MacAddress | None = Field(
        None,
        description="MAC address. Default: the one it has; a new NIC gets one from Proxmox. Proxmox: macaddr, hwaddr.",
        json_schema_extra=rules(
            rule(
                "self.matches('^.[02468aceACE]')",
                "must be a unicast address (second digit 0, 2, 4, 6, 8, a, c or e)",
            )
        ),
    )
    model: Model | None = Field(None, description="VMs only. Default for a new NIC: virtio. Proxmox: model.")
    firewall: bool | None = Field(None, description="Put the NIC behind Proxmox' firewall. Proxmox: firewall.")
    link_down: bool | None = Field(None, description="Pull the cable. Proxmox: link_down.")
    mtu: Annotated[int, Field(ge=1, le=65520)] | None = Field(
        None, description="MTU; 1 means that of the bridge (virtio). Containers: 64 or more. Proxmox: mtu."
    )
    queues: Annotated[int, Field(ge=0, le=64)] | None = Field(None, description="VMs only. Proxmox: queues.")
    rate_limit_m_bps: Annotated[float, Field(ge=0, le=1000000)] | None = Field(
        None, alias="rateLimitMBps", description="Megabytes per second. Proxmox: rate."
    )
    tag: Vlan | None = Field(None, description="VLAN tag. Proxmox: tag.")
    trunks: list[Vlan] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="VLANs let through. Proxmox: trunks.",
        json_schema_extra=ATOMIC,
    )
    name: Annotated[str, StringConstraints(min_length=1, max_length=15)] | None = Field(
        None, description="Containers only: the interface's name inside. Proxmox: name."
    )
    ip: Annotated[str, StringConstraints(max_length=18)] | None = Field(
        None,
        description="Containers only: address/length, dhcp or manual. Proxmox: ip.",
        json_schema_extra=rules(
            rule("self in ['dhcp', 'manual'] || isCIDR(self)", "must be address/length, dhcp or manual")
        ),
    )
    gw: Annotated[str, StringConstraints(max_length=15)] | None = Field(
        None,
        description="Containers only: IPv4 gateway. Proxmox: gw.",
        json_schema_extra=rules(rule("isIP(self)", "must be an IP address")),
    )
    ip6: Annotated[str, StringConstraints(max_length=49)] | None = Field(
        None,
        description="Containers only: address/length, auto, dhcp or manual. Proxmox: ip6.",
        json_schema_extra=rules(
            rule(
                "self in ['auto', 'dhcp', 'manual'] || isCIDR(self)",
                "must be address/length, auto, dhcp or manual",
            )
        ),
    )
    gw6: Annotated[str, StringConstraints(max_length=45)] | None = Field(
        None,
        description="Containers only: IPv6 gateway. Proxmox: gw6.",
        json_schema_extra=rules(rule("isIP(self)", "must be an IP address")),
    )
    silent_host: Literal["Observe", "Pin"] | None = Field(
        None,
        description="Observe reports when the guest's MAC is withdrawn because it fell silent, Pin keeps it announced. "
        "Default: Observe.",
    )
    management_policy: ManagementPolicy | None = Field(None, description="ObserveOnly: never write. Default: Full.")
    deletion_policy: Literal["Detach", "LinkDown", "Orphan"] | None = Field(
        None,
        description="What deleting this object does to the NIC: Detach removes it if we created it, else puts the "
        "previous bridge back; LinkDown pulls the cable; Orphan leaves it. Default: Detach.",
    )


class EvpnView(ApiModel):
    """What EVPN says of the NIC's MAC."""

    verdict: Literal["Advertised", "Silent", "NeverSeen", "WrongNode", "Duplicate", "Zombie", "Unknown"] = Field(
        description="Advertised: as it should be. Silent: was, and was withdrawn. NeverSeen: never was. WrongNode: by "
        "another node than the guest's. Duplicate: by several in turn. Zombie: though the NIC is gone. Unknown: "
        "nobody can tell."
    )
    since: str | None = Field(
        None, description="Since when the verdict holds.", json_schema_extra={"format": "date-time"}
    )
    announced_by: str | None = Field(None, max_length=63, description="The node that announces the MAC.")
    ips: list[Annotated[str, StringConstraints(max_length=45)]] | None = Field(
        None, max_length=16, description="Its addresses, as announced.", json_schema_extra=ATOMIC
    )
    mobility_sequence: int | None = Field(None, description="How often the MAC has moved (RFC 7432, 7.7).")
    seen_by: int | None = Field(None, description="How many nodes have the route.")


class NicAttachmentStatus(ApiModel):
    """Where the NIC is and whether the fabric knows it."""

    observed_generation: int | None = Field(None, description="metadata.generation this status is about.")
    last_handled_reconcile_at: str | None = Field(
        None, max_length=128, description="Echo of annotation pve-evpn.dev/reconcile-requested-at."
    )
    vmid: int | None = Field(None, description="The guest's number.")
    guest_name: str | None = Field(None, max_length=255, description="The guest's name.")
    node: str | None = Field(None, max_length=63, description="The node it is on.")
    device: str | None = Field(None, max_length=8, description="netN.")
    mac_address: str | None = Field(None, max_length=17, description="Its MAC address.")
    vnet: str | None = Field(None, max_length=8, description="The VNet's name in Proxmox.")
    previous_bridge: str | None = Field(None, max_length=32, description="The bridge it was on before us.")
    origin: Literal["Created", "Adopted"] | None = Field(None, description="Whether we created the NIC.")
    evpn: EvpnView | None = Field(None, description="What EVPN says of its MAC.")
    pinned: bool | None = Field(None, description="Whether its MAC is pinned.")
    source: str | None = Field(None, max_length=32, description="Where the observation came from.")
    conditions: list[Condition] | None = Field(
        None, max_length=24, description="Judgements.", json_schema_extra=keyed("type")
    )
