"""ProxmoxCluster: where a Proxmox VE cluster is, how to log in, and how carefully to treat it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pve_evpn.api.base import (
    ATOMIC,
    SET,
    ApiModel,
    LabelSelector,
    ManagementPolicy,
    SecretKeyRef,
    SecretRef,
    keyed,
    rule,
    rules,
)
from pve_evpn.api.conditions import Condition

Endpoint = Annotated[str, StringConstraints(min_length=9, max_length=260, pattern=r"^https://[^/\s?#@]+/?$")]
_HEX_FINGERPRINT = r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$"
_CRON = r"^\S+(\s+\S+){4}$"


class Tls(ApiModel):
    """How the API's certificate is checked. Without any of these the system's CAs decide."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.caSecretRef), has(self.caBundle), has(self.fingerprint)].filter(x, x).size() <= 1",
                "give only one of caSecretRef, caBundle and fingerprint",
            ),
            rule(
                "!(has(self.insecureSkipVerify) && self.insecureSkipVerify) || !(has(self.caSecretRef) || "
                "has(self.caBundle) || has(self.fingerprint))",
                "insecureSkipVerify would make caSecretRef, caBundle and fingerprint meaningless; remove one side",
            ),
        )
    )

    ca_secret_ref: SecretKeyRef | None = Field(None, description="Secret key that holds the CA certificates (PEM).")
    ca_bundle: Annotated[str, StringConstraints(max_length=65536, pattern=r"-----BEGIN CERTIFICATE-----")] | None = (
        Field(None, description="CA certificates (PEM). A cluster's own CA is /etc/pve/pve-root-ca.pem.")
    )
    fingerprint: Annotated[str, StringConstraints(pattern=_HEX_FINGERPRINT)] | None = Field(
        None,
        description="SHA-256 fingerprint of the server's certificate, 32 pairs of hex digits with colons.",
    )
    insecure_skip_verify: bool | None = Field(
        None,
        description="Do not check the certificate. Shown as condition InsecureConnection. Default: false.",
    )


class Window(ApiModel):
    """A recurring time in which applies are allowed."""

    schedule: Annotated[str, StringConstraints(max_length=100, pattern=_CRON)] = Field(
        description="When the window opens: five cron fields (minute hour day month weekday)."
    )
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        "Etc/UTC", description="IANA time zone of schedule. Default: Etc/UTC."
    )
    duration_minutes: Annotated[int, Field(ge=1, le=10080)] = Field(description="How long it stays open, in minutes.")


