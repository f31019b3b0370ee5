"""Full tables from two operator processes: whichever of them is asked, the answer is that of the one that leads."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.full_tables import Endpoints, run
from tests.e2e.process import Operator
from tests.ha.conftest import QUICK, Replicas
from tests.ha.proxy import Proxy
from tests.kube.ports import free_port
from tests.waiting import await_

pytestmark = pytest.mark.kube

NODES = 4


def start(replicas: Replicas, endpoints: Endpoints) -> tuple[Operator, str]:
    """A replica with its endpoint, and where that is."""
    address = f"127.0.0.1:{free_port()}"
    operator = replicas.start({**QUICK, "PVE_EVPN_TABLES": address})
    endpoints.make_pod(operator.name)
    return operator, f"https://{address}"


def answered(operator: Operator) -> dict[int, int]:
    """How often its endpoint gave which HTTP status."""
    rows = re.findall(r'^pve_evpn_tables_requests_total{code="(\d+)"} (\d+)', operator.get("/metrics"), re.M)
    return {int(code): int(float(count)) for code, count in rows}


def nodes_in(admin: Path, *options: str) -> int:
    """How many nodes the answer to ``pve-evpn peers --full`` has; 0 where it could not be had."""
    done = run(admin, "peers", "--full", "-o", "json", *options)
    return len(json.loads(done.stdout)) if done.returncode == 0 else 0


def test_the_leaders_tables_are_had_by_way_of_the_standby(replicas: Replicas) -> None:
    seed = replicas.stack.seed()
    replicas.stack.apply(*seed)
    with Endpoints(replicas.stack) as endpoints:
        leader, leads_at = start(replicas, endpoints)
        assert replicas.await_leader(leader) is leader
        replicas.stack.await_ready(*seed)
        standby, stands_at = start(replicas, endpoints)
        await_("the second one stands by", lambda: standby.readiness.startswith("200 standby"), 30)
        admin = endpoints.user("network-admin", "cluster-admin")
        await_("the nodes were polled", lambda: nodes_in(admin) == NODES, 30)
        before = answered(leader), answered(standby)

        # A port-forward goes to the replica that the cluster's Lease names: the standby is not asked.
        assert nodes_in(admin) == NODES
        assert (answered(leader)[200], answered(standby)) == (before[0][200] + 1, before[1])

        # A Service leads to the standby first. It says 421, and the command asks again.
        with Proxy(stands_at, leads_at) as service:
            assert nodes_in(admin, "--tables-url", service.url) == NODES
        assert (answered(leader)[200], answered(standby)) == (before[0][200] + 2, {421: 1})

        # The standby alone says who has them.
        alone = run(admin, "peers", "--full", "--tables-url", stands_at)
        assert alone.returncode == 1
        assert f"the operator answers 421: {leader.name}" in alone.stderr
        assert "has the tables of ProxmoxCluster pve" in alone.stderr

        # The leader dies, and its Lease still names it: the command finds the one that has taken over.
        replicas.kill(leader, signal.SIGKILL)
        replicas.await_leader(standby)
        await_("the standby has polled", lambda: nodes_in(admin) == NODES, 40)
        assert answered(standby)[200] == 1
