"""Events about what changed on the nodes and stayed so, and the metrics of what is observed now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pve_evpn import metrics
from pve_evpn.domain.health import Assessment
from pve_evpn.domain.health.transitions import Debounce, Fact, Facts, Subject, event_of
from pve_evpn.domain.observation import ClusterObservation, NodeObservation
from pve_evpn.engine.context import ClusterContext

_VRF = "default"
"""Sessions of address family l2vpn evpn are those of the default VRF's BGP instance."""

Series = dict[tuple[str, ...], float]


class TransitionRecorder:
    """Records Events about changed facts. `hold`: how long a change must last. `known`: the facts at the start."""

    def __init__(self, context: ClusterContext, hold: timedelta, known: Facts) -> None:
        self._cache = context.cache
        self._writer = context.writer
        self._debounce: Debounce[Subject, Fact] = Debounce(hold, known)

    async def record(self, facts: Facts, now: datetime) -> None:
        """Record what is due, except about objects that are gone."""
        for transition in self._debounce.observe(facts, now):
            event = event_of(transition)
            if resource := self._cache.get(event.about):
                await self._writer.record(resource, event.reason, event.message)
        self._debounce.keep_only(lambda subject: self._cache.get(subject.about) is not None)


def measure(cluster: str, observation: ClusterObservation, assessment: Assessment) -> None:
    """Set the gauges to what was seen; series of what is no longer seen go."""
    up: Series = {}
    since: Series = {}
    prefixes: Series = {}
    macs: Series = {}
    neighbours: Series = {}
    vteps: Series = {}
    for node, seen in observation.answered().items():
        up |= dict.fromkeys(((node, peer, _VRF) for peer in _lost_with_bgp(seen, assessment)), False)
        for peer in seen.peers or ():
            labels = (node, peer.address, _VRF)
            up[labels] = peer.established
            if peer.established and peer.since:
                since[labels] = peer.since.timestamp()
            for direction, count in (("received", peer.prefixes_received), ("sent", peer.prefixes_sent)):
                if count is not None:
                    prefixes[*labels, direction] = count
        for row in seen.vnis or ():
            place = (node, str(row.vni), row.type)
            for series, value in ((macs, row.macs), (neighbours, row.arp_nd), (vteps, row.remote_vtep_count)):
                if value is not None:
                    series[place] = value
    missing: Series = {
        (row.node, str(view.vni)): len(row.missing_vteps)
        for view in assessment.l2.values()
        for row in view.nodes
        if row.missing_vteps is not None
    }
    for gauge, series in (
        (metrics.SESSION_UP, up),
        (metrics.SESSION_SINCE, since),
        (metrics.PREFIXES, prefixes),
        (metrics.VNI_MACS, macs),
        (metrics.VNI_ARP_ND, neighbours),
        (metrics.VNI_REMOTE_VTEPS, vteps),
        (metrics.VNI_MISSING_VTEPS, missing),
    ):
        metrics.replace(gauge, cluster, series)
    _measure_sight(cluster, observation)


def _lost_with_bgp(seen: NodeObservation, assessment: Assessment) -> Iterable[str]:
    """The peers of a node that has no neighbour left, as without bgpd: its sessions are down, not unknown.

    Where it has some, a missing one may be a change that has not been applied yet.
    """
    if seen.peers or (seen.peers is None and seen.bgp_running is not False):
        return ()
    controllers = (expected for expected in assessment.expected.values() if expected.running)
    return [peer for expected in controllers for peer in expected.sessions.get(seen.node, ())]


def _measure_sight(cluster: str, observation: ClusterObservation) -> None:
    """When the preferred source last saw a node: kept while it cannot, because alerts go by its age.

    A node that has never been seen is counted from the first time that was tried, else it would have no age at all.
    """
    for node, result in observation.nodes.items():
        if isinstance(result, NodeObservation) and result.instead_of is None:
            metrics.LAST_OBSERVATION.labels(cluster, node).set(result.at.timestamp())
        else:
            metrics.begin(metrics.LAST_OBSERVATION, observation.at.timestamp(), cluster, node)
    metrics.keep_only(metrics.LAST_OBSERVATION, cluster, {(node,) for node in observation.nodes})
