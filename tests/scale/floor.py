"""The floor of a run: creating the objects, one PATCH of each, the writes to Proxmox, all without an operator."""

from __future__ import annotations

import time
from pathlib import Path

import requests

from tests.scale.kube import Kube
from tests.scale.objects import TENANT, VNIS, VRF_VNI, Size, attached, many, vnet
from tests.scale.parts import TOKEN, LabProcess

#: A status of about the size that the operator writes.
_STATUS = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": "Measured",
            "message": f"{kind} is written once to measure how long that takes",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind in ("Ready", "Accepted", "Programmed", "Operational", "Drifted", "Paused")
    ],
}


async def kubernetes_seconds(kube: Kube, size: Size) -> tuple[float, float]:
    """Seconds to create the objects, and to PATCH each one's status once. They are removed again."""
    await kube.create([vnet(0, size.subnets)])  # the first object of a kind takes the API server a moment longer
    began = time.monotonic()
    await kube.create(many(size))
    created = time.monotonic()
    await kube.patch_status(many(size), _STATUS)
    patched = time.monotonic()
    await kube.delete_all(("NicAttachment", "VNet"), TENANT)
    return created - began, patched - created


def proxmox_seconds(size: Size, folder: Path) -> float:
    """Seconds that the writes of the VNets and NICs take one after the other, with the apply between them."""
    with LabProcess(size, folder) as lab:
        client = _Client(lab)
        controller = {"controller": "evpn1", "type": "evpn", "asn": 65001, "fabric": "Fabric1"}
        client.send("POST", "/cluster/sdn/controllers", **controller)
        zone = {"zone": "zone1", "type": "evpn", "controller": "evpn1", "vrf-vxlan": VRF_VNI}
        client.send("POST", "/cluster/sdn/zones", **zone)
        began = time.monotonic()
        token = client.send("POST", "/cluster/sdn/lock", **{"allow-pending": 1})
        for number in range(1, size.vnets + 1):
            client.send(
                "POST",
                "/cluster/sdn/vnets",
                vnet=f"n{number}",
                zone="zone1",
                tag=VNIS + number,
                **{"lock-token": token},
            )
            for subnet in vnet(number, size.subnets)["spec"]["subnets"]:
                client.send(
                    "POST",
                    f"/cluster/sdn/vnets/n{number}/subnets",
                    subnet=subnet["cidr"],
                    type="subnet",
                    **{"lock-token": token},
                )
        client.apply(token)
        client.send("DELETE", "/cluster/sdn/lock", **{"lock-token": token})
        for vmid in size.vmids if size.nics else ():
            node = size.node_names[vmid % size.nodes]
            client.send("POST", f"/nodes/{node}/qemu/{vmid}/config", **attached(size, vmid))
        return time.monotonic() - began


class _Client:
    def __init__(self, lab: LabProcess) -> None:
        self._base = f"{lab.url}/api2/json"
        self._http = requests.Session()
        self._http.trust_env = False  # else REQUESTS_CA_BUNDLE would overrule what follows
        self._http.verify = str(lab.ca)
        self._http.headers["Authorization"] = f"PVEAPIToken={TOKEN[0]}={TOKEN[1]}"

    def send(self, method: str, path: str, **params: object) -> str:
        query = {"params": params} if method in ("GET", "DELETE") else {"data": params}
        answer = self._http.request(method, self._base + path, timeout=60, **query)  # type: ignore[arg-type]
        answer.raise_for_status()
        data = answer.json()["data"]
        return str(data.get("status") if isinstance(data, dict) else data)

    def apply(self, token: str) -> None:
        """Publish, and wait for the task."""
        upid = self.send("PUT", "/cluster/sdn", **{"lock-token": token, "release-lock": 0})
        node = upid.split(":")[1]
        while self.send("GET", f"/nodes/{node}/tasks/{upid}/status") == "running":
            time.sleep(0.1)
