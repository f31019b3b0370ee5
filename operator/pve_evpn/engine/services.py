"""Writes IPAMs and DNS servers as the plan says.

Proxmox keeps these services beside the SDN configuration, so a write takes effect at once and no apply publishes it.
Before it answers, Proxmox asks the server outside, for up to 30 seconds. They are therefore written apart from the
transaction and without the SDN lock: a server that does not answer fails its own object, and holds up no other one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import replace

from pve_evpn.api.conditions import Reason
from pve_evpn.api.events import EventReason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan.apply_policy import is_read_only
from pve_evpn.domain.plan.model import Step
from pve_evpn.domain.plan.servers import SERVER_WORDS
from pve_evpn.domain.sdn import SdnRef
from pve_evpn.engine.claim import claim
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.failures import Failures
from pve_evpn.engine.journal import ClusterJournal
from pve_evpn.engine.planner import Planner
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import uninterrupted
from pve_evpn.leadership import NotLeader
from pve_evpn.pve import errors
from pve_evpn.text import from_outside

log = logging.getLogger(__name__)

#: How Proxmox says that a server outside did not answer as it should (pve-network: the plugins' verify_api).
_NO_CONTACT = re.compile(
    r"(Can't connect to (netbox|phpipam) api|dns api error): (Invalid response from server: )?(?P<why>.*)", re.S
)
_ASKED = "Proxmox asks the server before it takes the object. Check url, the Secret and fingerprint, from a node"


class ServiceWriter:
    """The IPAMs and DNS servers of one cluster."""

    def __init__(self, context: ClusterContext, journal: ClusterJournal, planner: Planner, failures: Failures) -> None:
        self._context = context
        self._journal = journal
        self._planner = planner
        self._failures = failures

    async def write(self, sync: Sync) -> Sync:
        """Create and change; before the transaction, whose zones may name them. The same sync if nothing was to do."""
        return await self._carry_out(sync, [step for step in sync.plan.services if step.after])

    async def remove(self, sync: Sync) -> Sync:
        """Delete what no zone uses any more, in neither copy; after the transaction."""
        sdn = sync.state.sdn
        unused = [
            step
            for step in sync.plan.services
            if step.after is None and not (sdn.children_of(step.ref) or sdn.children_of(step.ref, running=True))
        ]
        return await self._carry_out(sync, unused)

    async def _carry_out(self, sync: Sync, steps: Iterable[Step]) -> Sync:
        due = list(steps) if self._context.is_leader() and not is_read_only(sync.desired.cluster) else []
        if not due or not sync.state.quorate:
            return sync
        owners = sync.plan.owners()
        due = [step for step in due if await self._claimed(sync, owners[step.ref])]
        if creating := {step.ref for step in due if step.action == "create"}:
            await self._journal.update(creating=self._journal.entry.creating | creating)
        written = [key for step in due if await self._step(sync, step, key := owners[step.ref])]
        drift = {key: found for key in written if (found := sync.plan.decisions[key].drift)}
        sync = await self._planner.refresh(replace(sync, journal=self._journal.entry), zones=False)
        return replace(sync, corrected={**sync.corrected, **drift})

    async def _claimed(self, sync: Sync, key: ObjectKey) -> bool:
        """Put finalizer and origin on the object first; False if a user changed it at the same time."""
        alone = replace(sync.plan, decisions={key: sync.plan.decisions[key]})
        return all([await claim(self._context, alone, existing=existing) for existing in (True, False)])

    async def _step(self, sync: Sync, step: Step, key: ObjectKey) -> bool:
        """One write; whether Proxmox took it.

        Whatever becomes of it, the next one is made too, unless Proxmox itself is out of reach.
        """
        resource = self._context.cache.get(key)
        if resource is None:
            return False
        try:
            await uninterrupted(sync.gateway.write_service(step, self._journal.entry.lock_token))
        except errors.NotFound:
            if step.after is not None:
                raise
        except (errors.Unreachable, errors.AuthenticationFailed, NotLeader):
            raise
        except errors.PveError as error:
            problem = _problem(error, step)
            if not isinstance(error, errors.OutcomeUnknown):
                await self._not_created(step.ref)
            log.warning("%s: %s: %s", self._context.cluster, step, problem.message)
            self._failures.record(resource, problem)
            await self._context.writer.record(resource, EventReason.STAGING_FAILED, problem.message)
            return False
        else:
            log.info("%s: %s", self._context.cluster, step)
            self._failures.succeeded([key])
            self._planner.services.was_sent(key)
            if step.action == "update" and not sync.plan.decisions[key].drift:
                await self._context.writer.record(resource, EventReason.UPDATED, str(step))
        return True

    async def _not_created(self, ref: SdnRef) -> None:
        """What has that name later is not the operator's."""
        if ref in self._journal.entry.creating:
            await self._journal.update(creating=self._journal.entry.creating - {ref})


def _problem(error: errors.PveError, step: Step) -> Problem:
    """Why Proxmox did not take the object, without its secret."""
    secret = step.object.secret
    said = from_outside(error, (secret.reveal(),) if secret else ())
    server = SERVER_WORDS[step.ref.kind]
    url = step.object.props.get("url", "")
    if isinstance(error, errors.LockHeld):
        return Problem(Reason.SDN_LOCKED, "another client holds the SDN lock; it is tried again", retryable=True)
    if isinstance(error, errors.OutcomeUnknown) and step.after:
        message = (
            f"Proxmox gave no answer ({said}): most likely the {server} at {url} does not answer the nodes. {_ASKED}"
        )
    elif match := _NO_CONTACT.search(said):
        message = f"the {server} at {url} does not answer Proxmox as it should ({match['why'].strip()}). {_ASKED}"
    else:
        message = f"Proxmox refused: {said}"
    return Problem(Reason.STAGING_FAILED, message, retryable=True)
