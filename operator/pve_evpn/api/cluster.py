"""ProxmoxCluster: where a Proxmox VE cluster is, how to log in, and how carefully to treat it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ReportedStatus
from pve_evpn.api.limits import Counted, Cut
from pve_evpn.api.nic import Vmid
from pve_evpn.api.types import (
    ATOMIC,
    ONE_LINE,
    SET,
    SEVERAL_LINES,
    Adoption,
    ApiModel,
    Fingerprint,
    LabelSelector,
    ManagementPolicy,
    Matching,
    Network,
    NodeName,
    Port,
    Rule,
    SecretKey,
    SecretRef,
    Timestamp,
    keyed,
    only_one_of,
    rules,
    secret_key,
)


def _cron_field(number: str, names: str = "") -> str:
    """One field of a cron expression: ``*``, numbers, ranges and lists of them, each with a step."""
    value = f"({number}|{names})" if names else f"({number})"
    item = rf"(\*|{value}(-{value})?)(/[0-9]{{1,3}})?"
    return f"{item}(,{item})*"


_CRON = r"\s+".join(
    (
        _cron_field("[0-5]?[0-9]"),
        _cron_field("[01]?[0-9]|2[0-3]"),
        _cron_field("0?[1-9]|[12][0-9]|3[01]"),
        _cron_field("0?[1-9]|1[0-2]", "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"),
        _cron_field("[0-7]", "(?i:sun|mon|tue|wed|thu|fri|sat)"),
    )
)

Endpoint = Annotated[
    str,
    Length(min_length=9, max_length=260),
    Matching(
        r"https://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?",
        "must be https://host or https://host:port, without a path (Proxmox listens on port 8006)",
    ),
]
ProxyUrl = Annotated[
    str,
    Length(min_length=8, max_length=260),
    Matching(
        r"https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?",
        "must be http://host:port or https://host:port, without user, password and path",
    ),
]
CaBundle = Annotated[
    str,
    Length(max_length=65536),
    SEVERAL_LINES,
    Rule("self.contains('-----BEGIN CERTIFICATE-----')", "must hold certificates in PEM form"),
]
Schedule = Annotated[
    str,
    Length(min_length=9, max_length=100),
    Matching(_CRON, "must be five cron fields (minute hour day month weekday), e.g. '0 22 * * mon-fri'"),
]
TimeZone = Annotated[
    str,
    Length(min_length=1, max_length=64),
    Matching(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", "must be an IANA time zone such as Europe/Vienna"),
    # For a zone that it does not know, the API server cannot evaluate this, and refuses the object.
    Rule(
        "timestamp('2026-01-01T00:00:00Z').getFullYear(self) > 0",
        "must be the name of a time zone in the IANA database, such as Europe/Vienna",
    ),
]
HostAddress = Annotated[
    str,
    Length(min_length=1, max_length=253),
    Matching(r"[A-Za-z0-9.:-]+", "must be an IP address or a host name"),
]


class CaSecretKeyRef(SecretRef):
    """CA certificates in a Secret of the operator's own namespace."""

    key: SecretKey = secret_key("ca.crt", "the certificates")


class SshSecretKeyRef(SecretRef):
    """A private key in a Secret of the operator's own namespace."""

    key: SecretKey = secret_key("ssh-privatekey", "the private key")


class KnownHostsSecretKeyRef(SecretRef):
    """Host keys in a Secret of the operator's own namespace."""

    key: SecretKey = secret_key("known_hosts", "the host keys")


