"""ProxmoxCluster: where a Proxmox VE cluster is, how carefully to treat it, and what was seen of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pve_evpn.api.apply import ApplyPolicy, StepClass
from pve_evpn.api.conditions import ReportedStatus
from pve_evpn.api.connection import Endpoint, ProxyUrl, Tls
from pve_evpn.api.guest_access import GuestAccess
from pve_evpn.api.limits import Counted, Cut
from pve_evpn.api.observe import Observe
from pve_evpn.api.rules import ATOMIC, keyed
from pve_evpn.api.types import Adoption, ApiModel, ManagementPolicy, NodeName, SecretRef, Timestamp


class ProxmoxClusterSpec(ApiModel):
    """One Proxmox VE cluster (9.0 or newer)."""

    endpoints: list[Endpoint] = Field(
        min_length=1,
        max_length=16,
        description="API addresses, https://host:8006; the next one is used while one cannot be reached.",
        json_schema_extra=ATOMIC,
    )
    credentials_secret_ref: SecretRef = Field(
        description="Secret with the keys tokenId and token (and tokenNext, a second one to rotate to), or username "
        "and password."
    )
    tls: Tls | None = Field(None, description="How the certificate is checked. Default: by the public CAs.")
    proxy_url: ProxyUrl | None = Field(
        None,
        description="HTTP proxy on the way to the endpoints, http://host:port. The environment's proxies are not used. "
        "Default: none.",
    )
    management_policy: ManagementPolicy | None = Field(
        None, description="ObserveOnly: nothing is ever written to this cluster. Default: Full."
    )
    drift: Literal["Correct", "Report"] | None = Field(
        None,
        description="What to do when another client changed objects of the operator in Proxmox: Correct writes the "
        "specified values again; Report only reports it. Default: Correct.",
    )
    apply: ApplyPolicy | None = Field(None, description="When and how changes go live. Default: at once.")
    observe: Observe | None = Field(
        None, description="How BGP and the VNIs are observed. Default: through the Proxmox API, every 15 seconds."
    )
    adoption: Adoption | None = Field(
        None,
        description="Which namespaces may adopt VNets that Proxmox has already, in every zone that admits them; as "
        "adoption of an EvpnZone, for all zones. Default: none.",
    )
    guest_access: list[GuestAccess] | None = Field(
        None,
        max_length=64,
        description="Which namespaces may connect which guests with NicAttachments. Default: none.",
        json_schema_extra=ATOMIC,
    )


class ClusterNodeStatus(ApiModel):
    """One member of the cluster."""

    name: NodeName = Field(description="Node name.")
    online: bool | None = Field(None, description="Whether the cluster sees it.")
    address: Annotated[str, Cut(64)] | None = Field(None, description="Address the cluster knows it by.")
    fingerprint: Annotated[str, Cut(128)] | None = Field(
        None, description="SHA-256 fingerprint of the certificate of its API, as Proxmox lists it."
    )
    programmed: bool | None = Field(None, description="Whether its last reload succeeded.")
    message: Annotated[str, Cut(1024)] | None = Field(None, description="What is wrong with it.")


class LockStatus(ApiModel):
    """Proxmox' SDN lock, while the operator waits for it or keeps it."""

    holder: Literal["Self", "Other"] = Field(description="The operator (Self) or another client.")
    since: Timestamp = Field(description="Since when the operator sees it held.")


class PendingPlan(Counted):
    """What would be changed in Proxmox' SDN configuration and is not, and why."""

    hash: Annotated[str, Cut(64)] = Field(
        description="Approve by setting the annotation pve-evpn.dev/approved-plan to this. It counts once. Where steps "
        "wait for approval or a window, it stands for these, else for all."
    )
    summary: Annotated[list[Annotated[str, Cut(256)]], Cut(64)] = Field(
        description="The steps, one per line.", json_schema_extra=ATOMIC
    )
    truncated: int | None = Field(None, description="How many more steps there are.")
    # Not cut by itself: truncated counts the lines of the summary once.
    classes: list[StepClass] | None = Field(
        None, max_length=64, description="The class of each line of summary.", json_schema_extra=ATOMIC
    )
    reasons: list[Annotated[str, Cut(64)]] | None = Field(
        None,
        max_length=64,
        description="Why each line of summary is not carried out: a reason of Programmed, AnnotationPaused, "
        "ClusterPaused, or FieldsDiffer where the object is only observed or its drift only reported.",
        json_schema_extra=ATOMIC,
    )
    reason: Annotated[str, Cut(64)] | None = Field(None, description="The reason of the first line.")
    message: Annotated[str, Cut(1024)] | None = Field(None, description="The same for people.")
    class_: StepClass | None = Field(
        None,
        alias="class",
        description="The highest class of a step: none (an alias), reload (something is added), disruptive (sessions "
        "or traffic stop), destructive (something is deleted).",
    )
    destructive: bool = Field(description="Whether something is deleted.")
    since: Timestamp = Field(description="Since when it waits.")


class TransactionNode(ApiModel):
    """What became of one node's reload."""

    name: Annotated[str, Cut(63)] = Field(description="Node name.")
    result: Literal["Reloaded", "Failed", "Unknown"] = Field(description="How its reload ended.")
    message: Annotated[str, Cut(1024)] | None = Field(None, description="Proxmox' message.")


