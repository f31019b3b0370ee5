"""``pve-evpn doctor``: what an installation needs, checked one by one, with the command that mends it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.cli.report.check import Check, Grade
from pve_evpn.cli.report.model import Cell, Report, Table, Tone, columns, duration
from pve_evpn.cli.report.remedies import remedy_for
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.status import node_name
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.privileges import Feature, Rights, lack_in_words, missing
from pve_evpn.domain.state import OLDEST_SUPPORTED, ClusterState, PveVersion
from pve_evpn.text import some_of

#: Seconds by which Proxmox' clock may be ahead or behind: its tasks have whole seconds, and NTP keeps milliseconds.
CLOCK_WARNS, CLOCK_FAILS = 5.0, 60.0
#: Packages that every node of an EVPN zone needs (Proxmox VE's documentation, chapter SDN, Installation). FRR itself is
#: not in Proxmox' list of versions; its Python tools have the same version.
PACKAGES = ("frr-pythontools", "ifupdown2")


_TONES = {Grade.OK: Tone.GOOD, Grade.WARN: Tone.WAITING, Grade.FAIL: Tone.BAD, Grade.UNKNOWN: Tone.FAINT}


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """A Lease of the operator. ``lasts`` is its duration, ``renewed`` the holder's own time: both may be unset."""

    name: str
    holder: str
    renewed: datetime | None
    lasts: float | None


@dataclass(frozen=True, slots=True)
class Installation:
    """What Kubernetes has of the operator. ``unread``: what the caller may not read, and why.

    ``pods``: name to whether it is ready. ``denied``: (verb, resource) that the operator's ServiceAccount may not.
    """

    missing_crds: tuple[str, ...]
    pods: Mapping[str, bool]
    leases: tuple[LeaseSeen, ...]
    denied: tuple[tuple[str, str], ...]
    service_account: str
    namespace: str
    now: datetime
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProxmoxSeen:
    """What Proxmox answered. ``fingerprint`` is of the certificate it showed; empty if it showed none.

    ``problem``: (reason, message) of what ended the reading. ``packages``: node to installed versions; a node that did
    not answer is left out.
    """

    endpoint: str
    fingerprint: str = ""
    trusted_by: str = ""
    release: str = ""
    state: ClusterState | None = None
    clock_offset: float = 0.0
    packages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problem: tuple[str, str] | None = None


def doctor_report(sections: Iterable[tuple[str, str, Iterable[Check]]]) -> Report:
    """One table per (key, title, checks). It is good where no check failed."""
    titles = columns(
        ("check", "CHECK"), ("grade", "RESULT"), ("found", "FOUND"), ("mend", "WHAT TO DO"), wraps=("found", "mend")
    )
    blocks, good = [], True
    for key, title, checks in sections:
        listed = tuple(checks)
        good &= all(check.grade is not Grade.FAIL for check in listed)
        rows = tuple(
            (Cell(check.name), Cell(check.grade.value, _TONES[check.grade]), Cell(check.found), Cell(check.mend))
            for check in listed
        )
        if rows:
            blocks.append(Table(key, title, titles, rows))
    return Report(tuple(blocks), good)


# --- Kubernetes -------------------------------------------------------------------------------------------------


def kubernetes_checks(seen: Installation) -> list[Check]:
    """CRDs, pods, rights and Leases of the operator."""
    checks = [
        Check("CRDs", Grade.FAIL, f"not served: {some_of(seen.missing_crds)}", "kubectl apply --server-side -f crds/")
        if seen.missing_crds
        else Check("CRDs", Grade.OK, "all kinds are served")
    ]
    if why := seen.unread.get("pods"):
        checks.append(Check("operator", Grade.UNKNOWN, why))
    elif not seen.pods:
        text = f"no pod of the operator is in namespace {seen.namespace}"
        checks.append(
            Check("operator", Grade.WARN, text, "helm install (docs/install.md), or name --operator-namespace")
        )
    else:
        waiting = [name for name, ready in seen.pods.items() if not ready]
        grade = Grade.FAIL if len(waiting) == len(seen.pods) else Grade.WARN if waiting else Grade.OK
        text = f"{len(seen.pods) - len(waiting)} of {len(seen.pods)} pods are ready"
        mend = f"kubectl describe pod -n {seen.namespace} {waiting[0]}" if waiting else ""
        checks.append(Check("operator", grade, text, mend))
    checks += _lease_checks(seen)
    if why := seen.unread.get("rights"):
        checks.append(Check("operator's rights", Grade.UNKNOWN, why))
    elif seen.denied:
        listed = some_of(f"{verb} {resource}" for verb, resource in seen.denied)
        text = f"ServiceAccount {seen.service_account} may not {listed}"
        checks.append(
            Check("operator's rights", Grade.FAIL, text, "helm upgrade: the chart's roles are missing or old")
        )
    elif seen.service_account:
        checks.append(Check("operator's rights", Grade.OK, f"ServiceAccount {seen.service_account} has what it needs"))
    return checks