class Tls(ApiModel):
    """How the API's certificate is checked. Without any of these the system's CAs are trusted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                only_one_of("caSecretRef", "caBundle", "fingerprint", exactly=False),
                "set only one of caSecretRef, caBundle and fingerprint",
            ),
            Rule(
                "!(has(self.insecureSkipVerify) && self.insecureSkipVerify) || !(has(self.caSecretRef) || "
                "has(self.caBundle) || has(self.fingerprint))",
                "insecureSkipVerify makes caSecretRef, caBundle and fingerprint meaningless: remove one side",
            ),
        )
    )

    ca_secret_ref: CaSecretKeyRef | None = Field(
        None, description="CA certificates (PEM) in a Secret. A cluster's own CA is /etc/pve/pve-root-ca.pem."
    )
    ca_bundle: CaBundle | None = Field(None, description="CA certificates (PEM) as text.")
    fingerprint: Fingerprint | None = Field(
        None,
        description="SHA-256 fingerprint of the server's certificate, 32 pairs of hex digits with colons. It holds "
        "through a proxy too.",
    )
    insecure_skip_verify: bool | None = Field(
        None, description="Do not check the certificate; shown as condition InsecureConnection. Default: false."
    )


class Window(ApiModel):
    """A recurring time in which applies are allowed."""

    schedule: Schedule = Field(description="When the window opens: five cron fields (minute hour day month weekday).")
    time_zone: TimeZone = Field("Etc/UTC", description="IANA time zone of schedule. Default: Etc/UTC.")
    duration_minutes: Annotated[int, Field(ge=1, le=10080)] = Field(
        description="How long it stays open, in minutes, 1 to 10080 (a week)."
    )


StepClass = Literal["none", "reload", "disruptive", "destructive"]


class ApplyPolicy(ApiModel):
    """When and how staged changes go live."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!(has(self.policy) && self.policy == 'Window') || (has(self.windows) && self.windows.size() > 0)",
                "policy: Window needs at least one entry in windows",
            ),
            # Somebody who writes windows expects them to be kept; without the policy they would be ignored.
            Rule(
                "!has(self.windows) || self.windows.size() == 0 || (has(self.policy) && self.policy == 'Window')",
                "windows are used with policy: Window only; set it, or remove them",
            ),
        )
    )

    policy: Literal["Automatic", "Manual", "Window"] | None = Field(
        None,
        description="Automatic applies at once; Manual waits until the annotation pve-evpn.dev/approved-plan equals "
        "status.pendingPlan.hash; Window waits for one of windows. Default: Automatic.",
    )
    windows: list[Window] | None = Field(
        None, max_length=16, description="For policy Window: when it is open.", json_schema_extra=ATOMIC
    )
    destructive: Literal["Automatic", "Manual"] | None = Field(
        None,
        description="Manual: deletions wait for approval, whatever the policy; the same as destructive in approval. "
        "Default: Automatic.",
    )
    approval: list[StepClass] | None = Field(
        None,
        max_length=4,
        description="The classes of steps that wait for approval, whatever the policy: none, reload, disruptive (ASN, "
        "underlay, VNIs, controllers, MTU, nodes taken away: sessions or traffic stop), destructive (deletions). The "
        "operator applies the rest of the plan. Default: no class.",
        json_schema_extra=SET,
    )
    foreign_pending: Literal["Refuse", "Include"] | None = Field(
        None,
        description="What to do when another client's staged changes would go live too: Refuse applies nothing and "
        "names them; Include applies them as well. Default: Refuse.",
    )
    on_failure: Literal["Hold", "Revert"] | None = Field(
        None,
        description="After an apply that left the network worse: Hold keeps the state and reports it; Revert writes "
        "the previous values again and applies once more. Worse are reloads that failed, zones that are no longer "
        "available, and what the nodes show: sessions, VNIs, flood lists and routes to attached NICs that are gone "
        "and that the change does not explain. Default: Hold.",
    )
    confirm_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="With onFailure: Revert, how long the network is compared after an apply, in seconds, 0 to 3600. "
        "The SDN lock is held meanwhile. An apply interrupts sessions for up to 45 and routes for up to 60 seconds "
        "anyway, so less than 80 seconds find little. Additions are confirmed as soon as all is well. Default: 90.",
    )
    min_interval_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="How long a namespace whose objects caused about five applies in a row waits for its next one, in "
        "seconds, 0 to 3600; it doubles while that goes on, up to four times as much. The next apply, whoever's turn "
        "it is, has all changes that wait. 0: never. Default: 15.",
    )
    task_timeout_seconds: Annotated[int, Field(ge=10, le=3600)] | None = Field(
        None,
        description="How long an apply and the nodes' reloads are followed, in seconds, 10 to 3600. Default: 300.",
    )


