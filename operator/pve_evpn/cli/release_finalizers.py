"""``pve-evpn release-finalizers``: frees objects where no operator runs any more.

The command takes the finalizer away itself, says what stays in Proxmox, changes nothing without ``--yes``, and
refuses while a running operator renews its Lease.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import FINALIZER, KINDS
from pve_evpn.cli import options
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.objects import DRY_RUN, Named, Raw, change_each, find, key_of, left_behind, list_kind
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.client import CustomObjects, api_client
from pve_evpn.kube.leader import LABELS, SHARED

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn release-finalizers --deleting --yes")
def release_finalizers(
    objects: options.Objects = None,
    namespace: options.NamespaceOfChanged = "default",
    deleting: Annotated[bool, typer.Option("--deleting", help="Every object that is being deleted.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Every object of every kind, being deleted or not.")
    ] = False,
    even_if_running: Annotated[
        bool, typer.Option("--even-if-running", help="Do not check for a running operator.")
    ] = False,
    yes: options.Yes = False,
) -> int:
    """Remove the operator's finalizer from objects, so that Kubernetes can delete them without it. Their networks stay
    in Proxmox. Only for when no operator is running. Nothing is changed without --yes.
    """
    named = Named(objects or [], namespace, yes)
    return guarded(_release(named, deleting=deleting, everything=everything, even_if_running=even_if_running))


async def _release(named: Named, *, deleting: bool, everything: bool, even_if_running: bool) -> int:
    if not (named.objects or deleting or everything):
        raise Refusal("name objects as KIND/NAME, or use --deleting or --all")
    async with api_client() as api:
        custom = CustomObjects(api)
        if not even_if_running:
            await _refuse_if_running(client.CoordinationV1Api(api))
        if named.objects:
            found = await find(custom, named.objects, named.namespace)
        else:
            found = [(key_of(kind, raw), raw) for kind in KINDS for raw in await list_kind(custom, kind)]
        held = [(key, raw) for key, raw in found if FINALIZER in (raw["metadata"].get("finalizers") or ())]
        if deleting:
            held = [(key, raw) for key, raw in held if raw["metadata"].get("deletionTimestamp")]
        for key, raw in held:
            print(f"{key}{' (being deleted)' if raw['metadata'].get('deletionTimestamp') else ''}: {left_behind(raw)}")
        if not held:
            print("No object has the operator's finalizer.")
            return 0
        if not named.yes:
            print(DRY_RUN)
            return 0

        async def free(key: ObjectKey, raw: Raw) -> bool:
            left = [name for name in raw["metadata"]["finalizers"] if name != FINALIZER]
            metadata = {"finalizers": left, "resourceVersion": raw["metadata"]["resourceVersion"]}
            return await custom.patch(key, {"metadata": metadata}, status=False) is not None

        return await change_each(held, free, "freed")


async def _refuse_if_running(api: client.CoordinationV1Api) -> None:
    """Look whether a held Lease is being renewed, for as long as its holder may be silent.

    Whatever the release is called and wherever it is, its Lease is known by its labels. Times in it are not compared
    with the clock here, which may be another.
    """
    before = await _held_leases(api)
    silence = max((spec.lease_duration_seconds or 15 for spec in before.values()), default=0)
    if silence:
        print(f"A Lease is held; watching for at most {silence} s whether it is renewed", flush=True)
    for _ in range(silence):
        await asyncio.sleep(1)
        for name, spec in (await _held_leases(api)).items():
            if name not in before or spec.renew_time != before[name].renew_time:
                raise Refusal(
                    f"the operator is running: {spec.holder_identity} renews the Lease {name} and would add its "
                    "finalizers again. Use `pve-evpn orphan`, or stop the operator first (or use --even-if-running)"
                )


async def _held_leases(api: client.CoordinationV1Api) -> dict[str, client.V1LeaseSpec]:
    """Held Leases of operators, by namespace and name, without those that all replicas of a release hold together."""
    selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
    try:
        leases = await api.list_lease_for_all_namespaces(label_selector=selector)
    except ApiException as error:
        if error.status != 403:
            raise
        raise Refusal(
            "whether the operator is running is unknown: you may not list Leases in all namespaces. Make sure "
            "that it is not, and use --even-if-running"
        ) from None
    return {
        f"{lease.metadata.namespace}/{lease.metadata.name}": lease.spec
        for lease in leases.items
        if lease.spec and lease.spec.holder_identity not in (None, "", SHARED)
    }
