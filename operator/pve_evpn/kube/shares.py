"""Which replica is to hold which ProxmoxCluster. Pure: every replica finds the same from the same Leases."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping


def assign(clusters: Collection[str], replicas: Collection[str], held: Mapping[str, str]) -> dict[str, str]:
    """The replica of each cluster: even to within one, and no cluster moves that need not.

    A replica keeps what it holds up to its share. What is beyond it, and what no replica holds, goes by rendezvous
    hashing among those with room.

    Args:
        clusters: Names.
        replicas: Identities of those that may hold clusters.
        held: The present holder of each cluster that has one. One that is not in ``replicas`` does not count.

    Returns:
        Every cluster with its replica; nothing where there are no replicas.
    """
    if not replicas:
        return {}
    holding: dict[str, list[str]] = {replica: [] for replica in replicas}
    for cluster in sorted(clusters):
        if (holder := held.get(cluster, "")) in holding:
            holding[holder].append(cluster)
    share, more = divmod(len(clusters), len(replicas))
    fullest_first = sorted(replicas, key=lambda replica: (-len(holding[replica]), replica))
    room = {replica: share + int(place < more) for place, replica in enumerate(fullest_first)}
    assigned: dict[str, str] = {}
    for replica in fullest_first:
        kept = sorted(holding[replica], key=lambda cluster: weight(cluster, replica), reverse=True)[: room[replica]]
        assigned.update(dict.fromkeys(kept, replica))
        room[replica] -= len(kept)
    for cluster in sorted(set(clusters) - assigned.keys()):
        best = max((replica for replica in room if room[replica]), key=lambda replica: weight(cluster, replica))
        assigned[cluster] = best
        room[best] -= 1
    return assigned


def weight(cluster: str, replica: str) -> int:
    """How much a cluster prefers a replica (rendezvous hashing); the same in every process."""
    return int.from_bytes(hashlib.blake2b(f"{cluster}\0{replica}".encode(), digest_size=8).digest(), "big")
