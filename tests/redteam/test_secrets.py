"""Authors of ProxmoxClusters without access to Secrets: no Secret of the operator's namespace reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncssh
import pytest

from pve_evpn.api.observe import Observe
from pve_evpn.engine.secrets import ClusterSecrets
from pve_evpn.engine.sources import Sources
from pve_evpn.pve.gateway import Gateway
from pve_lab.lab import Lab
from pve_lab.server import LabServer
from tests.engine.world import CLUSTER, World, cluster, programmed

pytestmark = pytest.mark.redteam


@pytest.fixture
def evil() -> Iterator[LabServer]:
    """A server of the author's own, which notes what it is sent."""
    with LabServer(Lab(["evil1"])) as server:
        yield server


def authenticated(world: World) -> dict[str, Any]:
    return world.kube.condition(CLUSTER, "Authenticated")


async def refused(world: World, evil: LabServer) -> str:
    """The message after a sync in which the author's server heard nothing."""
    await world.settle_or_wait()
    condition = authenticated(world)
    assert (condition["status"], condition["reason"]) == ("False", "CredentialsMissing")
    assert evil.lab.journal == []
    return str(condition["message"])


@pytest.mark.parametrize("label", ["", "other"])
async def test_a_secret_of_another_cluster_or_of_none_is_not_read(evil: LabServer, label: str) -> None:
    world = World()
    world.gateway = Gateway
    world.kube.bind("c", label, evil.url)
    world.apply(cluster(endpoints=[evil.url], tls={"caBundle": evil.ca_pem}))
    message = await refused(world, evil)
    assert "kubectl -n pve-evpn-system label secret c pve-evpn.dev/cluster=pve" in message
    del world.kube.secrets["c"]
    assert await refused(world, evil) == message, "the message does not say whether the Secret exists"


@pytest.mark.parametrize("field", ["endpoints", "proxyUrl"])
async def test_an_edited_endpoint_or_proxy_does_not_get_the_token(evil: LabServer, field: str) -> None:
    world = await programmed()
    world.gateway = Gateway
    world.die()
    world.kube.bind("c", "pve", "https://pve1:8006/ https://pve2:8006")
    edit: dict[str, Any] = {"endpoints": ["https://PVE1:8006", evil.url]} if field == "endpoints" else {}
    edit |= {"proxyUrl": evil.url} if field == "proxyUrl" else {}
    world.apply(cluster(**edit, tls={"caBundle": evil.ca_pem}))
    message = await refused(world, evil)
    assert f"does not allow its credentials to be sent to {evil.url}. If they" in message
    assert "annotate secret c --overwrite pve-evpn.dev/endpoints=" in message


async def test_a_certificate_comes_from_a_secret_of_the_cluster_only() -> None:
    world = World()
    world.kube.secrets["foreign"] = {"ca.crt": "private"}
    world.kube.bind("foreign", "other")
    world.apply(cluster(tls={"caSecretRef": {"name": "foreign"}}))
    await world.settle_or_wait()
    message = authenticated(world)["message"]
    assert "tls.caSecretRef: the operator's namespace has no Secret 'foreign' for this cluster" in message
    assert "private" not in str(world.kube.objects)


@pytest.mark.parametrize("field", ["keySecretRef", "knownHostsSecretRef"])
async def test_a_key_of_ssh_comes_from_a_secret_of_the_cluster_only(field: str) -> None:
    world = World()
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    world.kube.secrets |= {name: {"ssh-privatekey": key, "known_hosts": "x"} for name in ("own", "foreign")}
    world.kube.bind("foreign", "other")
    refs = {"keySecretRef": {"name": "own"}, "knownHostsSecretRef": {"name": "own"}, field: {"name": "foreign"}}
    sources = Sources(ClusterSecrets("pve", world.kube.ports.secrets), lambda: None)
    observe = Observe.model_validate({"sources": ["ssh"], "ssh": refs})
    await sources.chain(observe, 10, timedelta(seconds=30))
    assert sources.ssh is None
    await sources.close()
