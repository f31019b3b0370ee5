"""Which sources show BGP and the VNIs of a ProxmoxCluster, and how often they are polled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.rules import ATOMIC, ONE_LINE, SET, Matching, Rule, only_one_of, rules
from pve_evpn.api.types import ApiModel, Network, Port, SecretKey, SecretRef, secret_key

HostAddress = Annotated[
    str,
    Length(min_length=1, max_length=253),
    Matching(r"[A-Za-z0-9.:-]+", "must be an IP address or a host name"),
]


class SshSecretKeyRef(SecretRef):
    """A private key in a Secret of the operator's own namespace."""

    key: SecretKey = secret_key("ssh-privatekey", "the private key")


class KnownHostsSecretKeyRef(SecretRef):
    """Host keys in a Secret of the operator's own namespace."""

    key: SecretKey = secret_key("known_hosts", "the host keys")


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
