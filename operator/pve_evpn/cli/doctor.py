"""``pve-evpn doctor``: whether an installation has what it needs, before and after installing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import typer
from kubernetes.aio import client

from pve_evpn.api.conditions import Reason
from pve_evpn.api.kinds import GROUP, KINDS
from pve_evpn.cli import desired, full_tables, options, output, proxmox
from pve_evpn.cli.failures import NOT_GOOD, Refusal, guarded
from pve_evpn.cli.installation import InstallationReader
from pve_evpn.cli.reading import snapshot_through
from pve_evpn.cli.report.check import Check
from pve_evpn.cli.report.doctor import (
    PACKAGES,
    Installation,
    LeaseSeen,
    ProxmoxSeen,
    doctor_report,
    kubernetes_checks,
    object_checks,
    proxmox_checks,
)
from pve_evpn.cli.report.endpoint import endpoint_checks
from pve_evpn.cli.report.snapshot import CLUSTER
from pve_evpn.engine.connection import problem_of
from pve_evpn.kube.client import CustomObjects
from pve_evpn.kube.leader import LABELS
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

_TLS_SECONDS = 5.0
_Section = tuple[str, str, list[Check]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says. ``cluster``: the only ProxmoxCluster; empty for all."""

    access: proxmox.Access
    cluster: str


app = typer.Typer(add_completion=False)


@app.command(
    epilog="Example: PVE_TOKEN_ID=pve-evpn@pve!operator PVE_TOKEN_FILE=token pve-evpn doctor --endpoint https://pve1:8006"
)
@options.grouped
def doctor(
    cluster: options.Cluster = "",
    *,
    access: proxmox.Access,
    offline: options.Offline = False,
    form: options.Output = "text",
) -> int:
    """Check Kubernetes, the operator, and Proxmox with its nodes, line by line, with the command that mends it. Before
    installing: name --endpoint. Exit status 3: a check failed.
    """
    return guarded(_doctor(_Asked(access, cluster), offline, form))


async def _doctor(asked: _Asked, offline: bool, form: options.Form) -> int:
    async with desired.kubernetes(offline=offline) as api:
        sections = [*(await _kubernetes(asked, api) if api else ()), *await _endpoints(asked)]
    if not sections:
        raise Refusal("there is neither a kubeconfig nor an --endpoint: nothing can be checked")
    report = doctor_report(sections)
    output.write(report, form)
    return 0 if report.good else NOT_GOOD


async def _endpoints(asked: _Asked) -> list[_Section]:
    """Of the command line, where no ProxmoxCluster is named."""
    if not asked.access.endpoints or asked.cluster:
        return []
    tls = proxmox.own_tls(asked.access)
    raw = {
        "endpoints": list(asked.access.endpoints),
        "credentialsSecretRef": {"name": "none"},
        **({"tls": tls} if tls else {}),
    }
    checks = await _proxmox_checks(asked.access, "doctor", raw, None)
    return [("proxmox", f"PROXMOX AT {asked.access.endpoints[0]}", checks)]


async def _kubernetes(asked: _Asked, api: client.ApiClient) -> list[_Section]:
    with output.working("checking the installation in Kubernetes") as now:
        installed = await _Reading(api, asked.access.operator_namespace).installation()
        now("reading what the operator reports")
        snapshot = await snapshot_through(api, events=False)
    sections: list[_Section] = [("kubernetes", "KUBERNETES", kubernetes_checks(installed))]
    for cluster in snapshot.of_kind(CLUSTER):
        name = cluster.key.name
        if asked.cluster not in ("", name):
            continue
        sections.append((f"cluster/{name}", f"WHAT THE OPERATOR REPORTS OF {name}", object_checks(snapshot, cluster)))
        sections.append((f"tables/{name}", f"FULL TABLES OF {name}", await _tables_checks(asked.access, name, api)))
        raw = (await proxmox.cluster_object(api, name))["spec"]
        if checks := await _proxmox_checks(asked.access, name, raw, api):
            sections.append((f"proxmox/{name}", f"PROXMOX OF {name}, SEEN FROM HERE", checks))
    return sections


async def _tables_checks(access: proxmox.Access, name: str, api: client.ApiClient) -> list[Check]:
    """Of the operator's endpoint, by the way that the other commands take to it."""
    namespace = access.operator_namespace
    wanted = full_tables.Wanted(
        url=os.environ.get(full_tables.URL, ""),
        token_file=os.environ.get(full_tables.TOKEN_FILE, ""),
        operator_namespace=namespace,
    )
    with output.working("asking the operator for full tables"):
        seen = await full_tables.examine(api, wanted, name)
    return endpoint_checks(name, seen, namespace, datetime.now(UTC))


