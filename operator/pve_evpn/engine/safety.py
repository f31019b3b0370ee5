"""What makes an apply unsafe at this moment, whoever approved it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.plan import apply_policy
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.sync import Sync


class ApplySafety:
    """The safety check of the apply policy, for the ProxmoxCluster as it is now."""

    def __init__(self, context: ClusterContext) -> None:
        self._context = context

    def problem(self, sync: Sync) -> Problem | None:
        """What an apply would publish that is not the operator's."""
        cluster = self._context.resource or sync.desired.cluster
        return apply_policy.safety_problem(cluster, sync.state, sync.plan)

    async def problem_now(self, sync: Sync) -> Problem | None:
        """The same, with the hosts' own networks read again."""
        return self.problem(await with_host_edits(sync))


async def with_host_edits(sync: Sync) -> Sync:
    """The sync with what is staged on the hosts' own networks at this moment: the lock does not cover them."""
    nodes = await asyncio.gather(*map(sync.gateway.host_edits, sync.state.nodes.values()))
    return replace(sync, state=replace(sync.state, nodes={node.name: node for node in nodes}))
