"""Carries out the plan for pins through the helper on the nodes: stale pins are removed, then desired ones are made.

The helper reads what is there before it writes, so asserting every pin in every sync costs one command per node and
changes nothing while all is well. A pin stands in the object's status before the helper is asked, so that a crash
forgets no pin. What is pinned, and why something is not, is decided in ``domain.nics.pins``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from pve_evpn.api.conditions import Reason
from pve_evpn.api.events import EventReason
from pve_evpn.api.nic import NicAttachmentStatus
from pve_evpn.api.status import updated
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics.pins import Pin, PinPlan, PinState, Zombie, pin_of, pinned_by_zone, plan_pins
from pve_evpn.domain.objects import Desired, ObjectKey
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.state import ClusterState, NodeState
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.sync import Sync
from pve_evpn.leadership import NotLeader
from pve_evpn.observe.source import NodeTarget, NodeUnreadable
from pve_evpn.text import from_outside

log = logging.getLogger(__name__)

#: The helper's word for requests on its standard input, and what its answer begins and ends with.
COMMAND, FIRST, LAST = "pins", "pve-evpn-pin 1", "pve-evpn-pin end"
#: Requests in one command. The helper takes some milliseconds for each, and the answer has to come in time.
AT_ONCE = 200
#: Seconds a sync waits for the slowest node.
PATIENCE = 15.0
#: Seconds a pin that cannot be removed holds back what would make the operator forget it: after that, its NIC matters
#: more.
HELD = 120.0

_REFUSED = {
    "absent": "{pin.node} has no port of {pin.device} in VNet {pin.vnet}",
    "elsewhere": "the guest's configuration is not on {pin.node}: the guest is moving",
    "other": "the guest's configuration on {pin.node} gives {pin.device} another MAC",
    "remote": "EVPN has the MAC on another node, which must withdraw it first",
    "taken": "the bridge on {pin.node} has a foreign entry for the MAC",
    "failed": "the kernel of {pin.node} refused the entry",
    "syntax": "the helper on {pin.node} does not understand the request: is it of this release?",
}

_STUCK = "the pin on {pin.node} cannot be removed at present"


class Helper(Protocol):
    """Runs the operator's helper on a node."""

    async def ask(self, node: NodeTarget, command: str, request: str) -> str:
        """The answer to a command with this on its standard input. Raises NodeUnreadable."""


