"""The firewalls of VNets, after the VNets themselves are in Proxmox and loaded.

Reads and writes only where a spec has a section ``firewall``. One write at a time, each after a look: Proxmox guards
them by a digest that every write changes. What came of it is folded into the VNet's decision, so that the VNet is
programmed only when its firewall is.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pve_evpn.api.conditions import Reason
from pve_evpn.api.vnet import Firewall, VNetSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, Resource
from pve_evpn.domain.plan import firewall
from pve_evpn.domain.plan.firewall import FirewallWrite
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.engine.context import ClusterContext
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

#: A rule set has at most 64 rules; more writes than that twice over mean that somebody else is writing too.
_MOST = 150


class FirewallWriter:
    """The firewalls of one cluster's VNets."""

    def __init__(self, context: ClusterContext) -> None:
        self._context = context

    async def write(self, gateway: Gateway, desired: Desired, planned: Plan) -> Plan:
        """Write what differs; the plan with the decisions as they are with their firewalls."""
        report_only = getattr(desired.cluster.spec, "drift", None) == "Report"
        asked = [
            (vnet, spec, decision)
            for vnet in desired.vnets
            if isinstance(vnet.spec, VNetSpec)
            and not vnet.deleting
            and (spec := vnet.spec.firewall) is not None
            and (decision := planned.decisions.get(vnet.key)) is not None
            and decision.in_sync
        ]
        if not asked:
            return planned
        judged = await asyncio.gather(*(self._one(gateway, *each, report_only=report_only) for each in asked))
        return replace(planned, decisions={**planned.decisions, **{decision.key: decision for decision in judged}})

    async def _one(
        self, gateway: Gateway, vnet: Resource[VNetSpec], spec: Firewall, decision: Decision, *, report_only: bool
    ) -> Decision:
        try:
            due = await self._due(gateway, decision.id, spec)
            if not due:
                return decision
            was_programmed = vnet.status.get("programmedHash") == decision.fingerprint
            drift = tuple(f"firewall {write}" for write in due[:5]) if was_programmed else ()
            differing = replace(decision, in_sync=False, drift=(*decision.drift, *drift))
            if not decision.managed or not self._context.is_leader() or (drift and report_only):
                return differing
            for _ in range(_MOST):
                await gateway.write_firewall(decision.id, due[0], await gateway.firewall_digest(decision.id))
                due = await self._due(gateway, decision.id, spec)
                if not due:
                    return decision
            message = f"the firewall of {decision.id} keeps changing; somebody else writes it too"
            return replace(differing, waiting=Problem(Reason.APPLY_FAILED, message, retryable=True))
        except (errors.Refused, errors.Forbidden) as error:
            problem = Problem(Reason.APPLY_FAILED, f"firewall: {error}", retryable=True)
            return replace(decision, in_sync=False, waiting=problem)

    async def _due(self, gateway: Gateway, vnet: str, spec: Firewall) -> list[FirewallWrite]:
        """The writes that are left. The firewall is switched on after its rules are there, and off before they go."""
        options, rules = await gateway.firewall(vnet)
        have = firewall.options_seen(options)
        changed = firewall.options_write(have, firewall.options_of(spec))
        wanted = firewall.rules_of(spec)
        rules_due = [] if wanted is None else firewall.rule_writes(firewall.rules_seen(rules), wanted)
        if changed is None:
            return rules_due
        return [*rules_due, changed] if "enable" in changed.values else [changed, *rules_due]