def _lease_checks(seen: Installation) -> list[Check]:
    if why := seen.unread.get("leases"):
        return [Check("Leases", Grade.UNKNOWN, why)]
    if not seen.pods and not seen.leases:
        return []
    live, silent = list[str](), list[str]()
    for lease in seen.leases:
        age = (seen.now - lease.renewed).total_seconds() if lease.renewed and lease.holder else None
        held = age is not None and age <= 3 * (lease.lasts or 15.0)
        (live if held else silent).append(f"{lease.name} ({duration(age)} ago)" if age is not None else lease.name)
    if live:
        return [Check("Leases", Grade.OK, f"renewed: {some_of(live, 3)}")]
    text = f"none is renewed: {some_of(silent)}" if silent else "there is none"
    return [Check("Leases", Grade.FAIL, text, "no operator leads: docs/runbooks/PveEvpnNoLeader.md")]


# --- Proxmox ----------------------------------------------------------------------------------------------------


def proxmox_checks(seen: ProxmoxSeen) -> list[Check]:
    """From the endpoint to the packages on the nodes; what cannot be reached any more is left out."""
    checks = [_endpoint(seen)]
    if seen.problem is not None:
        reason, message = seen.problem
        if not (reason == Reason.CLUSTER_UNREACHABLE and checks[0].grade is Grade.FAIL):
            checks.append(Check("API", Grade.FAIL, message, _mend_of(seen, reason)))
    if seen.release:
        supported = PveVersion.parse(seen.release) >= OLDEST_SUPPORTED
        grade, mend = (
            (Grade.OK, "") if supported else (Grade.FAIL, f"upgrade Proxmox VE to {OLDEST_SUPPORTED} or newer")
        )
        checks.append(Check("release", grade, f"Proxmox VE {seen.release}", mend))
    if seen.state is None:
        return checks
    return [*checks, _clock(seen), *_cluster(seen.state), *_rights(seen.state.rights), *_nodes(seen)]


def _endpoint(seen: ProxmoxSeen) -> Check:
    if not seen.fingerprint:
        text = f"{seen.endpoint} shows no certificate: it does not answer, or no TLS is spoken there"
        return Check("endpoint", Grade.FAIL, text, f"curl -kv {seen.endpoint}/; does a firewall let port 8006 through?")
    if seen.trusted_by:
        return Check(
            "endpoint", Grade.OK, f"{seen.endpoint}: fingerprint {seen.fingerprint}; trusted by {seen.trusted_by}"
        )
    text = f"{seen.endpoint}: fingerprint {seen.fingerprint}; compare it with `pvenode cert info` on the node"
    return Check("endpoint", Grade.WARN, text, f'set spec.tls.fingerprint: "{seen.fingerprint}"')


def _mend_of(seen: ProxmoxSeen, reason: str) -> str:
    if reason == Reason.TLS_REJECTED:
        return (
            f'if this certificate is yours (`pvenode cert info`), set spec.tls.fingerprint: "{seen.fingerprint}", or '
            "the cluster's CA (/etc/pve/pve-root-ca.pem) as spec.tls.caBundle"
        )
    return remedy_for(reason).text


def _clock(seen: ProxmoxSeen) -> Check:
    off = abs(seen.clock_offset)
    grade = Grade.FAIL if off >= CLOCK_FAILS else Grade.WARN if off >= CLOCK_WARNS else Grade.OK
    direction = "ahead of" if seen.clock_offset > 0 else "behind"
    text = f"{off:.0f} s {direction} this machine's" if grade is not Grade.OK else "agrees with this machine's"
    mend = "let both use NTP: timedatectl, chronyc tracking" if grade is not Grade.OK else ""
    return Check("clock", grade, text, mend)


def _cluster(state: ClusterState) -> list[Check]:
    online = [node for node in state.nodes.values() if node.online]
    off = sorted(node.name for node in state.nodes.values() if not node.online)
    quorum = (
        Check("quorum", Grade.OK, f"{len(online)} of {len(state.nodes)} nodes are online")
        if state.quorate
        else Check("quorum", Grade.FAIL, "the cluster has no quorum: nothing can be written", "pvecm status on a node")
    )
    return [
        quorum,
        *(Check(name, Grade.WARN, "offline", "an apply waits for it no longer than its timeout") for name in off),
    ]


def _rights(rights: Rights | None) -> list[Check]:
    if rights is None:
        return [Check("privileges", Grade.UNKNOWN, "Proxmox does not show the privileges of these credentials")]
    checks = []
    for feature, grade, what in (
        (Feature.READ, Grade.FAIL, "to read"), (Feature.WRITE, Grade.FAIL, "to change the SDN"),
        (Feature.NICS, Grade.WARN, "for NicAttachments"), (Feature.RELOAD, Grade.WARN, "to reload one node"),
    ):  # fmt: skip
        lacking = missing(rights.held, [feature])
        if lacking:
            checks.append(Check(f"privileges {what}", grade, "missing", lack_in_words(lacking, rights.user)))
    return checks or [Check("privileges", Grade.OK, f"{rights.user} has those of every feature")]


