"""A client of the API server that costs little beside what is measured: many requests at once, JSON, nothing else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import aiohttp

from tests.kube.controlplane import ControlPlane

WRITERS = 16
_PLURALS = {
    "ProxmoxCluster": "proxmoxclusters",
    "EvpnController": "evpncontrollers",
    "EvpnZone": "evpnzones",
    "VNet": "vnets",
    "NicAttachment": "nicattachments",
}
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
T = TypeVar("T")
Document = dict[str, Any]


class Kube:
    """``async with Kube(plane) as kube``: as administrator."""

    def __init__(self, plane: ControlPlane) -> None:
        context = ssl.create_default_context(cafile=str(plane.folder / "ca.crt"))
        context.load_cert_chain(plane.folder / "admin.crt", plane.folder / "admin.key")
        self._url = plane.url
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=WRITERS))

    async def __aenter__(self) -> Kube:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def create(self, documents: Iterable[Document]) -> int:
        """Create them, many at once; how many."""
        return await _each(documents, lambda doc: self._send("POST", _path(doc, collection=True), doc))

    async def patch_status(self, documents: Iterable[Document], status: Document) -> int:
        """Give every one of them the same status."""
        return await _each(documents, lambda doc: self._send("PATCH", f"{_path(doc)}/status", {"status": status}))

    async def delete_all(self, kinds: Iterable[str], namespace: str) -> None:
        for kind in kinds:
            await self._send("DELETE", _collection(kind, namespace), None)

    async def is_ready(self, document: Document) -> bool:
        found = await self._send("GET", _path(document), None)
        return any(
            c["type"] == "Ready" and c["status"] == "True" for c in found.get("status", {}).get("conditions", ())
        )

    async def ready(self, kind: str, namespace: str) -> set[str]:
        """Names of the objects that are Ready. The table spares both sides the rest of each object."""
        names: set[str] = set()
        token = ""
        while True:
            query = f"?limit=2000&includeObject=Metadata{f'&continue={token}' if token else ''}"
            table = await self._send("GET", _collection(kind, namespace) + query, None, accept=_TABLE)
            column = [definition["name"] for definition in table["columnDefinitions"]].index("Ready")
            rows = table.get("rows") or ()
            names |= {row["object"]["metadata"]["name"] for row in rows if row["cells"][column] == "True"}
            if not (token := table["metadata"].get("continue", "")):
                return names

    async def _send(self, method: str, path: str, body: Document | None, accept: str = "application/json") -> Document:
        headers = {"Accept": accept}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        async with self._http.request(method, self._url + path, json=body, headers=headers) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status}: {await answer.text()}")
            return dict(await answer.json())


async def _each(items: Iterable[T], act: Callable[[T], Awaitable[object]]) -> int:
    waiting, done = iter(items), 0

    async def worker() -> None:
        nonlocal done
        for item in waiting:
            await act(item)
            done += 1

    await asyncio.gather(*(worker() for _ in range(WRITERS)))
    return done


def _collection(kind: str, namespace: str) -> str:
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/pve-evpn.dev/v1alpha1{place}/{_PLURALS[kind]}"


def _path(document: Document, *, collection: bool = False) -> str:
    meta = document["metadata"]
    where = _collection(document["kind"], meta.get("namespace", ""))
    return where if collection else f"{where}/{meta['name']}"
