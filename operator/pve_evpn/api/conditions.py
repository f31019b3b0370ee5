"""Condition types and reasons, and what every status carries.

Types and reasons are API: programs match on them, so they are never renamed. Each says what it explains and what it
means; docs/api.md is made from that. Which condition an object gets when is decided in ``domain``, not here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from pve_evpn.api.limits import Counted, Cut
from pve_evpn.api.rules import keyed
from pve_evpn.api.shared import SHARED
from pve_evpn.api.types import ApiModel, Origin, Timestamp


class ConditionType(StrEnum):
    """Condition types. The same word means the same on every kind."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> ConditionType:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    READY = "Ready", "Usable as specified. When not True it names the root cause itself, with its reason and message."
    ACCEPTED = "Accepted", "The spec and everything it refers to are valid and allowed."
    PROGRAMMED = "Programmed", "Proxmox' running configuration equals the spec, and every expected node reloaded it."
    OPERATIONAL = (
        "Operational",
        "BGP and the VNI are as expected. Unknown where no source can see them, never False. PrefixList, RouteMap, "
        "Ipam and DnsServer do not have it: whether they work shows on the objects that name them.",
    )
    DRIFTED = "Drifted", "Another client changed in Proxmox what this object specifies."
    PAUSED = "Paused", "The operator writes nothing for this object. Observation goes on."
    EFFECTIVE = (
        "Effective",
        "False: a field or annotation is accepted, and cannot work; the message names it. Present only while "
        "False. Ready does not depend on it.",
    )
    # kstatus' pair exists only while true
    RECONCILING = "Reconciling", "Not ready, and waiting may help. Present only while true."
    STALLED = "Stalled", "Not ready, and only a change by the user helps. Present only while true."
    # ProxmoxCluster only
    REACHABLE = "Reachable", "ProxmoxCluster: an endpoint answers over a trusted connection."
    AUTHENTICATED = "Authenticated", "ProxmoxCluster: the credentials are accepted and carry the needed privileges."
    VERSION_SUPPORTED = "VersionSupported", "ProxmoxCluster: the Proxmox VE release is one this operator knows."
    QUORATE = "Quorate", "ProxmoxCluster: the Proxmox cluster has quorum; without it nothing can be written."
    INSECURE = "InsecureConnection", "ProxmoxCluster: the certificate is not verified. Present only while true."


