"""``pve-evpn plan``: what manifests would change in Proxmox, by the operator's own planning."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from kubernetes.aio import client

from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.api.conditions import Reason
from pve_evpn.api.vnet import VNetSpec
from pve_evpn.cli import desired, manifests, options, output, proxmox
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.manifests import Manifests, read_manifests
from pve_evpn.cli.report.plan import Changes, plan_report
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.preview import as_managed, preview
from pve_evpn.engine.cache import Cache

#: As ``terraform plan -detailed-exitcode`` has them.
NO_CHANGE, REFUSED, CHANGES = 0, 1, 2
#: Of a wrong command line: 2 would say that something changes.
USAGE = REFUSED


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says."""

    access: proxmox.Access
    cluster: str
    prune: bool


app = typer.Typer(add_completion=False)


@app.command(epilog="Example: PVE_TOKEN_ID=root@pam!plan PVE_TOKEN_FILE=token pve-evpn plan -f networks/ -o markdown")
@options.grouped
def plan(
    filename: Annotated[
        list[str], typer.Option("--filename", "-f", metavar="FILE|DIR|-", help="Manifests; may be given again.")
    ],
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="Folders below folders too.")] = False,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="Of objects that name none.")
    ] = "default",
    cluster: options.Cluster = "",
    prune: Annotated[bool, typer.Option("--prune", help="Also delete what Kubernetes has and no manifest.")] = False,
    *,
    access: proxmox.Access,
    offline: options.Offline = False,
    form: options.Output = "text",
) -> int:
    """Plan manifests against Proxmox as it is, with the operator's own code. Nothing is written. Objects that
    Kubernetes has already are read with your kubeconfig, if there is one. Exit status 0: no change; 2: changes; 1: an
    object would be refused, or the plan could not be made.
    """
    asked = _Asked(access, cluster, prune)
    return guarded(_plan(asked, form, offline, lambda: read_manifests(filename, namespace, recursive=recursive)))


async def _plan(asked: _Asked, form: options.Form, offline: bool, read_files: Callable[[], Manifests]) -> int:
    read = read_files()
    async with desired.kubernetes(offline=offline) as api:
        changes = await _changes(asked, read, api)
    report = plan_report(changes)
    output.write(report, form)
    if changes.refused:
        return REFUSED
    return CHANGES if changes.preview.due else NO_CHANGE


async def _changes(asked: _Asked, read: Manifests, api: client.ApiClient | None) -> Changes:
    namespaces = {key.namespace for key in read.objects if key.namespace}
    there = await desired.read_cache(api, namespaces) if api else desired.Read()
    cache = there.cache
    if asked.prune and (api is None or not there.is_whole):
        left_out = ", ".join((*there.unread, *there.partly))
        why = f"you may not list {left_out} in all namespaces" if api else "there is no kubeconfig"
        raise Refusal(f"--prune needs all objects that Kubernetes has, and {why}")
    known = {resource.key.name: resource for resource in cache.of_kind("ProxmoxCluster")}
    before = {name: cache.desired(name) for name in known}
    manifests.apply_to(cache, read)
    name = desired.one_cluster(_clusters(cache, read), asked.cluster, there.unread)
    connection = _connection(asked.access, name, known.get(name), may_list="ProxmoxCluster" not in there.unread)
    after = cache.desired(name)
    if after is None:
        cache.upsert(_stand_in(name, connection))
        after = cache.desired(name)
        assert after is not None
    gone: list[ObjectKey] = []
    if asked.prune:
        after, gone = manifests.pruned(after, read.objects)
    with output.working(f"reading Proxmox of {name}"):
        async with proxmox.gateway_to(asked.access, name, connection, api) as gateway:
            state = await proxmox.read_state(gateway, guests=bool(after.nics) or bool(gone))
            firewalls = await proxmox.read_firewalls(gateway, _with_firewall(after, proxmox.evpn_vnets(state)))
    if api is None:
        after = as_managed(after, state.sdn)
    now = datetime.now(UTC)
    return Changes(
        cluster=name,
        preview=preview(after, state, firewalls, now),
        before=preview(now_there, state, firewalls, now) if (now_there := before.get(name)) else None,
        desired=after,
        manifests=frozenset(read.objects),
        unknown=read.unknown,
        elsewhere=_elsewhere(cache, read, after, there.unread),
        others=read.others,
        gone=tuple(gone),
        kubernetes=api is not None,
        unread=there.unread,
        partly=there.partly,
        namespaces=there.namespaces,
    )


def _clusters(cache: Cache, read: Manifests) -> set[str]:
    """The ProxmoxClusters that the manifests are about."""
    found = {cache.cluster_of(resource) for key in read.objects if (resource := cache.get(key)) is not None}
    return {name for name in found if name}


def _elsewhere(cache: Cache, read: Manifests, after: Desired, unread: Collection[str]) -> dict[ObjectKey, Problem]:
    """Objects that are planned for no cluster here, and why not. ProxmoxClusters of the manifests may be others.

    ``unread``: kinds that the caller may not list.
    """
    here = {resource.key for resource in after} | {after.cluster.key}
    left = [resource for key in read.objects if key not in here and (resource := cache.get(key))]
    return {
        resource.key: _why_elsewhere(cache, resource, unread)
        for resource in left
        if resource.invalid or resource.key.kind != "ProxmoxCluster"
    }


def _why_elsewhere(cache: Cache, resource: Resource[Any], unread: Collection[str]) -> Problem:
    if resource.invalid:
        return Problem(Reason.INVALID_SPEC, resource.invalid)
    zone = ObjectKey("EvpnZone", "", resource.spec.zone_ref.name) if isinstance(resource.spec, VNetSpec) else None
    if zone and cache.get(zone) is None and zone.kind in unread:
        message = f"it refers to {zone}, which is in no manifest, and you may not list {zone.kind}: it may be there"
        return Problem(Reason.REF_NOT_FOUND, message)
    return Problem(Reason.REF_NOT_FOUND, "it refers to no object of this ProxmoxCluster")


def _connection(
    access: proxmox.Access, name: str, known: Resource[Any] | None, *, may_list: bool
) -> ProxmoxClusterSpec:
    """Where Proxmox is: by the command line, or the ProxmoxCluster that Kubernetes has.

    Never by a manifest: whoever writes one, in a pull request for instance, would choose who gets the token.
    """
    base = known.spec.model_dump(by_alias=True, exclude_none=True) if known and known.spec else {}
    if not base and not access.endpoints:
        lacks = f"Kubernetes has no ProxmoxCluster {name}" if may_list else "you may not list ProxmoxCluster"
        place = "say where Proxmox is: --endpoint https://host:8006"
        raise Refusal(f"{place} ({lacks}, and the endpoints of a manifest are not used)")
    return proxmox.spec_from({"credentialsSecretRef": {"name": "none"}, **base}, proxmox.overrides(access))


def _stand_in(name: str, connection: ProxmoxClusterSpec) -> dict[str, Any]:
    """A ProxmoxCluster for manifests that refer to one that is not there to be read."""
    return {
        "kind": "ProxmoxCluster",
        "metadata": {"name": name, "uid": name, "creationTimestamp": datetime.now(UTC).isoformat()},
        "spec": connection.model_dump(by_alias=True, exclude_none=True),
    }


def _with_firewall(after: Desired, running: list[str]) -> list[str]:
    """The running VNets whose firewall a spec says something about. Without one nothing is read."""
    specified = any(vnet.spec and vnet.spec.firewall is not None for vnet in after.vnets)
    return running if specified else []
