"""Who is to hold which cluster: even, the same for every replica, and no cluster moves that need not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_evpn.kube.shares import assign, weight

CLUSTERS = [f"cluster-{number}" for number in range(12)]

names = st.text("abcdefghij-", min_size=1, max_size=8)
clusters = st.sets(names, max_size=40)
replicas = st.sets(names.map("replica-{}".format), min_size=1, max_size=6)


def loads(assigned: dict[str, str], among: set[str]) -> list[int]:
    return sorted(sum(replica == each for each in assigned.values()) for replica in among)


@given(clusters, replicas, st.data())
def test_every_cluster_has_a_replica_and_the_shares_differ_by_one_at_most(
    clusters: set[str], replicas: set[str], data: st.DataObject
) -> None:
    holders = st.sampled_from(["gone", "", *sorted(replicas)])
    assigned = assign(clusters, replicas, {cluster: data.draw(holders) for cluster in sorted(clusters)})
    assert assigned.keys() == clusters
    assert set(assigned.values()) <= replicas
    counts = loads(assigned, replicas)
    assert counts[-1] - counts[0] <= 1


@given(clusters, replicas)
def test_what_is_even_stays(clusters: set[str], replicas: set[str]) -> None:
    assigned = assign(clusters, replicas, {})
    assert assign(clusters, replicas, assigned) == assigned


@given(clusters, replicas, names.map("replica-{}".format))
def test_a_replica_that_comes_gets_its_share_and_nothing_else_moves(
    clusters: set[str], replicas: set[str], newcomer: str
) -> None:
    before = assign(clusters, replicas - {newcomer}, {})
    after = assign(clusters, replicas | {newcomer}, before)
    moved = {name for name in before if after[name] != before[name]}
    assert {after[name] for name in moved} <= {newcomer}


@given(clusters, replicas.filter(lambda replicas: len(replicas) > 1))
def test_of_a_replica_that_goes_only_its_own_clusters_move(clusters: set[str], replicas: set[str]) -> None:
    before = assign(clusters, replicas, {})
    gone = min(replicas)
    after = assign(clusters, replicas - {gone}, before)
    assert {name for name in before if after[name] != before[name]} == {n for n, each in before.items() if each == gone}


@given(clusters, replicas, st.randoms())
def test_every_replica_finds_the_same(clusters: set[str], replicas: set[str], order: random.Random) -> None:
    shuffled = sorted(clusters)
    order.shuffle(shuffled)
    assert assign(shuffled, sorted(replicas, reverse=True), {}) == assign(clusters, replicas, {})


def test_twelve_on_three() -> None:
    assigned = assign(CLUSTERS, ["a", "b", "c"], {})
    assert loads(assigned, {"a", "b", "c"}) == [4, 4, 4]
    two = assign(CLUSTERS, ["a", "b"], assigned)
    assert loads(two, {"a", "b"}) == [6, 6]
    one = assign(CLUSTERS, ["a"], two)
    assert set(one.values()) == {"a"}


def test_without_replicas_nothing_is_assigned() -> None:
    assert assign(CLUSTERS, [], {}) == {}


@pytest.mark.parametrize("name", ["ab", "a"])
def test_where_the_name_of_a_cluster_ends_counts(name: str) -> None:
    assert weight(name, "b") != weight(name + "b", "")


def test_weights_are_the_same_in_every_release() -> None:
    """Replicas of two releases share clusters during a rolling update."""
    assert weight("pve", "replica-1") == 14888654310179034764