class Reason(StrEnum):
    """Why a condition is what it is. ``explains`` names the conditions it is used with and their status.

    ``Ready``, ``Reconciling`` and ``Stalled`` carry the reason of the condition at fault, whichever that is.
    """

    explains: str
    meaning: str

    def __new__(cls, value: str, explains: str, meaning: str) -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.explains = explains
        member.meaning = meaning
        return member

    # --- any condition
    PENDING = "Pending", "any: Unknown", "Nothing is known yet, or no longer."
    READY = "Ready", "Ready: True", "All conditions that Ready depends on are True."
    DELETING = "Deleting", "Programmed: False", "The object is being deleted; other objects have to go first."

    # --- Accepted
    ACCEPTED = "Accepted", "Accepted: True", "Valid and allowed."
    INVALID_SPEC = "InvalidSpec", "Accepted: False", "The spec cannot be carried out, whatever other objects say."
    DUPLICATE_CLUSTER = (
        "DuplicateCluster",
        "Accepted: False",
        "An older ProxmoxCluster leads to the same Proxmox.",
    )
    ID_CONFLICT = (
        "IdConflict",
        "Accepted: False",
        "An older object, or an interface of a node, has the same name in Proxmox.",
    )
    VNI_CONFLICT = "VniConflict", "Accepted: False", "The VNI is in use, or none of the range is free."
    NOT_ALLOWED = (
        "NotAllowed",
        "Accepted: False",
        "The zone does not allow that VNI, subnet or firewall name, or a subnet holds addresses of the nodes.",
    )
    LIMIT_EXCEEDED = (
        "LimitExceeded",
        "Accepted: False",
        "The namespace has as many VNets, subnets or NICs in the zone as allowedNamespaces.limits says.",
    )
    SUBNET_OVERLAP = (
        "SubnetOverlap",
        "Accepted: False, Effective: False",
        "A subnet overlaps one of the same zone (Accepted), or one of a zone with the same exit node (Effective).",
    )
    CONTROLLER_CONFLICT = (
        "ControllerConflict",
        "Accepted: False",
        "It conflicts with another controller: before Proxmox VE 9.2 a cluster has one, since then their peer groups "
        "and ASNs have to go together.",
    )
    FABRIC_CONFLICT = (
        "FabricConflict",
        "Accepted: False",
        "It conflicts with another fabric: the same OSPF area, an overlapping prefix, or an interface of both.",
    )
    NIC_CONFLICT = (
        "NicConflict",
        "Accepted: False",
        "An older NicAttachment has the same NIC, another NIC of the VNet the same MAC address, or the NIC has a VLAN "
        "tag, which no EVPN VNet carries.",
    )
    MTU_TOO_BIG = (
        "MtuTooBig",
        "Accepted: False, Operational: False, Effective: False",
        "The MTU does not fit into the underlay's (VXLAN takes 50 bytes), or a NIC's not into its zone's.",
    )
    FOREIGN_OBJECT = (
        "ForeignObject",
        "Accepted: False",
        "Proxmox has an object of that name which the operator may not adopt.",
    )
    VERSION_UNSUPPORTED = (
        "VersionUnsupported",
        "Accepted: False, VersionSupported: False",
        "This Proxmox VE release cannot do that.",
    )
    REF_NOT_FOUND = (
        "RefNotFound",
        "Accepted: False, Effective: False",
        "Something the spec names does not exist, or this object may not use it. It resolves when that exists. "
        "Effective: a firewall rule names a macro, security group, IP set or alias that Proxmox does not have, or a "
        "Fabric an interface that a node does not have.",
    )
    REF_NOT_PERMITTED = (
        "RefNotPermitted",
        "Accepted: False",
        "A permission this object had is gone. The operator no longer manages it; nothing was removed from Proxmox.",
    )

    # --- Programmed
    PROGRAMMED = "Programmed", "Programmed: True", "In Proxmox, and loaded on every expected node."
    WAITING_FOR_DEPENDENCIES = (
        "WaitingForDependencies",
        "Programmed: False",
        "Something it needs is not in Proxmox yet; the message names it.",
    )
    PENDING_APPLY = "PendingApply", "Programmed: False", "The change is planned and has not been applied yet."
    SDN_LOCKED = "SdnLocked", "Programmed: False", "Another client holds Proxmox' SDN lock."
    FOREIGN_PENDING_CHANGES = (
        "ForeignPendingChanges",
        "Programmed: False",
        "Another client has staged SDN changes, which an apply would publish too.",
    )
    NODE_NETWORK_PENDING = (
        "NodeNetworkPending",
        "Programmed: False",
        "A node has staged host-network edits, which an apply would activate too.",
    )
    AWAITING_APPROVAL = "AwaitingApproval", "Programmed: False", "The plan waits for a person's approval."
    OUTSIDE_WINDOW = "OutsideWindow", "Programmed: False", "The plan waits for a maintenance window."
    APPLIES_SPACED = (
        "AppliesSpaced",
        "Programmed: False",
        "Its namespace caused many applies in a short time, or its NIC or firewall was written often; the message has "
        "the time of the next one.",
    )
    STAGING_FAILED = "StagingFailed", "Programmed: False", "Proxmox refused a change; the operator unstaged the others."
    APPLY_FAILED = "ApplyFailed", "Programmed: False", "The apply, or the write to a guest, failed."
    ADDRESS_IN_USE = (
        "AddressInUse",
        "Programmed: False",
        "NicAttachment: the IPAM of its zone has one of its addresses already, for another NIC.",
    )
    PARTIALLY_APPLIED = "PartiallyApplied", "Programmed: False", "Some nodes have not loaded the configuration."
    REVERTED = (
        "Reverted",
        "Programmed: False",
        "Nodes were worse after the apply, so the operator applied the previous values.",
    )
    OUTCOME_UNKNOWN = (
        "OutcomeUnknown",
        "Programmed: False",
        "The connection broke during a write; the operator reads again first.",
    )
    DELETION_BLOCKED = "DeletionBlocked", "Programmed: False", "It cannot be deleted yet; the message says why."
    GUEST_LOCKED = "GuestLocked", "Programmed: False", "Proxmox has locked the guest (backup, migration, ...)."
    NODE_NOT_IN_ZONE = (
        "NodeNotInZone",
        "Programmed: False",
        "The guest is on a node that the VNet's zone is not on.",
    )
    RESTART_REQUIRED = "RestartRequired", "Programmed: False", "Written, but effective only after a stop and start."

    # --- the connection: Reachable, Authenticated, VersionSupported, Quorate of ProxmoxCluster
    REACHABLE = "Reachable", "Reachable: True", "An endpoint answers."
    AUTHENTICATED = "Authenticated", "Authenticated: True", "The credentials are accepted."
    VERSION_SUPPORTED = "VersionSupported", "VersionSupported: True", "The release is supported."
    QUORATE = "Quorate", "Quorate: True", "The cluster has quorum."
    CLUSTER_UNREACHABLE = (
        "ClusterUnreachable",
        "Reachable: False, Programmed: False or Unknown",
        "No endpoint answers.",
    )
    TLS_REJECTED = "TlsRejected", "Reachable: False", "The server's certificate is not the expected one."
    CREDENTIALS_MISSING = "CredentialsMissing", "Authenticated: False", "The Secret, or a key in it, does not exist."
    AUTHENTICATION_FAILED = "AuthenticationFailed", "Authenticated: False", "Proxmox refused the credentials."
    PRIVILEGES_MISSING = "PrivilegesMissing", "Authenticated: False", "The credentials lack a needed privilege."
    NO_QUORUM = "NoQuorum", "Quorate: False", "Too few nodes are online."
    CERTIFICATE_NOT_VERIFIED = "CertificateNotVerified", "InsecureConnection: True", "insecureSkipVerify is set."

    # --- Operational
    OPERATIONAL = "Operational", "Operational: True", "Observed as expected on every node."
    ADVERTISED = "Advertised", "Operational: True", "NicAttachment: the guest's node advertises its MAC."
    SESSION_DOWN = "SessionDown", "Operational: False", "A BGP session is not established."
    ADJACENCY_DOWN = (
        "AdjacencyDown",
        "Operational: False",
        "Fabric: a node has no neighbour, an incomplete one, an interface that is down, or no route to another node. "
        "IsisController: an interface has no neighbour that is up, or isisd does not run on its node.",
    )
    NODE_MISSING_FROM_PEERS = (
        "NodeMissingFromPeers",
        "Operational: False",
        "A node of the cluster is not among the peers, so it is cut off from the overlay.",
    )
    VTEP_MISSING = "VtepMissing", "Operational: False", "A node lacks another one in a VNI's flood list."
    VNI_MISSING = "VniMissing", "Operational: False", "A node that should have the VNI does not have it in FRR."
    NO_REMOTE_VTEPS = "NoRemoteVteps", "Operational: False", "A node sees no other VTEP for the VNI."
    SILENT = "Silent", "Operational: False", "NicAttachment: its MAC was advertised and has been withdrawn."
    NEVER_SEEN = "NeverSeen", "Operational: False", "NicAttachment: its MAC has never been advertised."
    NEXT_HOP_NOT_VTEP = (
        "NextHopNotVtep",
        "Operational: False",
        "EvpnZone: a type-5 route leads to an address that is no VTEP, so there is no tunnel for its traffic.",
    )
    WRONG_NODE = "WrongNode", "Operational: False", "NicAttachment: another node than the guest's advertises its MAC."
    DUPLICATE = "Duplicate", "Operational: False", "NicAttachment: its MAC keeps moving between nodes (RFC 7432, 15.1)."
    ZOMBIE = "Zombie", "Operational: False", "NicAttachment: a node advertises its MAC though the NIC is gone."
    NOTHING_TO_ANNOUNCE = (
        "NothingToAnnounce",
        "Operational: Unknown",
        "NicAttachment: the guest is stopped or its link is down, so no route is expected.",
    )
    SOURCE_UNAVAILABLE = "SourceUnavailable", "Operational: Unknown", "No source can see this."
    OBSERVATION_STALE = (
        "ObservationStale",
        "Operational: Unknown",
        "The preferred source has not shown it for graceSeconds.",
    )

    # --- Effective
    NO_EXIT_NODES = "NoExitNodes", "Effective: False", "snat is set, and the zone has no exit nodes to do it."
    EXIT_IMPAIRED = (
        "ExitImpaired",
        "Effective: False",
        "EvpnZone: exit nodes lose packets; status.exit.problems says which and why.",
    )
    LOCAL_ROUTING_CONFLICT = (
        "LocalRoutingConflict",
        "Effective: False",
        "10.255.255.0/30, which localRouting takes on each exit node, is taken twice.",
    )
    ADDRESS_OUTSIDE_SUBNETS = (
        "AddressOutsideSubnets",
        "Effective: False",
        "A container's address is in no subnet of its VNet.",
    )

    NO_IPAM = (
        "NoIpam",
        "Effective: False",
        "dns of an EvpnZone, or addresses of a NicAttachment, without an IPAM in the zone.",
    )
    UNKNOWN_ANNOTATION = (
        "UnknownAnnotation",
        "Effective: False",
        "An annotation has the prefix pve-evpn.dev/ and is none that the operator knows.",
    )

    # --- Drifted
    FIELDS_DIFFER = "FieldsDiffer", "Drifted: True, Programmed: False", "Proxmox has other values than the spec."
    MISSING_EXTERNALLY = (
        "MissingExternally",
        "Drifted: True, Programmed: False",
        "Another client removed it from Proxmox.",
    )
    DRIFT_FIGHT = (
        "DriftFight",
        "Drifted: True, Programmed: False",
        "Another client writes another value again and again; the operator waits longer each time.",
    )
    IN_SYNC = "InSync", "Drifted: False", "No difference."

    # --- Paused
    ANNOTATION_PAUSED = "AnnotationPaused", "Paused: True", "The annotation pve-evpn.dev/paused is set on the object."
    CLUSTER_PAUSED = "ClusterPaused", "Paused: True", "That annotation is set on the object's ProxmoxCluster."
    NOT_PAUSED = "NotPaused", "Paused: False", "No such annotation."


