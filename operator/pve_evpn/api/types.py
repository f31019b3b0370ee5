"""What all models share: spelling, types of text and number, references, selectors and policies.

Outside everything is camelCase, inside snake_case. A field's description states meaning, constraint, default and
Proxmox' own name; it is what ``kubectl explain`` and docs/api.md show.

Defaults are applied by the models, never by the API server: what the user wrote is what is stored, so GitOps tools
see no difference.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic import StringConstraints as Length
from pydantic.alias_generators import to_camel

from pve_evpn.api.rules import ATOMIC, Matching, Rule, Unlike, immutable, only_one_of, rules

# --- addresses --------------------------------------------------------------------------------------------------


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("must be an IP address") from None
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must be a network without host bits, such as 10.1.0.0/24") from None
    return text


def _unicast(mac: str) -> str:
    if int(mac[1], 16) % 2 or not mac.replace(":", "").strip("0"):
        raise ValueError("must be a unicast address, not a group address and not all zero")
    return mac


IpAddress = Annotated[
    str,
    Length(min_length=2, max_length=45),
    AfterValidator(_address),
    Rule(
        "isIP(self) && ip.isCanonical(self)",
        "must be an IP address in its usual spelling (IPv6: lower case, shortest form)",
    ),
]


Network = Annotated[
    str,
    Length(min_length=4, max_length=43),
    AfterValidator(_network),
    Rule("isCIDR(self)", "must be a network such as 10.1.0.0/24 or 2001:db8::/64"),
    Rule(
        "!isCIDR(self) || (cidr(self) == cidr(self).masked() && string(cidr(self)) == self)",
        "must be the network itself in its usual spelling: no host bits, IPv6 in lower case and shortest form",
    ),
]


MacAddress = Annotated[
    str,
    Length(max_length=17),
    Matching(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", "must be a MAC address such as bc:24:11:11:11:11"),
    AfterValidator(_unicast),
    Rule(
        "self.matches('^.[02468aceACE]') && self != '00:00:00:00:00:00'",
        "must be a unicast address: its second digit is even, and it is not all zero",
    ),
]


# --- names and numbers ------------------------------------------------------------------------------------------

ObjectName = Annotated[
    str,
    Length(min_length=1, max_length=253),
    Matching(
        r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
        "must be a Kubernetes object's name: lower case letters, digits, - and .",
    ),
]


NodeName = Annotated[
    str,
    Length(min_length=1, max_length=63),
    Matching(
        r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?",
        "must be a Proxmox node's name: letters, digits and -, without a domain",
    ),
]


#: An interface of a node; Linux allows 15 characters.
InterfaceName = Annotated[
    str,
    Length(min_length=1, max_length=15),
    Matching(r"[a-zA-Z][a-zA-Z0-9._-]*", "must be the name of an interface, such as eno1"),
]


#: Names of zones and VNets in Proxmox; network interfaces are named after them, hence so short.
ShortId = Annotated[
    str,
    Length(min_length=2, max_length=8),
    Matching(r"[a-zA-Z][a-zA-Z0-9]*[a-zA-Z0-9]", "must be 2 to 8 letters and digits, a letter first"),
]


#: Names that are, or may become, network interfaces of a node that are no VNet: those of the kernel and systemd (eth0,
#: enp3s0f0, enx..., wlan0, ib0, bond0, dummy0, lo; "all" and "default", which no interface can have), of Proxmox
#: (vmbr0, nic0, tap100i0, veth100i0, fwbr100i0, vrf..., vxlan...) and of common tools (docker0, virbr0, wg0, tun0).
INTERFACE_NAMES = Unlike(
    (
        *("vmbr", "bond", "tap", "veth", "fwbr", "fwln", "fwpr", "vrf", "vxlan", "dummy", "docker", "virbr", "lxcbr"),
        *(
            "lxdbr",
            "ip6tnl",
            "tunl",
            "gretap",
            "erspan",
            "wlan",
            "wlo",
            "wlp",
            "wls",
            "wlx",
            "wwan",
            "wwo",
            "wwp",
        ),
        *("wws", "wwx", "ibo", "ibp", "ibs", "ibx"),
    ),
    "all|default|lo|en(x[0-9a-f]+|[abcdiopsuvP][0-9]+[0-9a-zA-Z]*)|(eth|ib|nic|wg|tun|ppp|gre|sit|usb|ifb|ovs|vti)[0-9]+",
    "must not be a name that the kernel, Proxmox or another tool gives to interfaces of a node (vmbr0, eth0, eno1, "
    "bond0, tap..., vrf..., vxlan... and the like)",
)


Fingerprint = Annotated[
    str,
    Length(max_length=95),
    Matching(
        r"([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}",
        "must be a SHA-256 fingerprint: 32 pairs of hex digits, separated by colons",
    ),
]


#: Names of other things in Proxmox (DNS servers, IPAMs).
PluginId = Annotated[
    str,
    Length(min_length=2, max_length=64),
    Matching(r"[a-zA-Z][a-zA-Z0-9]*[a-zA-Z0-9]", "must be an id in Proxmox: letters and digits, a letter first"),
]


DnsName = Annotated[
    str,
    Length(min_length=1, max_length=253),
    Matching(
        r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*",
        "must be a domain name such as example.com",
    ),
]


Vni = Annotated[int, Field(ge=1, le=16777215)]


Asn = Annotated[int, Field(ge=1, le=4294967295)]


Port = Annotated[int, Field(ge=1, le=65535)]


def _whole_seconds(moment: datetime) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


#: RFC 3339 in whole seconds, UTC, as Kubernetes writes it.
Timestamp = Annotated[datetime, AfterValidator(_whole_seconds)]


ManagementPolicy = Literal["Full", "ObserveOnly"]


ManagementPolicyOfObject = Annotated[
    ManagementPolicy | None,
    Field(description="ObserveOnly: nothing is ever written, the status is still kept. Default: Full."),
]


DeletionPolicy = Literal["Delete", "Orphan"]


AdoptionPolicy = Literal["Never", "IfIdentical", "Always"]


Origin = Literal["Created", "Adopted"]


# --- building blocks --------------------------------------------------------------------------------------------


class ApiModel(BaseModel):
    """Base of every model. Unknown fields are ignored: the API server has pruned or refused them already."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class ClusterScopedRef(ApiModel):
    """A cluster-scoped object of this API, by name."""

    name: ObjectName = Field(description="Name of the referenced object (metadata.name, not its Proxmox id).")