class PinWriter:
    """The pins of one cluster. ``helper`` gives the way to the nodes, None where there is none."""

    def __init__(self, context: ClusterContext, helper: Callable[[], Helper | None]) -> None:
        self._context = context
        self._cache = context.cache
        self._writer = context.writer
        self._helper = helper
        self._addresses: dict[str, str] = {}
        self._suspects: dict[Zombie, datetime] = {}
        self._stuck_since: dict[Pin, float] = {}

    async def before_write(self, keys: Iterable[ObjectKey], state: ClusterState) -> dict[ObjectKey, Problem]:
        """Remove the pins of NICs that are about to change. Returns the objects whose NIC must wait for that, and why.

        They wait for ``HELD`` seconds; what is left of the pin after that is healed later.
        """
        self._addresses = {node.name: node.address for node in state.nodes.values()}
        held = {key: pin for key in keys if (nic := self._cache.get(key)) and (pin := pin_of(nic))}
        stuck = await self._unpin({key: pin for key, pin in held.items() if not pinned_by_zone(state, pin)})
        return {
            key: Problem(Reason.PENDING, f"waits: {_STUCK.format(pin=pin)}", retryable=True)
            for key, pin in stuck.items()
            if self._holds(pin, state.nodes)
        }

    def _holds(self, pin: Pin, nodes: Mapping[str, NodeState]) -> bool:
        """Whether to wait until a pin is removed. What was on a node that is off has gone with it."""
        node = nodes.get(pin.node)
        since = self._stuck_since.setdefault(pin, self._context.clock.monotonic())
        return bool(node and node.online) and self._context.clock.monotonic() - since < HELD

    async def write(self, sync: Sync) -> Sync:
        """Make and remove pins on the nodes; ``sync.pins`` then says how each object's pin is."""
        return replace(sync, pins=await self._write(sync))

    async def _write(self, sync: Sync) -> Mapping[ObjectKey, PinState]:
        desired, state, plan, nics, observation = sync.desired, sync.state, sync.plan, sync.nics, sync.observation
        self._addresses = {node.name: node.address for node in state.nodes.values()}
        planned = await asyncio.to_thread(plan_pins, desired, state, plan, nics, observation)
        unknown = self._helper() is None and observation is None  # just started: no way to the nodes is known yet
        if not self._context.is_leader() or desired.paused or unknown:
            return {**planned.states, **self._as_before(desired, planned, state, unknown=unknown)}
        stuck = await self._unpin(planned.stale)
        states = dict(planned.states)
        for key, pin in stuck.items():
            states[key] = PinState(None, pin, _STUCK.format(pin=pin), self._holds(pin, state.nodes))
        pinned = await self._pin(planned, stuck)
        await self._heal(plan, self._confirmed(planned.zombies, observation))
        return {**states, **pinned}

    def _as_before(
        self, desired: Desired, planned: PinPlan, state: ClusterState, *, unknown: bool
    ) -> dict[ObjectKey, PinState]:
        """Nothing is done now: what the statuses say of pins stays."""
        held = {nic.key: PinState(nic.status.pinned, pin_of(nic)) for nic in desired.nics}
        states = {key: held[key] for key in held.keys() & {*planned.desired, *planned.stale}}
        if unknown:
            for key, pin in planned.stale.items():
                note = f"{pin.node} has not been asked yet whether its pin can be removed"
                states[key] = replace(held[key], note=note, holds=self._holds(pin, state.nodes))
        return states

    # --- pins ---------------------------------------------------------------------------------------------------

    async def _unpin(self, pins: Mapping[ObjectKey, Pin]) -> dict[ObjectKey, Pin]:
        """Remove pins; returns those that could not be removed."""
        answers = await self._ask_all({key: (pin.node, f"unpin {pin.words}") for key, pin in pins.items()})
        stuck = {}
        for key, pin in pins.items():
            answer = answers[key]
            if answer not in ("done", "gone"):
                stuck[key] = pin
                continue
            self._stuck_since.pop(pin, None)
            nic = self._cache.get(key)
            if nic is None:
                continue
            await self._writer.write_status(nic, updated(nic.status, NicAttachmentStatus(pin=None, pinned=None)))
            if answer == "done":
                await self._writer.record(nic, EventReason.UNPINNED, f"{pin.mac} is no longer pinned on {pin.node}")
        return stuck

    async def _pin(self, planned: PinPlan, stuck: Mapping[ObjectKey, Pin]) -> dict[ObjectKey, PinState]:
        """Make pins, also on another node than a stuck one's: the old port, and its entry, went with the guest."""
        due = {key: pin for key, pin in planned.desired.items() if key not in stuck or stuck[key].node != pin.node}
        for key, pin in due.items():
            nic = self._cache.get(key)
            if nic and pin_of(nic) != pin:
                await self._writer.write_status(nic, updated(nic.status, NicAttachmentStatus(pin=pin.status())))
        answers = await self._ask_all({key: (pin.node, f"pin {pin.words}") for key, pin in due.items()})
        states = {}
        for key, pin in due.items():
            answer = answers[key]
            states[key] = _state(pin, answer)
            if states[key].pinned:
                self._stuck_since.pop(pin, None)
            nic = self._cache.get(key)
            if answer == "done" and nic:
                await self._writer.record(nic, EventReason.PINNED, f"{pin.mac} is pinned on {pin.node}")
        return states

    # --- zombies ------------------------------------------------------------------------------------------------

    def _confirmed(self, zombies: frozenset[Zombie], observation: ClusterObservation | None) -> frozenset[Zombie]:
        """Those of two polls: between a NIC's end and FRR's notice of it, every MAC is a zombie for a moment.

        The last poll of a source that fails stays for a while; it counts once.
        """
        seen_at = {name: seen.at for name, seen in observation.answered().items()} if observation else {}
        confirmed = frozenset(
            zombie
            for zombie in zombies
            if (first := self._suspects.get(zombie)) is not None and seen_at[zombie.node] > first
        )
        self._suspects = {z: self._suspects.get(z, seen_at[z.node]) for z in zombies - confirmed}
        return confirmed

    async def _heal(self, plan: Plan, zombies: frozenset[Zombie]) -> None:
        answers = await self._ask_all({zombie: (zombie.node, f"heal {zombie.vnet} {zombie.mac}") for zombie in zombies})
        vnets = {decision.id: key for key, decision in plan.decisions.items() if key.kind == "VNet"}
        for zombie, answer in answers.items():
            vnet = self._cache.get(vnets[zombie.vnet])
            if answer == "done" and vnet:
                message = f"{zombie.node} still advertised {zombie.mac}, which no NIC has any more; it was withdrawn"
                await self._writer.record(vnet, EventReason.HEALED, message)
            else:
                log.info("%s: %s on %s is not withdrawn: %s", self._context.cluster, zombie.mac, zombie.node, answer)

    # --- the way to the nodes -----------------------------------------------------------------------------------

    async def _ask_all(self, requests: Mapping[Any, tuple[str, str]]) -> dict[Any, str]:
        """Every request's answer; for a node that did not answer, why not, which is none of the helper's words."""
        by_node: defaultdict[str, list[Any]] = defaultdict(list)
        for key, (node, _) in sorted(requests.items()):
            by_node[node].append(key)
        lines = {node: [requests[key][1] for key in keys] for node, keys in by_node.items()}
        answers = await asyncio.gather(*(self._ask(node, lines[node]) for node in by_node))
        return {
            key: answer
            for keys, of_node in zip(by_node.values(), answers, strict=True)
            for key, answer in zip(keys, of_node, strict=True)
        }

    async def _ask(self, node: str, lines: Sequence[str]) -> list[str]:
        try:
            async with asyncio.timeout(PATIENCE):
                return [answer for some in _portions(lines) for answer in await self._ask_once(node, some)]
        except TimeoutError:
            return [f"{node} did not answer in time"] * len(lines)
        except NodeUnreadable as error:
            return [str(error)] * len(lines)

    async def _ask_once(self, node: str, lines: Sequence[str]) -> list[str]:
        if not self._context.is_leader():
            raise NotLeader(f"pinning on {node}")
        helper = self._helper()
        if helper is None:
            raise NodeUnreadable("NotConfigured", "the nodes cannot be reached: see spec.observe.ssh")
        text = await helper.ask(
            NodeTarget(node, self._addresses.get(node, "")), COMMAND, "".join(f"{line}\n" for line in lines)
        )
        answers = text.splitlines()
        if answers[:1] != [FIRST] or answers[-1] != LAST or len(answers) != len(lines) + 2:
            message = f"the key's forced command on {node} does not allow pinning (it has to be pve-evpn-pin)"
            raise NodeUnreadable("Refused", message)
        return [from_outside(answer, longest=80) for answer in answers[1:-1]]


def _state(pin: Pin, answer: str) -> PinState:
    """What the helper's answer means for the status. Without an answer, the pin may be there."""
    if answer in ("done", "there"):
        return PinState(True, pin)
    if answer.startswith("no "):
        why = _REFUSED.get(answer.removeprefix("no "), "the helper on {pin.node} is of another release")
        return PinState(False, note=f"not pinned: {why.format(pin=pin)}")
    return PinState(None, pin, f"whether it is pinned is not known: {answer}")


def _portions(lines: Sequence[str]) -> Iterable[Sequence[str]]:
    return (lines[first : first + AT_ONCE] for first in range(0, len(lines), AT_ONCE))