class LastTransaction(ApiModel):
    """The last transaction that staged or applied something."""

    id: Annotated[str, Cut(64)] | None = Field(None, description="Its id in logs and events.")
    outcome: Annotated[str, Cut(64)] = Field(
        description="Applied, or a reason of Programmed: PartiallyApplied, StagingFailed, ApplyFailed, Reverted, ..."
    )
    message: Annotated[str, Cut(1024)] | None = Field(None, description="What went wrong.")
    changes: int = Field(description="How many steps it had.")
    steps: Annotated[list[Annotated[str, Cut(512)]], Cut(32)] | None = Field(
        None, description="The steps in words, as in pendingPlan.summary.", json_schema_extra=ATOMIC
    )
    classes: Annotated[list[StepClass], Cut(32)] | None = Field(
        None, description="The class of each of steps.", json_schema_extra=ATOMIC
    )
    started_at: Timestamp = Field(description="When it took the lock.")
    finished_at: Timestamp | None = Field(None, description="When it ended.")
    next_apply_after: Timestamp | None = Field(
        None,
        description="Until when the namespaces whose changes it had wait for the next one; absent: they do not.",
    )
    duration_seconds: int | None = Field(None, description="How long it took, in seconds, rounded up.")
    nodes: Annotated[list[TransactionNode], Cut(64)] | None = Field(
        None, description="Each node's reload.", json_schema_extra=keyed("name")
    )


class Pending(Counted):
    """Edits that the next apply would publish."""

    own: int | None = Field(None, description="How many are the operator's.")
    foreign: Annotated[list[Annotated[str, Cut(512)]], Cut(32)] | None = Field(
        None, description="Those of other clients.", json_schema_extra=ATOMIC
    )
    host_network: Annotated[list[Annotated[str, Cut(63)]], Cut(64)] | None = Field(
        None, description="Nodes with staged host-network edits.", json_schema_extra=ATOMIC
    )
    truncated: int | None = Field(None, description="How many more foreign edits there are.")


class Unmanaged(Counted):
    """What is in Proxmox' SDN configuration and no Kubernetes object stands for."""

    count: int = Field(description="How many in all.")
    ipams: int | None = Field(
        None,
        description="How many IPAMs, without the built-in one. Read every five minutes while there is no Ipam object.",
    )
    dns_servers: int | None = Field(
        None, description="How many DNS servers. Read every five minutes while there is no DnsServer object."
    )
    fabrics: int | None = Field(None, description="How many fabrics, also those that a controller uses.")
    route_maps: int | None = Field(None, description="How many route maps.")
    prefix_lists: int | None = Field(None, description="How many prefix lists.")
    controllers: int = Field(description="How many controllers, of any type.")
    zones: int = Field(description="How many zones, of any type.")
    vnets: int = Field(description="How many VNets, in zones of any type.")
    names: Annotated[list[Annotated[str, Cut(96)]], Cut(64)] = Field(
        description="Kind and name of each, with the type where it is not EVPN.", json_schema_extra=ATOMIC
    )
    truncated: int | None = Field(None, description="How many more there are.")


class Privileges(ApiModel):
    """What the credentials lack."""

    missing: Annotated[list[Annotated[str, Cut(128)]], Cut(32)] | None = Field(
        None, description="Missing privileges, as path: privilege.", json_schema_extra=ATOMIC
    )


class ProxmoxClusterStatus(ReportedStatus):
    """The observed state of the cluster, and the last transaction."""

    version: Annotated[str, Cut(32)] | None = Field(None, description="Proxmox VE release, e.g. 9.2.11.")
    cluster_name: Annotated[str, Cut(64)] | None = Field(None, description="The cluster's own name.")
    active_endpoint: Annotated[str, Cut(260)] | None = Field(None, description="The endpoint in use.")
    active_credential: Annotated[str, Cut(64)] | None = Field(
        None, description="Key of the Secret in use: token, tokenNext or password."
    )
    token_expires_at: Timestamp | None = Field(
        None,
        description="When the token in use, or its user, expires; absent: never, or Proxmox does not show it (that "
        "needs Sys.Audit on /access/groups).",
    )
    quorate: bool | None = Field(None, description="Whether the cluster has quorum.")
    nodes_online: Annotated[str, Cut(16)] | None = Field(None, description="Online of all nodes, e.g. 4/4.")
    nodes: Annotated[list[ClusterNodeStatus], Cut(64)] | None = Field(
        None, description="Members.", json_schema_extra=keyed("name")
    )
    truncated: int | None = Field(None, description="How many more nodes there are.")
    privileges: Privileges | None = Field(None, description="What the credentials lack.")
    pending: Pending | None = Field(None, description="Edits waiting for an apply.")
    pending_plan: PendingPlan | None = Field(None, description="What would be changed and is not, and why.")
    unmanaged: Unmanaged | None = Field(
        None, description="What is in Proxmox' SDN configuration and in no object; absent where nothing is."
    )
    last_handled_approval: Annotated[str, Cut(64)] | None = Field(
        None, description="Echo of the annotation pve-evpn.dev/approved-plan; an Event answers a wrong one."
    )
    lock: LockStatus | None = Field(None, description="The SDN lock, while the operator waits for it or keeps it.")
    last_transaction: LastTransaction | None = Field(None, description="The last transaction.")