#: ``observedGeneration`` that the API server gave to new objects before it gave them conditions.
_UNREPORTED = -1
#: When a condition changed that has never been judged.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


#: Of changes that go once a person approves them, or a window opens.
APPROVABLE = frozenset({Reason.AWAITING_APPROVAL, Reason.OUTSIDE_WINDOW})


class Condition(ApiModel):
    """One condition, in Kubernetes' usual shape."""

    type: Annotated[str, Cut(64)] = Field(description="The condition's type.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown; Unknown is not False.")
    reason: Annotated[str, Cut(128)] = Field(description="Why, for programs.")
    message: Annotated[str, Cut(1024)] = Field("", description="Why, for people.")
    observed_generation: int | None = Field(None, ge=0, description="metadata.generation this is about.")
    last_transition_time: Timestamp = Field(description="When status last changed.")


class ReportedStatus(Counted):
    """What every status carries."""

    observed_generation: int | None = Field(None, description="metadata.generation this status is about.")
    last_handled_reconcile_at: Annotated[str, Cut(128)] | None = Field(
        None, description="Echo of the annotation pve-evpn.dev/reconcile-requested-at."
    )
    conditions: Annotated[list[Annotated[Condition, SHARED]], Cut(24)] | None = Field(
        None,
        description="Conditions. Ready sums up and names the cause.",
        json_schema_extra=keyed("type"),
    )

    @property
    def is_reported(self) -> bool:
        """Whether the operator has reported on the object at all, in this or an earlier generation."""
        return self.observed_generation not in (None, _UNREPORTED)

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, if it was reported."""
        return next((condition for condition in self.conditions or () if condition.type == type_), None)

    def says(self, type_: str) -> str:
        """The status of a condition; Unknown where it was not reported."""
        condition = self.condition(type_)
        return condition.status if condition else "Unknown"

    def reason(self, type_: str) -> str:
        """The reason of a condition; empty where it was not reported."""
        condition = self.condition(type_)
        return condition.reason if condition else ""


class ObservedStatus(ReportedStatus):
    """A status that also holds what was seen on the nodes. What no source can see is absent."""

    source: Annotated[str, Cut(32)] | None = Field(
        None,
        description="Where the observation came from: ssh, frrExporter, api; several where one fills another's gaps.",
    )
    observed_at: Timestamp | None = Field(
        None, description="When the reported values were first seen; it stays while nothing changes."
    )


class ManagedStatus(ObservedStatus):
    """The status of what stands for one SDN object in Proxmox."""

    id: Annotated[str, Cut(64)] | None = Field(None, description="The name in Proxmox.")
    origin: Origin | None = Field(None, description="Created by the operator, or Adopted.")
    programmed_hash: Annotated[str, Cut(32)] | None = Field(
        None, description="Digest of the spec that Proxmox last had; distinguishes drift from a changed spec."
    )
