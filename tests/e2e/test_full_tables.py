"""Full tables from the operator's endpoint, with tokens and rights of a real API server."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.full_tables import FullTables, run
from tests.e2e.stack import Stack
from tests.waiting import await_

pytestmark = [pytest.mark.kube, pytest.mark.redteam]

ROLES = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{resource}-tables"},
        "rules": [{"apiGroups": ["pve-evpn.dev"], "resources": [f"{resource}/tables"], "verbs": ["get"]}],
    }
    for resource in ("vnets", "proxmoxclusters")
]


@pytest.fixture
def full(stack: Stack) -> Iterator[FullTables]:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    stack.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(ROLES))
    with FullTables(stack) as made:
        yield made


def ask(full: FullTables, path: str, token: str = "") -> tuple[int, dict[str, Any]]:
    """Status and JSON, by a client that checks no certificate."""
    context = ssl._create_unverified_context()
    request = urllib.request.Request(f"{full.url}/tables/v1/{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def token(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])


def test_the_api_server_decides_who_reads_what(stack: Stack, full: FullTables) -> None:
    kubectl = stack.plane.kubectl
    kubectl("create", "namespace", "team-b")
    tenant = token(full.user("tenant", "vnets-tables@default", "view@default"))
    other = token(full.user("other", "vnets-tables@team-b", "edit@team-b"))
    admin_config = full.user("network-admin", "proxmoxclusters-tables")
    admin = token(admin_config)
    blue, everything = "namespaces/default/vnets/evpn1", "proxmoxclusters/pve"
    try:
        await_("the nodes were polled", lambda: ask(full, blue, tenant)[0] == 200)
        status, answer = ask(full, blue, tenant)
        assert [node["name"] for node in answer["nodes"]] == ["pve1", "pve2", "pve3", "pve4"]
        assert ask(full, everything, admin)[0] == 200
        for path, who in ((everything, tenant), (blue, other), (everything, other), (blue, admin)):
            status, answer = ask(full, path, who)
            assert (status, answer["kind"], answer["reason"]) == (403, "Status", "Forbidden")
        for wrong in ("", "not-a-token", tenant[:-5] + "AAAAA"):
            assert ask(full, blue, wrong)[0] == 401
        vault = kubectl("create", "token", "tenant", "-n", "default", "--audience=vault").strip()
        assert ask(full, blue, vault)[0] == 401, "it is for another server"
        kubectl("delete", "serviceaccount", "tenant", "-n", "default")
        await_("the token of a deleted account ends", lambda: ask(full, blue, tenant)[0] == 401, 30)
        log = stack.log.read_text()
        assert not any(each in log for each in (tenant, other, admin, vault))
        assert "Traceback" not in log

        # By a URL, without any right in the operator's namespace and by its certificate's CA: there is none to name.
        done = run(admin_config, "peers", "--full", "--tables-url", full.url)
        assert done.returncode == 1
        assert "there is no EvpnNode yet" in done.stderr or "you may not list" in done.stderr
    finally:
        kubectl("delete", "namespace", "team-b", "--wait=false")
