"""``pve-evpn pause``: the operator writes nothing to Proxmox for an object or a whole cluster."""

from __future__ import annotations

import typer

from pve_evpn.api.kinds import ANNOTATION_PAUSED
from pve_evpn.cli import options
from pve_evpn.cli.annotate import annotate_named
from pve_evpn.cli.failures import guarded
from pve_evpn.cli.objects import Named, Raw
from pve_evpn.domain.objects import ObjectKey

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn pause pvec/pve --yes")
def pause(
    objects: options.Objects = None, namespace: options.NamespaceOfChanged = "default", yes: options.Yes = False
) -> int:
    """Have the operator write nothing to Proxmox for an object, or for everything of a ProxmoxCluster. Observation goes
    on. Nothing is changed without --yes.
    """
    return guarded(_pause(Named(objects or [], namespace, yes)))


async def _pause(named: Named) -> int:
    return await annotate_named(named, ANNOTATION_PAUSED, lambda _raw: "true", effect=_effect, done="paused")


def _effect(key: ObjectKey, _raw: Raw) -> str:
    scope = "everything of this cluster" if key.kind == "ProxmoxCluster" else "this object"
    return f"the operator will write nothing to Proxmox for {scope} until it is resumed"
