"""Whether exported manifests change nothing: they are planned as the operator would plan them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pve_evpn.api.kinds import KINDS
from pve_evpn.domain.export.model import NAMESPACE_LABEL, Manifest, Request, Source
from pve_evpn.domain.export.resources import nothing_yet, resource_of
from pve_evpn.domain.nics import NicDecision, plan_nics
from pve_evpn.domain.objects import Desired, Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.domain.state import ClusterState


def objections(manifests: Sequence[Manifest], state: ClusterState, request: Request) -> dict[Source, str]:
    """What of the manifests would not be in sync at once, each with the reason.

    What only waits for a refused object is not named: without that object there is nothing to describe.
    """
    desired = _desired(manifests, request)
    made = plan(desired, state)
    nics = plan_nics(desired, state, made.decisions)
    touched = made.keys_of(
        [step.ref for step in (*made.steps, *made.services)] + [change.ref for change in made.own_pending]
    )
    decided = [made.decisions[manifest.key] for manifest in manifests if manifest.key in made.decisions]
    refused = any(decision.refused for decision in decided)
    found: dict[Source, str] = {}
    for manifest in manifests:
        if manifest.source is None:
            continue
        if manifest.key in nics.decisions:
            why = _nic_objection(nics.decisions[manifest.key])
        else:
            decision = made.decisions[manifest.key]
            waits = decision.waiting is not None and refused
            why = "" if waits else _objection(decision, made, touched=manifest.key in touched)
        if why:
            found[manifest.source] = why
    return found


def _objection(decision: Decision, made: Plan, *, touched: bool) -> str:
    problem = decision.refused or decision.waiting
    if problem:
        return f"{problem.reason}: {problem.full}"
    if touched:
        return (
            "; ".join(str(step) for step in (*made.steps, *made.services) if step.ref in decision.origins)
            or "an edit of it is staged"
        )
    return "" if decision.in_sync else "it is not in both copies of Proxmox' configuration"


def _nic_objection(decision: NicDecision) -> str:
    for problem in (decision.refused, decision.misplaced, decision.waiting):
        if problem:
            return f"{problem.reason}: {problem.full}"
    if decision.restart:
        return "a change of it waits for a restart of the guest"
    return "" if decision.in_sync else "our API cannot say what it has"


def _desired(manifests: Sequence[Manifest], request: Request) -> Desired:
    """The objects as they would be once the manifests are applied."""
    made = [
        resource_of(manifest.key, manifest.spec, index)
        for index, manifest in enumerate(manifests)
        if manifest.key.kind in KINDS
    ]
    by_kind: dict[str, list[Resource[Any]]] = {}
    for resource in made:
        by_kind.setdefault(KINDS[resource.key.kind].desired_as, []).append(resource)
    applied = next((r for r in made if r.key.kind == "ProxmoxCluster"), None)
    before = request.existing or nothing_yet(request.cluster, request.cluster_spec)
    labels = {request.namespace: {NAMESPACE_LABEL: request.namespace}}
    members: dict[str, Any] = {field: (*getattr(before, field), *more) for field, more in by_kind.items() if field}
    return replace(
        before,
        cluster=replace(before.cluster, spec=applied.spec) if applied else before.cluster,
        namespaces={**before.namespaces, **labels},
        complete=True,
        **members,
    )