def _nodes(seen: ProxmoxSeen) -> list[Check]:
    assert seen.state is not None
    checks = []
    for name, node in sorted(seen.state.nodes.items()):
        if not node.online:
            continue
        versions = seen.packages.get(name)
        if versions is None:
            checks.append(Check(name, Grade.UNKNOWN, "it does not show its packages (Sys.Audit on the node)"))
        elif lacking := [package for package in PACKAGES if package not in versions]:
            packages = " ".join(lacking)
            checks.append(Check(name, Grade.FAIL, f"not installed: {packages}", f"on {name}: apt install {packages}"))
        else:
            checks.append(Check(name, Grade.OK, ", ".join(f"{package} {versions[package]}" for package in PACKAGES)))
        if wrong := seen.state.unavailable_zones(node):
            listed = some_of(f"{zone}: {state}" for zone, state in wrong.items())
            checks.append(Check(f"{name}: zones", Grade.WARN, listed, f"pvesh set /nodes/{name}/network on {name}"))
        if node.network_pending:
            text = "host-network edits are staged; an SDN apply would put them into force"
            checks.append(Check(f"{name}: network", Grade.WARN, text, "apply or revert them in System > Network"))
    return checks


# --- what the operator reports ----------------------------------------------------------------------------------


def object_checks(snapshot: Snapshot, cluster: Resource[Any]) -> list[Check]:
    """What the operator says of a ProxmoxCluster and its nodes: connection, Secret, observation, MTU, exit nodes."""
    checks = []
    for kind in (
        ConditionType.REACHABLE, ConditionType.AUTHENTICATED, ConditionType.VERSION_SUPPORTED, ConditionType.QUORATE,
    ):  # fmt: skip
        condition = next((each for each in cluster.status.conditions or () if each.type == kind), None)
        if condition is None or condition.status == "Unknown":
            checks.append(Check(kind.value, Grade.UNKNOWN, condition.message if condition else "not reported yet"))
        elif condition.status == "True":
            checks.append(Check(kind.value, Grade.OK, condition.reason))
        else:
            mend = remedy_for(condition.reason).text
            checks.append(Check(kind.value, Grade.FAIL, f"{condition.reason}: {condition.message}", mend))
    for node in snapshot.of_kind("EvpnNode"):
        if snapshot.cluster_of(node.key) is cluster:
            checks.append(_observed(node))
    for zone in snapshot.of_kind("EvpnZone"):
        if snapshot.cluster_of(zone.key) is cluster:
            checks += [*_mtu(zone), *_exit(zone)]
    return checks


def _observed(node: Resource[Any]) -> Check:
    """ssh helpers, host keys and exporters show in what the observer could not read."""
    name, status = f"observing {node_name(node)}", node.status
    if status.problems:
        mend = "docs/observing.md: host keys, the forced command and vtysh's rights, or the exporter's address"
        return Check(name, Grade.WARN, some_of(status.problems, 2), mend)
    if status.source is None or status.peers is None:
        text = "no source shows its BGP sessions"
        return Check(name, Grade.UNKNOWN, text, "spec.observe.sources: ssh or frrExporter (docs/observing.md)")
    return Check(
        name, Grade.OK, f"by {status.source}, FRR {status.frr_version or 'unknown'}, {status.sessions} sessions"
    )


def _mtu(zone: Resource[Any]) -> list[Check]:
    """A zone's MTU against the underlay's: the operator compares them."""
    conditions = zone.status.conditions or ()
    found = [each for each in conditions if each.status == "False" and "mtu" in f"{each.reason} {each.message}".lower()]
    return [
        Check(f"MTU of {zone.key.name}", Grade.WARN, each.message, remedy_for(each.reason).text) for each in found[:1]
    ]


def _exit(zone: Resource[Any]) -> list[Check]:
    """Whether packets leave a zone by its exit nodes."""
    leaves, name = zone.status.exit, f"exit nodes of {zone.key.name}"
    if leaves is None:
        return []
    if leaves.problems:
        return [Check(name, Grade.WARN, some_of(leaves.problems, 2), "docs/exit-nodes.md: what each of these means")]
    if leaves.summary is None:
        text = "no source shows their default routes"
        return [Check(name, Grade.UNKNOWN, text, "source ssh and the helper of this release (docs/observing.md)")]
    if leaves.risks:
        return [
            Check(name, Grade.OK, f"{leaves.summary} usable; risk: {some_of(leaves.risks, 2)}", "docs/exit-nodes.md")
        ]
    return [Check(name, Grade.OK, f"{leaves.summary} usable")]