class SshSource(ApiModel):
    """Reading FRR on the nodes through a key whose forced command is the operator's helper."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                only_one_of("knownHosts", "knownHostsSecretRef"),
                "host keys are always checked: set exactly one of knownHosts and knownHostsSecretRef",
            ),
            Rule(
                "!has(self.addresses) || self.addresses.all(n, n.matches('^[a-zA-Z0-9][a-zA-Z0-9-]*$'))",
                "the keys of addresses must be names of Proxmox nodes",
            ),
        )
    )

    user: Annotated[
        str,
        Length(min_length=1, max_length=32),
        Matching(r"[a-z_][a-z0-9_-]*", "must be the name of a user"),
    ] = Field("root", description="User on the nodes. Default: root.")
    port: Port = Field(22, description="Port of sshd, 1 to 65535. Default: 22.")
    key_secret_ref: SshSecretKeyRef = Field(description="The private key.")
    known_hosts: list[Annotated[str, Length(min_length=1, max_length=1024), ONE_LINE]] | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Host keys, each line as in a known_hosts file: address, key type, key.",
        json_schema_extra=ATOMIC,
    )
    known_hosts_secret_ref: KnownHostsSecretKeyRef | None = Field(None, description="A known_hosts file in a Secret.")
    addresses: dict[str, HostAddress] | None = Field(
        None,
        max_length=256,
        description="Address per node name, where it is not the one the cluster knows. Default: none.",
    )
    pinning: bool | None = Field(
        None,
        description="Allow pinning of silent hosts' MAC addresses through the same key, whose forced command must "
        "allow it too. Default: false.",
    )


class FrrExporterSource(ApiModel):
    """Reading the nodes' Prometheus exporter for FRR."""

    scheme: Literal["http", "https"] = Field("http", description="http or https. Default: http.")
    port: Port = Field(9342, description="Port of the exporter, 1 to 65535. Default: 9342.")
    path: Annotated[
        str,
        Length(min_length=1, max_length=256),
        Matching(r"/[A-Za-z0-9._~/-]*", "must be a path such as /metrics"),
    ] = Field("/metrics", description="Path of the metrics. Default: /metrics.")


class Observe(ApiModel):
    """Which sources show BGP and the VNIs, and how often they are polled."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!has(self.sources) || !('ssh' in self.sources) || has(self.ssh)",
                "source ssh needs the section ssh with keySecretRef",
            ),
            Rule(
                "!has(self.sources) || self.sources.all(s, self.sources.exists_one(t, t == s))",
                "sources must not repeat a source",
            ),
        )
    )

    sources: list[Literal["ssh", "frrExporter", "api"]] | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="Sources in order of preference, per node; the next one is asked where the ones before it fail or "
        "show no sessions or no MACs. Default: [api].",
        # The order means something, so no tool may merge it.
        json_schema_extra=ATOMIC,
    )
    interval_seconds: Annotated[int, Field(ge=2, le=3600)] | None = Field(
        None, description="Time between two polls in seconds, 2 to 3600. Default: 15."
    )
    resync_seconds: Annotated[int, Field(ge=0, le=86400)] | None = Field(
        None,
        description="Most seconds, 0 to 86400, after which a sync reads again what shows no sign of a change: guests, "
        "and subnets that the digest of Proxmox' subnet file does not confirm. 0 reads all each time. Default: 600.",
    )
    grace_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="How long the last answer of a source that fails counts, in seconds, 0 to 3600; then what it "
        "saw is Unknown. Default: 60.",
    )
    allowed_networks: list[Network] | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="Networks that nodes are asked in by ssh and frrExporter; the addresses that Proxmox names for its "
        "nodes are not trusted. Addresses in ssh.addresses are always asked. Default: the private networks (RFC 1918, "
        "RFC 6598, RFC 4193) and the endpoints' own addresses.",
        json_schema_extra=SET,
    )
    ssh: SshSource | None = Field(None, description="For source ssh.")
    frr_exporter: FrrExporterSource | None = Field(None, description="For source frrExporter.")


class VmidRange(ApiModel):
    """Guests by number; both ends belong to it."""

    model_config = ConfigDict(json_schema_extra=rules(Rule("self.from <= self.to", "from must not be above to")))

    from_: Vmid = Field(alias="from", description="Lowest vmid, 100 or more.")
    to: Vmid = Field(description="Highest vmid.")


class GuestSet(ApiModel):
    """Guests that are in any of the pools, have any of the tags, or are in any of the ranges."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("has(self.pools) || has(self.tags) || has(self.vmids)", "name guests by pools, tags or vmids")
        )
    )

    pools: list[Annotated[str, Length(min_length=1, max_length=128), ONE_LINE]] | None = Field(
        None, min_length=1, max_length=64, description="Resource pools in Proxmox.", json_schema_extra=SET
    )
    tags: list[Annotated[str, Length(min_length=1, max_length=128), ONE_LINE]] | None = Field(
        None, min_length=1, max_length=64, description="Guest tags in Proxmox.", json_schema_extra=SET
    )
    vmids: list[VmidRange] | None = Field(
        None, min_length=1, max_length=64, description="Ranges of vmids.", json_schema_extra=ATOMIC
    )


class GuestAccess(ApiModel):
    """Allows NicAttachments of some namespaces to connect some guests."""

    namespaces: LabelSelector = Field(description="Namespaces by label; an empty selector means all.")
    guests: GuestSet = Field(description="The guests they may connect.")


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
