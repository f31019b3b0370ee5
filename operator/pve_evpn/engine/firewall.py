"""The firewalls of VNets, written after the VNets themselves are in Proxmox and loaded.

Proxmox has a firewall for VNets of the running configuration only, so only VNets that are in sync are read here, and
of those only the ones whose spec has a section ``firewall``. The outcome is part of the VNet's decision: a VNet is
programmed only when its firewall is.

The firewall is read again after each write, and must be what the write makes of it. Where it is not, Proxmox stored
the rule in another form, or another client writes too; either ends the writing, so that no write is repeated for ever.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from pve_evpn.api.conditions import Reason
from pve_evpn.api.firewall import Firewall
from pve_evpn.api.vnet import VNetSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.guard import defect
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.plan import firewall
from pve_evpn.domain.plan.firewall import DesiredFirewall, FirewallState, FirewallWrite, InsertRule, RemoveRule
from pve_evpn.domain.plan.model import Decision
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.drift import DriftBrake
from pve_evpn.engine.failures import Failures
from pve_evpn.engine.spacing import WriteSpacing
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import together
from pve_evpn.leadership import NotLeader
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

#: How often one sync plans a firewall anew because another client changed it meanwhile.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Task:
    """One VNet whose firewall is to be as its spec says."""

    vnet: Resource[VNetSpec]
    spec: Firewall
    decision: Decision
    backoff: Problem | None


class FirewallWriter:
    """The firewalls of one cluster's VNets. What fails is tried again after a while that doubles.

    What another client changes again and again is written back less and less often, and so is what users change.
    """

    def __init__(self, context: ClusterContext, brake: DriftBrake) -> None:
        self._context = context
        self._brake = brake
        self._failures = Failures(context.clock)
        self._spacing = WriteSpacing()
        self._corrected: list[ObjectKey] = []

    async def write(self, sync: Sync) -> Sync:
        """Write what differs. Afterwards the plan says of a VNet that it is in sync only if its firewall is."""
        desired, plan = sync.desired, sync.plan
        backoff = self._failures.active(desired.vnets)
        tasks = [
            _Task(vnet, spec, decision, backoff.get(vnet.key))
            for vnet in desired.vnets
            if vnet.spec is not None
            and not vnet.deleting
            and (spec := vnet.spec.firewall) is not None
            and (decision := plan.decisions.get(vnet.key)) is not None
            and decision.in_sync
        ]
        if not tasks:
            return sync
        report_only = getattr(desired.cluster.spec, "drift", None) == "Report"
        self._spacing.begin(desired.cluster, self._context.clock.now())
        self._corrected.clear()
        decided = await together(self._sync_alone(sync.gateway, task, report_only) for task in tasks)
        await self._brake.corrected_firewalls(self._corrected)
        decisions = {**plan.decisions, **{decision.key: decision for decision in decided}}
        return replace(sync, plan=replace(plan, decisions=decisions))

    async def _sync_alone(self, gateway: Gateway, task: _Task, report_only: bool) -> Decision:
        """The decision about one VNet. Its values must not keep those of all others, whatever they are."""
        try:
            return await self._sync(gateway, task, report_only)
        except (errors.PveError, NotLeader):
            raise
        except Exception as error:
            return replace(task.decision, in_sync=False, waiting=defect(task.vnet.key, error))

    async def _sync(self, gateway: Gateway, task: _Task, report_only: bool) -> Decision:
        """The decision about one VNet, its firewall included."""
        decision, wanted = task.decision, firewall.desired_firewall(task.spec)
        try:
            actual = await gateway.firewall(decision.id)
            different = firewall.differences(actual, wanted)
            if not different:
                return self._as_specified(task, actual, wanted)
            was_programmed = task.vnet.status.programmed_hash == decision.fingerprint
            drift = tuple(different) if was_programmed else ()
            changes = (*decision.changes, *different)
            decision = replace(decision, in_sync=False, drift=(*decision.drift, *drift), changes=changes)
            may_write = decision.managed and not (drift and report_only)
            await self._context.writer.record_drift(task.vnet, drift, corrected=may_write)
            if not may_write or not self._context.is_leader():
                return decision
            if held := task.backoff or await self._held(decision.key, drift):
                return replace(decision, waiting=held)
            self._spacing.counted(decision.key, self._context.clock.now())
            if drift:
                self._corrected.append(decision.key)
            actual, problem = await self._write(gateway, decision.id, actual, wanted)
        except (errors.Refused, errors.Forbidden) as error:
            problem = Problem(Reason.APPLY_FAILED, f"firewall: {error}", retryable=True)
        if problem:
            self._failures.record(task.vnet, problem)
            return replace(decision, in_sync=False, waiting=problem)
        return self._as_specified(task, actual, wanted)

    async def _held(self, key: ObjectKey, drift: tuple[str, ...]) -> Problem | None:
        """Why the firewall is not written now: a fight over it, or many writes in a short time."""
        fight = await self._brake.hold_firewall(key, drift) if drift else None
        return fight or self._spacing.problem(key, self._context.clock.now())

    def _as_specified(self, task: _Task, actual: FirewallState, wanted: DesiredFirewall) -> Decision:
        """Nothing is left to write; but Proxmox may leave a rule out all the same."""
        self._failures.succeeded([task.vnet.key])
        if invalid := firewall.invalid_rules(actual, wanted):
            message = f"firewall: Proxmox has, but does not use, {'; '.join(invalid)}"
            return replace(task.decision, in_sync=False, waiting=Problem(Reason.APPLY_FAILED, message, retryable=True))
        return task.decision

    async def _write(
        self, gateway: Gateway, vnet: str, actual: FirewallState, wanted: DesiredFirewall
    ) -> tuple[FirewallState, Problem | None]:
        """Carry out the writes one by one. Returns the firewall as it is then, and why it is not as wanted.

        The writes are planned anew where the firewall is not what a write should have made of it.
        """
        for _ in range(ATTEMPTS):
            for write in firewall.plan_writes(actual, wanted):
                before, expected = actual, write.carried_out(actual)
                actual = await self._write_and_read(gateway, vnet, write, before)
                if actual.same_as(expected):
                    continue
                if stored := _stored_otherwise(before, actual, write):
                    await gateway.write_firewall(vnet, RemoveRule(0), actual)
                    return actual, Problem(Reason.APPLY_FAILED, stored, retryable=True)
                break
            else:
                return actual, None
        message = f"firewall: another client changes the firewall of {vnet} at the same time"
        return actual, Problem(Reason.APPLY_FAILED, message, retryable=True)

    async def _write_and_read(
        self, gateway: Gateway, vnet: str, write: FirewallWrite, actual: FirewallState
    ) -> FirewallState:
        """The firewall after one write; after none where another client changed the firewall before it."""
        with contextlib.suppress(errors.DigestMismatch):
            await gateway.write_firewall(vnet, write, actual)
        return await gateway.firewall(vnet)


def _stored_otherwise(before: FirewallState, after: FirewallState, write: FirewallWrite) -> str:
    """What Proxmox made of a rule that it took and changed; empty where that is not what happened."""
    if not isinstance(write, InsertRule) or len(after.rules) != len(before.rules) + 1:
        return ""
    if not replace(after, rules=after.rules[1:]).same_as(before):
        return ""
    sent, stored = firewall.shown(write.rule), firewall.shown(after.rules[0])
    return f"firewall: Proxmox does not store the rule ({sent}) as specified: it made ({stored}) of it"
