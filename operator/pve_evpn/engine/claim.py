"""Marks Kubernetes objects as the operator's before Proxmox is written: a crash must not make it forget its own."""

from __future__ import annotations

from typing import Any

from pve_evpn.api import kinds
from pve_evpn.domain.objects import Origin, Resource
from pve_evpn.domain.plan.fabrics import as_annotation
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.engine import lifecycle
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.tasks import some_at_a_time


async def claim(context: ClusterContext, plan: Plan, *, existing: bool) -> bool:
    """Write finalizers, origins and allocated numbers of what the plan manages.

    ``existing``: of objects Proxmox has; else of those the plan creates. The latter are claimed under the lock only,
    when it is certain that no other client made them first. False if a user changed one of them at the same time.
    """
    creating = {step.ref for step in (*plan.steps, *plan.services) if step.action == "create"}
    claims = []
    for decision in plan.decisions.values():
        resource = context.cache.get(decision.key)
        if resource is None or not _is_claimable(resource, decision):
            continue
        if existing == (decision.ref not in creating):
            claims.append(_claim(context, resource, decision))
    return all(await some_at_a_time(claims))


async def _claim(context: ClusterContext, resource: Resource[Any], decision: Decision) -> bool:
    """Claim one object; with the finalizer, an object that Proxmox had comes under the operator's care."""
    claimed = await context.writer.claim(resource, _annotations(resource, decision))
    if claimed and not resource.has_finalizer and decision.origin is Origin.ADOPTED:
        await context.writer.record(resource, *lifecycle.adopted(decision))
    return claimed


def _annotations(resource: Resource[Any], decision: Decision) -> dict[str, str]:
    annotations = {kinds.ANNOTATION_ORIGIN: str(decision.origin)} if decision.origin else {}
    given = getattr(resource.spec, "vni", None) or getattr(resource.spec, "vrf_vni", None)
    if decision.vni is not None and given is None:
        annotations[kinds.ANNOTATION_VNI] = str(decision.vni)
    if addresses := as_annotation(decision.wanted):
        annotations[kinds.ANNOTATION_ADDRESSES] = addresses
    return annotations


def _is_claimable(resource: Resource[Any], decision: Decision) -> bool:
    settled = decision.refused is None and decision.waiting is None
    return bool(decision.managed and not resource.deleting and decision.wanted and settled)