#: Every object of this API but NicAttachments, which say more, names its cluster so.
ClusterRef = Annotated[ClusterScopedRef, immutable("clusterRef"), Field(description="The ProxmoxCluster. Immutable.")]


class LocalRef(ApiModel):
    """An object in the same namespace, by name."""

    name: ObjectName = Field(description="Name of the referenced object (metadata.name) in the same namespace.")


def id_in_proxmox(form: str, property_: str) -> str:
    """The description of ``spec.id``. ``form``: which texts are names; ``property_``: Proxmox' name of the field."""
    return (
        f"Name in Proxmox{form}. Immutable once programmed. Default: metadata.name where that is a valid id, else its "
        "letters and digits where these are one that is free, else a short hash of it. "
        f"Proxmox: {property_}."
    )


def id_or_ref(field: str, ref: str = "") -> Rule:
    """An object of Proxmox is named by its id (``field``) or by the object of this API (``ref``)."""
    ref = ref or f"{field}Ref"
    return Rule(only_one_of(field, ref, exactly=False), f"set at most one of {field} and {ref}")


class SecretRef(ApiModel):
    """A Secret in the operator's own namespace; no other namespace is ever read."""

    name: ObjectName = Field(description="Name of a Secret in the operator's own namespace.")


SecretKey = Annotated[
    str,
    Length(min_length=1, max_length=253),
    Matching(r"[-._a-zA-Z0-9]+", "must be a key of a Secret: letters, digits, -, _ and ."),
]


def secret_key(default: str, what: str) -> Any:
    """The field ``key`` of a :class:`SecretRef` to one value in it; ``what`` it is."""
    return Field(default, description=f"Key that holds {what}. Default: {default}.")


#: As Kubernetes defines them. Patterns of the schema, because CEL rules about so many texts would cost too much.
_LABEL_NAME = "[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"


_LABEL_KEY, _LABEL_VALUE = f"^([a-z0-9.-]+/)?{_LABEL_NAME}$", f"^({_LABEL_NAME})?$"


class LabelSelectorRequirement(ApiModel):
    """One expression of a label selector."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
                "values belong to the operators In and NotIn, which need at least one",
            )
        )
    )

    key: Annotated[str, Length(min_length=1, max_length=317, pattern=_LABEL_KEY)] = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How key relates to values.")
    values: list[Annotated[str, Length(max_length=63, pattern=_LABEL_VALUE)]] | None = Field(
        None, max_length=64, description="Values for In and NotIn.", json_schema_extra=ATOMIC
    )


class LabelSelector(ApiModel):
    """Kubernetes' label selector: every entry must hold; an empty selector matches everything."""

    match_labels: dict[str, Annotated[str, Length(max_length=63, pattern=_LABEL_VALUE)]] | None = Field(
        None, max_length=64, description="Labels that must have exactly these values."
    )
    match_expressions: list[LabelSelectorRequirement] | None = Field(
        None, max_length=32, description="Expressions that must all hold.", json_schema_extra=ATOMIC
    )


class Adoption(ApiModel):
    """Which namespaces may take over VNets that Proxmox has and that no VNet object stands for."""

    namespaces: LabelSelector = Field(
        description="Namespaces by label, of those in allowedNamespaces; an empty selector means all of them."
    )


class VniRange(ApiModel):
    """VNIs from which free ones are taken."""

    model_config = ConfigDict(json_schema_extra=rules(Rule("self.first <= self.last", "first must not be above last")))

    first: Vni = Field(description="Lowest VNI (1 to 16777215).")
    last: Vni = Field(description="Highest VNI (1 to 16777215).")
    enforced: bool | None = Field(
        None,
        description="true: the zone's VNets have VNIs of this range only, also those that name one, and VNets of other "
        "zones have none of it unless it is in their own zone's range too. Default: false.",
    )


class ManagedSpec(ApiModel):
    """Policies of an object that stands for one in Proxmox."""

    management_policy: ManagementPolicyOfObject = None
    deletion_policy: DeletionPolicy | None = Field(
        None,
        description="What deleting this object does in Proxmox: Delete removes it there too, Orphan leaves it. "
        "Default: Delete for objects the operator created, Orphan for those it adopted.",
    )
    adoption_policy: AdoptionPolicy | None = Field(
        None,
        description="What to do when Proxmox has an object of that name already: Never touch it, take it over "
        "IfIdentical in every field set here, or Always (which overwrites it). A VNet needs spec.adoption of its zone "
        "too. Default: IfIdentical.",
    )


class ClusterScopedSpec(ManagedSpec):
    """The spec of a cluster-scoped object that stands for one in Proxmox."""

    cluster_ref: ClusterRef