class ApplyPolicy(ApiModel):
    """When and how staged changes go live."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.policy) && self.policy == 'Window') || (has(self.windows) && self.windows.size() > 0)",
                "policy Window needs at least one entry in windows",
            )
        )
    )

    policy: Literal["Automatic", "Manual", "Window"] | None = Field(
        None,
        description="Automatic applies at once, Manual waits for the annotation pve-evpn.dev/approved-plan with the "
        "hash of status.pendingPlan, Window waits for one of windows. Default: Automatic.",
    )
    windows: list[Window] | None = Field(
        None, max_length=16, description="For policy Window.", json_schema_extra=ATOMIC
    )
    destructive: Literal["Automatic", "Manual"] | None = Field(
        None,
        description="Manual: plans that delete something need approval under every policy. Default: Automatic.",
    )
    foreign_pending: Literal["Refuse", "Include"] | None = Field(
        None,
        description="What to do when somebody else's staged changes would go live with ours: Refuse stops and names "
        "them, Include applies them too. Default: Refuse.",
    )
    on_failure: Literal["Hold", "Revert"] | None = Field(
        None,
        description="After an apply that left things worse: Hold keeps the state and reports it, Revert writes the "
        "previous values back and applies once more. Default: Hold.",
    )
    task_timeout_seconds: Annotated[int, Field(ge=10, le=3600)] | None = Field(
        None, description="How long to follow an apply and the nodes' reloads, in seconds. Default: 300."
    )


class SshSource(ApiModel):
    """Reading FRR on the nodes through a forced-command key."""

    user: Annotated[str, StringConstraints(min_length=1, max_length=32)] = Field(
        "root", description="User on the nodes. Default: root."
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(22, description="Port of sshd. Default: 22.")
    key_secret_ref: SecretKeyRef = Field(description="Secret key that holds the private key.")
    known_hosts: list[Annotated[str, StringConstraints(max_length=1024)]] | None = Field(
        None,
        max_length=256,
        description="Host keys, each line as in known_hosts: node name or address, key type, key.",
        json_schema_extra=ATOMIC,
    )
    known_hosts_secret_ref: SecretKeyRef | None = Field(None, description="Secret key that holds a known_hosts file.")
    addresses: dict[str, Annotated[str, StringConstraints(max_length=253)]] | None = Field(
        None, max_length=256, description="Address per node, where it is not the one the cluster knows."
    )
    pinning: bool | None = Field(
        None, description="Allow pinning of silent hosts' MAC addresses through the same key. Default: false."
    )


class FrrExporterSource(ApiModel):
    """Reading the nodes' Prometheus exporter for FRR."""

    scheme: Literal["http", "https"] = Field("http", description="Default: http.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(9342, description="Default: 9342.")
    path: Annotated[str, StringConstraints(max_length=256, pattern=r"^/")] = Field(
        "/metrics", description="Default: /metrics."
    )


class Observe(ApiModel):
    """What is looked at to see BGP and the VNIs, and how often."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.sources) || !('ssh' in self.sources) || has(self.ssh)",
                "source ssh needs ssh.keySecretRef",
            )
        )
    )

    sources: list[Literal["ssh", "frrExporter", "api"]] | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="Sources in order of preference, the first that answers is used per node. Default: [api].",
        json_schema_extra=SET,
    )
    interval_seconds: Annotated[int, Field(ge=2, le=3600)] | None = Field(
        None, description="Seconds between two looks. Default: 15."
    )
    grace_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="How long a silent source keeps its last word before things are Unknown. Default: 60.",
    )
    ssh: SshSource | None = Field(None, description="For source ssh.")
    frr_exporter: FrrExporterSource | None = Field(None, description="For source frrExporter.")


class VmidRange(ApiModel):
    """Guests by number."""

    model_config = ConfigDict(json_schema_extra=rules(rule("self.from <= self.to", "from must not be above to")))

    from_: Annotated[int, Field(ge=100, le=999999999)] = Field(alias="from", description="Lowest vmid.")
    to: Annotated[int, Field(ge=100, le=999999999)] = Field(description="Highest vmid.")


class GuestSet(ApiModel):
    """Guests named by any of pool, tag or number."""

    pools: list[Annotated[str, StringConstraints(max_length=128)]] | None = Field(
        None, max_length=64, description="Resource pools.", json_schema_extra=SET
    )
    tags: list[Annotated[str, StringConstraints(max_length=128)]] | None = Field(
        None, max_length=64, description="Guest tags.", json_schema_extra=SET
    )
    vmids: list[VmidRange] | None = Field(None, max_length=64, description="Ranges of vmids.", json_schema_extra=ATOMIC)


class GuestAccess(ApiModel):
    """Lets NicAttachments of some namespaces wire some guests."""

    namespaces: LabelSelector = Field(description="Namespaces by label; an empty selector means all.")
    guests: GuestSet = Field(description="The guests they may wire.")


class ProxmoxClusterSpec(ApiModel):
    """One Proxmox VE cluster (9.0 or newer)."""

    endpoints: list[Endpoint] = Field(
        min_length=1,
        max_length=16,
        description="API addresses, https://host[:8006]; the next one is used when one cannot be reached.",
        json_schema_extra=SET,
    )
    credentials_secret_ref: SecretRef = Field(
        description="Secret with tokenId and token (tokenNext: a second token to rotate to), or username and password."
    )
    tls: Tls | None = Field(None, description="How the certificate is checked. Default: by the system's CAs.")
    management_policy: ManagementPolicy | None = Field(
        None, description="ObserveOnly: nothing is ever written to this cluster. Default: Full."
    )
    drift: Literal["Correct", "Report"] | None = Field(
        None, description="What to do with out-of-band edits of our objects. Default: Correct."
    )
    apply: ApplyPolicy | None = Field(None, description="When and how changes go live.")
    observe: Observe | None = Field(None, description="How BGP and VNIs are observed.")
    guest_access: list[GuestAccess] | None = Field(
        None,
        max_length=64,
        description="Which namespaces may wire which guests. Default: none.",
        json_schema_extra=ATOMIC,
    )


class ClusterNodeStatus(ApiModel):
    """One member of the cluster."""

    name: str = Field(max_length=63, description="Node name.")
    online: bool | None = Field(None, description="Whether the cluster sees it.")
    address: str | None = Field(None, max_length=64, description="Address the cluster knows it by.")
    programmed: bool | None = Field(None, description="Whether its last reload succeeded.")
    message: str | None = Field(None, max_length=1024, description="What is wrong with it.")


class LockStatus(ApiModel):
    """Proxmox' SDN lock, while it stands in the way."""

    holder: Literal["Self", "Other"] = Field(description="Whose it is.")
    since: str = Field(description="Since when it was seen held.", json_schema_extra={"format": "date-time"})


class PendingPlan(ApiModel):
    """A plan that waits for approval or a window."""

    hash: str = Field(max_length=64, description="Approve by annotating pve-evpn.dev/approved-plan with this.")
    summary: list[Annotated[str, StringConstraints(max_length=256)]] = Field(
        max_length=64, description="The steps in words.", json_schema_extra=ATOMIC
    )
    truncated: int | None = Field(None, description="How many more steps there are.")
    destructive: bool = Field(description="Whether something is deleted.")
    since: str = Field(description="Since when it waits.", json_schema_extra={"format": "date-time"})


class TransactionNode(ApiModel):
    """What became of one node's reload."""

    name: str = Field(max_length=63, description="Node name.")
    result: Literal["Reloaded", "Failed", "Unknown"] = Field(description="How its reload ended.")
    message: str | None = Field(None, max_length=1024, description="Proxmox' words.")


class LastTransaction(ApiModel):
    """The last transaction that staged or applied something."""

    outcome: str = Field(max_length=64, description="Applied, PartiallyApplied, StagingFailed or ApplyFailed.")
    message: str | None = Field(None, max_length=1024, description="What went wrong.")
    changes: int = Field(description="How many steps it had.")
    started_at: str = Field(description="When it took the lock.", json_schema_extra={"format": "date-time"})
    finished_at: str = Field(description="When it ended.", json_schema_extra={"format": "date-time"})
    nodes: list[TransactionNode] | None = Field(
        None, max_length=64, description="Each node's reload.", json_schema_extra=keyed("name")
    )


class Pending(ApiModel):
    """Edits that the next apply would publish."""

    own: int | None = Field(None, description="How many are ours.")
    foreign: list[Annotated[str, StringConstraints(max_length=512)]] | None = Field(
        None, max_length=32, description="Those of others, in words.", json_schema_extra=ATOMIC
    )
    host_network: list[Annotated[str, StringConstraints(max_length=63)]] | None = Field(
        None, max_length=64, description="Nodes with staged host-network edits.", json_schema_extra=ATOMIC
    )
    truncated: int | None = Field(None, description="How many more foreign edits there are.")


class Privileges(ApiModel):
    """What the credentials lack."""

    missing: list[Annotated[str, StringConstraints(max_length=128)]] | None = Field(
        None, max_length=32, description="Missing privileges as path: privilege.", json_schema_extra=ATOMIC
    )


class ProxmoxClusterStatus(ApiModel):
    """What was seen of the cluster, and what was last done to it."""

    observed_generation: int | None = Field(None, description="metadata.generation this status is about.")
    last_handled_reconcile_at: str | None = Field(
        None, max_length=128, description="Echo of annotation pve-evpn.dev/reconcile-requested-at."
    )
    version: str | None = Field(None, max_length=32, description="Proxmox VE release, e.g. 9.2.11.")
    cluster_name: str | None = Field(None, max_length=64, description="The cluster's own name.")
    active_endpoint: str | None = Field(None, max_length=260, description="The endpoint in use.")
    quorate: bool | None = Field(None, description="Whether the cluster has quorum.")
    nodes_online: str | None = Field(None, max_length=16, description="Online of all nodes, e.g. 4/4.")
    nodes: list[ClusterNodeStatus] | None = Field(
        None, max_length=64, description="Members.", json_schema_extra=keyed("name")
    )
    truncated: int | None = Field(None, description="How many more nodes there are.")
    privileges: Privileges | None = Field(None, description="What the credentials lack.")
    pending: Pending | None = Field(None, description="Edits waiting for an apply.")
    pending_plan: PendingPlan | None = Field(None, description="The plan that waits for approval or a window.")
    lock: LockStatus | None = Field(None, description="The SDN lock, while it stands in the way.")
    last_transaction: LastTransaction | None = Field(None, description="The last transaction.")
    conditions: list[Condition] | None = Field(
        None, max_length=24, description="Judgements.", json_schema_extra=keyed("type")
    )
