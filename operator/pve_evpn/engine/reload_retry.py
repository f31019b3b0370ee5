"""Nodes that missed an apply, because they were offline or their reload failed, are reloaded alone.

An apply cannot be repeated for one node: it publishes, and reloads all. A reload of one node loads what runs already
and publishes nothing of SDN; it does take over host-network edits staged on that node, so it waits for those.
A node that stays behind is tried again with a growing pause: that it is behind is a state to report, not an error to
fight.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan import apply_policy
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.plan.outcome import NodeResult
from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.state import ClusterState, NodeState
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.reload import Reloads
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

log = logging.getLogger(__name__)

#: A node that is behind may be loading at this moment, by somebody else's apply or by its own boot.
PATIENCE = timedelta(seconds=20)
FIRST, LAST = timedelta(seconds=30), timedelta(minutes=15)


@dataclass(slots=True)
class _Behind:
    since: datetime
    attempts: int = 0
    next: datetime | None = None


class ReloadRetry:
    """The nodes of one cluster that are behind."""

    def __init__(self, context: ClusterContext) -> None:
        self._context = context
        self._behind: dict[str, _Behind] = {}

    def due(self, cluster: Resource[Any], state: ClusterState, plan: Plan) -> list[NodeState]:
        """Nodes whose turn it is."""
        now = self._context.clock.now()
        missed = {row.name for row in cluster.status.nodes or () if row.programmed is False}
        ours = {
            ref.id
            for decision in plan.decisions.values()
            for ref in decision.origins
            if ref.kind is SdnKind.ZONE and ref in state.sdn.running
        }
        late = {
            node.name: node
            for node in state.nodes.values()
            if node.online
            and node.zones is not None
            and (node.name in missed or ours & state.unavailable_zones(node).keys())
        }
        self._behind = {name: self._behind.get(name, _Behind(now)) for name in late}
        found = []
        for name, node in sorted(late.items()):
            delay = self._behind[name]
            waited = now - delay.since >= PATIENCE or name in missed
            if waited and (delay.next is None or now >= delay.next):
                found.append(node)
        return found

    async def reload(self, gateway: Gateway, cluster: Resource[Any], node: NodeState) -> NodeResult:
        """Reload one node; what came of it, or what stands in the way."""
        delay = self._behind[node.name]
        delay.attempts += 1
        delay.next = self._context.clock.now() + min(LAST, FIRST * 2 ** (delay.attempts - 1))
        node = await gateway.host_edits(node)  # the nodes before it took their time
        if node.network_pending != "" and not apply_policy.includes_foreign(cluster):
            why = "host-network edits are staged on it" if node.network_pending else "its staged edits are not known"
            return NodeResult(node.name, ok=False, message=f"behind; it is not reloaded while {why}")
        try:
            result = await Reloads(gateway, self._context.pace).again(node.name)
        except errors.Forbidden as error:
            return NodeResult(node.name, ok=False, message=f"behind; it could not be reloaded alone: {error}")
        except errors.OutcomeUnknown as error:
            return NodeResult(node.name, ok=False, known=False, message=f"its reload was asked for: {error}")
        except errors.PveError as error:
            return NodeResult(node.name, ok=False, message=f"behind; it could not be reloaded: {error}")
        log.info("%s: reloaded %s alone: %s", gateway.cluster, node.name, result.message or "OK")
        return result
