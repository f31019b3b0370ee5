"""The journal's Secret: whatever a transaction writes down is read back, also by the next version."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.engine.journal import Correction, JournalEntry, PendingConfirm, StoredObject
from pve_evpn.kube.adapters import SecretJournal

ENTRY = JournalEntry(
    lock_token="t",
    lock_requested_at=1,
    lock_seen=True,
    creating=frozenset({SdnRef(SdnKind.VNET, "net1"), SdnRef(SdnKind.SUBNET, "zone1-10.1.0.0-24")}),
    changed=frozenset({ObjectKey("VNet", "default", "net1"), ObjectKey("EvpnZone", "", "zone1")}),
    dirty=True,
    apply_started_at=2,
    apply_deadline=3,
    relocked=True,
    approval="a",
    consumed_approval="s",
    confirm=PendingConfirm(
        record="{}",
        before=(
            StoredObject.of(
                SdnRef(SdnKind.ZONE, "zone1"),
                SdnObject(SdnRef(SdnKind.ZONE, "zone1"), "evpn", {"nodes": ("pve1", "pve2"), "mtu": "1450"}),
            ),
            StoredObject.of(SdnRef(SdnKind.VNET, "new"), None),
        ),
        applied_at=4,
        evidence="worse",
    ),
    lost=(StoredObject.of(SdnRef(SdnKind.VNET, "net1"), None),),
    corrections=(Correction(ObjectKey("VNet", "default", "net1"), "alias", count=3, at=5, next=6),),
)


class OneSecret:
    """As much of the core API as the journal uses; ``text`` is the entry."""

    text: str | None = None

    async def secret(self, _namespace: str, _name: str) -> dict[str, Any]:
        if self.text is None:
            raise ApiException(status=404)
        return {"data": {"entry": base64.b64encode(self.text.encode()).decode()}}

    async def create_secret(self, _namespace: str, body: dict[str, Any]) -> None:
        self.text = body["stringData"]["entry"]

    async def patch_secret(self, _namespace: str, _name: str, body: dict[str, Any]) -> None:
        self.text = body["stringData"]["entry"]


def journal(secret: OneSecret) -> SecretJournal:
    made = SecretJournal(None, "system", lambda: True)
    made._core = secret
    return made


async def test_every_field_is_read_back() -> None:
    assert all(getattr(ENTRY, field.name) != field.default for field in dataclasses.fields(ENTRY)), "a test of nothing"
    secret = OneSecret()
    writer = journal(secret)
    await writer.save("dc1", JournalEntry())
    await writer.save("dc1", ENTRY)
    assert await journal(secret).load("dc1") == ENTRY


async def test_what_an_older_version_wrote_is_read() -> None:
    secret = OneSecret()
    secret.text = json.dumps({"token": "t", "creating": [["vnet", "net1"]], "dirty": True})
    creating = frozenset({SdnRef(SdnKind.VNET, "net1")})
    assert await journal(secret).load("dc1") == JournalEntry("t", creating=creating, dirty=True)
