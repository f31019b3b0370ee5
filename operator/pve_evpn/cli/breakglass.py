"""``pve-evpn orphan`` and ``pve-evpn release-finalizers``: letting objects go that cannot go by themselves.

Both leave Proxmox as it is, say what stays behind there, and change nothing unless told ``--yes``. ``orphan`` asks
the running operator to let go of an object (the annotation that names its uid). ``release-finalizers`` is for when
there is no operator any more: it takes our finalizer away itself, and refuses while somebody holds the Lease.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import ANNOTATION_FORCE_ORPHAN, FINALIZER, KINDS, Kind
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.client import CustomObjects, api_client
from pve_evpn.kube.leader import LABELS

Raw = Mapping[str, Any]
_DRY = "Nothing was changed. Add --yes to do it."


def add(commands: Any) -> None:
    """Their arguments."""
    orphan = commands.add_parser(
        "orphan",
        help="delete objects in Kubernetes and leave what they stand for in Proxmox",
        description="Have the running operator let go of objects and leave what they stand for in Proxmox. It sets "
        "the annotation pve-evpn.dev/force-orphan to the object's uid; the object goes once it is deleted.",
    )
    release = commands.add_parser(
        "release-finalizers",
        help="free objects that nobody frees any more, because the operator is gone",
        description="Take the operator's finalizer from objects, so that Kubernetes can remove them without it. "
        "What they stand for stays in Proxmox. Only for when no operator is running.",
    )
    for parser in (orphan, release):
        parser.add_argument("objects", nargs="*", metavar="KIND/NAME", help="e.g. vnet/blue or evpnzone/tenants")
        parser.add_argument("-n", "--namespace", default="default", help="of namespaced objects (default: default)")
        parser.add_argument("--yes", action="store_true", help="do it; without it only tell what would be done")
    release.add_argument("--deleting", action="store_true", help="every object that is being deleted")
    release.add_argument("--all", action="store_true", help="every object of every kind, being deleted or not")
    release.add_argument("--even-if-running", action="store_true", help="do not look for a running operator")
    orphan.set_defaults(do=lambda arguments: guarded(_orphan(arguments)))
    release.set_defaults(do=lambda arguments: guarded(_release(arguments)))


async def _orphan(arguments: argparse.Namespace) -> int:
    if not arguments.objects:
        raise Refusal("name at least one object as KIND/NAME")
    async with api_client() as api:
        custom = CustomObjects(api)
        objects = await _find(custom, arguments.objects, arguments.namespace)
        for key, raw in objects:
            print(f"{key}: {left_behind(raw)}")
        if not arguments.yes:
            print(_DRY)
            return 0

        async def mark(key: ObjectKey, raw: Raw) -> bool:
            metadata = {"annotations": {ANNOTATION_FORCE_ORPHAN: raw["metadata"]["uid"]}}
            return await custom.patch(key, {"metadata": metadata}, status=False) is not None

        return await _each(objects, mark, "marked; it goes when it is deleted")


async def _release(arguments: argparse.Namespace) -> int:
    if not (arguments.objects or arguments.deleting or arguments.all):
        raise Refusal("name objects as KIND/NAME, or say --deleting or --all")
    async with api_client() as api:
        custom = CustomObjects(api)
        if not arguments.even_if_running:
            await _refuse_if_running(client.CoordinationV1Api(api))
        if arguments.objects:
            found = await _find(custom, arguments.objects, arguments.namespace)
        else:
            found = [(_key(kind, raw), raw) for kind in KINDS for raw in await _list(custom, kind)]
        held = [(key, raw) for key, raw in found if FINALIZER in (raw["metadata"].get("finalizers") or ())]
        if arguments.deleting:
            held = [(key, raw) for key, raw in held if raw["metadata"].get("deletionTimestamp")]
        for key, raw in held:
            print(f"{key}{' (being deleted)' if raw['metadata'].get('deletionTimestamp') else ''}: {left_behind(raw)}")
        if not held:
            print("No object has the operator's finalizer.")
            return 0
        if not arguments.yes:
            print(_DRY)
            return 0

        async def free(key: ObjectKey, raw: Raw) -> bool:
            left = [name for name in raw["metadata"]["finalizers"] if name != FINALIZER]
            metadata = {"finalizers": left, "resourceVersion": raw["metadata"]["resourceVersion"]}
            return await custom.patch(key, {"metadata": metadata}, status=False) is not None

        return await _each(held, free, "freed")


async def _each(
    objects: Iterable[tuple[ObjectKey, Raw]], act: Callable[[ObjectKey, Raw], Awaitable[bool]], done: str
) -> int:
    status = 0
    for key, raw in objects:
        if await act(key, raw):
            print(f"{key}: {done}")
        else:
            print(f"{key}: changed or gone meanwhile, run it again", file=sys.stderr)
            status = 1
    return status


async def _refuse_if_running(api: client.CoordinationV1Api) -> None:
    """Look whether a held Lease is being renewed, for as long as its holder may be silent.

    Whatever the release is called and wherever it is, its Lease is known by its labels. Times in it are not compared
    with the clock here, which may be another.
    """
    before = await _held_leases(api)
    silence = max((spec.lease_duration_seconds or 15 for spec in before.values()), default=0)
    if silence:
        print(f"A Lease is held; looking for at most {silence} s whether it is renewed", flush=True)
    for _ in range(silence):
        await asyncio.sleep(1)
        for name, spec in (await _held_leases(api)).items():
            if name not in before or spec.renew_time != before[name].renew_time:
                raise Refusal(
                    f"the operator is running: {spec.holder_identity} renews the Lease {name} and would put its "
                    "finalizers back. Use `pve-evpn orphan`, or stop the operator first (or say --even-if-running)"
                )


async def _held_leases(api: client.CoordinationV1Api) -> dict[str, client.V1LeaseSpec]:
    """Leases of operators that somebody holds, by namespace and name."""
    selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
    try:
        leases = await api.list_lease_for_all_namespaces(label_selector=selector)
    except ApiException as error:
        if error.status != 403:
            raise
        raise Refusal(
            "whether the operator is running cannot be seen: you may not list Leases in all namespaces. Make sure "
            "that it is not, and say --even-if-running"
        ) from None
    return {
        f"{lease.metadata.namespace}/{lease.metadata.name}": lease.spec
        for lease in leases.items
        if lease.spec and lease.spec.holder_identity
    }


# --- objects ----------------------------------------------------------------------------------------------------


async def _find(custom: CustomObjects, names: Iterable[str], namespace: str) -> list[tuple[ObjectKey, Raw]]:
    """The named objects, in the order of the command line."""
    found: list[tuple[ObjectKey, Raw]] = []
    for text in names:
        kind, _, name = text.partition("/")
        known = kind_of(kind)
        key = ObjectKey(known.name, namespace if known.scope == "Namespaced" else "", name)
        raw = next((raw for raw in await _list(custom, known.name) if _key(known.name, raw) == key), None)
        if raw is None:
            raise Refusal(f"there is no {key}")
        found.append((key, raw))
    return found


async def _list(custom: CustomObjects, kind: str) -> list[dict[str, Any]]:
    """Every object of a kind; none where the kind itself is gone."""
    try:
        items, _ = await custom.list_all(kind)
    except ApiException as error:
        if error.status == 404:
            return []
        raise
    return items


def _key(kind: str, raw: Raw) -> ObjectKey:
    return ObjectKey(kind, raw["metadata"].get("namespace", ""), raw["metadata"]["name"])


def kind_of(text: str) -> Kind:
    """The kind by any name kubectl takes for it. Raises Refusal."""
    for kind in KINDS.values():
        if text.lower() in (kind.singular, kind.plural, *kind.short_names):
            return kind
    raise Refusal(f"{text!r} is none of {', '.join(kind.singular for kind in KINDS.values())}")


def left_behind(raw: Raw) -> str:
    """What stays in Proxmox when the object goes without the operator's care."""
    status = raw.get("status") or {}
    if "endpoints" in (raw.get("spec") or {}):
        return "nothing is made in Proxmox for it"
    if status.get("vmid") and status.get("device"):
        return f"{status['device']} of guest {status['vmid']} stays on {status.get('vnet') or 'its bridge'}"
    if status.get("id") and status.get("origin"):
        subnets = [row["id"] for row in status.get("subnets") or ()]
        more = f" and its subnets {', '.join(subnets)}" if subnets else ""
        return f"{status['id']}{more} stays in Proxmox"
    return "nothing is known of it in Proxmox"