async def _proxmox_checks(
    access: proxmox.Access, name: str, raw: dict[str, Any], api: client.ApiClient | None
) -> list[Check]:
    spec = proxmox.spec_from(raw, proxmox.overrides(access))
    endpoint, tls = spec.endpoints[0], spec.tls
    with output.working(f"asking {endpoint} for its certificate"):
        seen = ProxmoxSeen(endpoint, fingerprint=await asyncio.to_thread(_fingerprint, endpoint))
    if tls and not tls.insecure_skip_verify:
        seen = replace(seen, trusted_by="its fingerprint" if tls.fingerprint else "its CA")
    try:
        async with proxmox.gateway_to(access, name, spec, api) as gateway:
            with output.working(f"reading Proxmox at {endpoint}"):
                return proxmox_checks(await _ask(gateway, seen))
    except Refusal as refusal:  # no credentials: TLS was checked all the same
        return proxmox_checks(replace(seen, problem=(Reason.CREDENTIALS_MISSING, str(refusal))))


async def _ask(gateway: Gateway, seen: ProxmoxSeen) -> ProxmoxSeen:
    try:
        seen = replace(seen, release=await gateway.version())
        state = await gateway.read_cluster(seen.release, guests=False)
    except errors.PveError as error:
        problem = problem_of(error)
        return replace(seen, problem=(problem.reason, problem.message))
    packages = {}
    for name, node in state.nodes.items():
        with contextlib.suppress(errors.PveError):
            if node.online:
                packages[name] = await gateway.packages(name, PACKAGES)
    return replace(seen, state=state, clock_offset=gateway.clock_offset, packages=packages)


def _fingerprint(endpoint: str) -> str:
    """SHA-256 of the certificate, as Proxmox shows it; empty where there is none to be had."""
    parts = urlsplit(endpoint)
    try:
        pem = ssl.get_server_certificate((parts.hostname or "", parts.port or 8006), timeout=_TLS_SECONDS)
    except (OSError, ValueError):
        return ""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


class _Reading(InstallationReader):
    """What the checks of Kubernetes need."""

    async def installation(self) -> Installation:
        found = await self.attempt("pods", self.pods, [])
        pods = [pod for pod in found if pod.metadata.labels.get("app.kubernetes.io/component") != "clusters"]
        account = pods[0].spec.service_account_name if pods else ""
        return Installation(
            missing_crds=tuple(await CustomObjects(self.api).missing_crds()),
            pods={pod.metadata.name: _is_ready(pod) for pod in pods},
            leases=await self.attempt("leases", self._leases, ()),
            denied=await self.attempt("rights", lambda: self._denied(account), ()) if account else (),
            service_account=account,
            namespace=self.namespace,
            now=datetime.now(UTC),
            unread=self.unread,
        )

    async def _leases(self) -> tuple[LeaseSeen, ...]:
        selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
        api = client.CoordinationV1Api(self.api)
        answer = await api.list_namespaced_lease(self.namespace, label_selector=selector)
        return tuple(
            LeaseSeen(
                item.metadata.name, item.spec.holder_identity or "", item.spec.renew_time,
                item.spec.lease_duration_seconds,
            )
            for item in answer.items
        )  # fmt: skip

    async def _denied(self, account: str) -> tuple[tuple[str, str], ...]:
        """Asks for what the operator writes: the statuses, the objects' finalizers, EvpnNodes, its Leases, Events."""
        user = f"system:serviceaccount:{self.namespace}:{account}"
        asked = [("patch", GROUP, f"{kind.plural}/status") for kind in KINDS.values()]
        asked += [("patch", GROUP, kind.plural) for name, kind in KINDS.items() if name != "EvpnNode"]
        asked += [(verb, GROUP, KINDS["EvpnNode"].plural) for verb in ("create", "delete")]
        asked += [("update", "coordination.k8s.io", "leases"), ("create", "events.k8s.io", "events")]

        async def allowed(verb: str, group: str, resource: str) -> bool:
            plural, _, subresource = resource.partition("/")
            attributes = client.V1ResourceAttributes(
                verb=verb, group=group, resource=plural, subresource=subresource, namespace=self.namespace
            )
            spec = client.V1SubjectAccessReviewSpec(user=user, resource_attributes=attributes)
            body = client.V1SubjectAccessReview(spec=spec)
            answer = await client.AuthorizationV1Api(self.api).create_subject_access_review(body)
            return bool(answer.status.allowed)

        answers = await asyncio.gather(*(allowed(*each) for each in asked))
        return tuple((verb, resource) for (verb, _, resource), may in zip(asked, answers, strict=True) if not may)


def _is_ready(pod: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or ())
