"""After the Lease is lost no write leaves the process: neither to Proxmox nor to Kubernetes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan.model import Step
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import GuestState
from pve_evpn.engine.journal import JournalEntry
from pve_evpn.kube.adapters import KubeObjects, SecretJournal
from pve_evpn.leadership import NotLeader
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.gateway import Gateway
from pve_evpn.pve.transport import Trust

pytestmark = pytest.mark.asyncio

_ZONE = SdnObject(SdnRef(SdnKind.ZONE, "z"), "evpn", {})
_STEP = Step(_ZONE.ref, _ZONE, None)
_GUEST = GuestState(100, "qemu", "vm", "pve1", digest="0")
_WRITES: dict[str, Callable[[Gateway], Awaitable[Any]]] = {
    "lock": lambda gateway: gateway.lock(allow_pending=False),
    "unlock": lambda gateway: gateway.unlock("token"),
    "stage": lambda gateway: gateway.stage(_STEP, "token"),
    "apply": lambda gateway: gateway.apply("token"),
    "reload one node": lambda gateway: gateway.reload_node("pve1"),
    "guest": lambda gateway: gateway.write_guest(_GUEST, {"net0": "virtio"}),
}


@pytest.mark.parametrize("name", _WRITES)
async def test_no_write_to_proxmox_is_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(*_: Any) -> Any:
        raise AssertionError("the request was sent")

    gateway = Gateway("dc1", ["https://pve1"], Credentials("a@pam!b", "c"), Trust(), is_leader=lambda: False)
    monkeypatch.setattr("pve_evpn.pve.session.PveSession.call", sent)
    with pytest.raises(NotLeader, match="no longer holds the Lease"):
        await _WRITES[name](gateway)
    gateway.close()


async def test_reading_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pve_evpn.pve.session.PveSession.call", lambda *_: {"data": {"version": "9.2.3"}})
    gateway = Gateway("dc1", ["https://pve1"], Credentials("a@pam!b", "c"), Trust(), is_leader=lambda: False)
    assert await gateway.version() == "9.2.3"
    gateway.close()


async def test_no_status_and_no_journal_is_written() -> None:
    key = ObjectKey("VNet", "default", "blue")
    objects = KubeObjects(None, lambda: False)  # type: ignore[arg-type]
    for write in (
        objects.patch_status(key, {}),
        objects.patch_metadata(key, 1, (), {}),
        objects.create("EvpnNode", "n", {}, key),
        objects.delete(key),
        SecretJournal(None, "system", lambda: False).save("dc1", JournalEntry("token")),
    ):
        with pytest.raises(NotLeader):
            await write
