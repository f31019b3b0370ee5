"""``pve-evpn orphan``: the running operator lets go of objects and leaves what they stand for in Proxmox.

The command sets the annotation that names the object's uid, and changes nothing without ``--yes``.
"""

from __future__ import annotations

import typer

from pve_evpn.api.kinds import ANNOTATION_FORCE_ORPHAN
from pve_evpn.cli import options
from pve_evpn.cli.annotate import annotate_named
from pve_evpn.cli.failures import guarded
from pve_evpn.cli.objects import Named, left_behind

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn orphan vnet/blue -n team-a --yes")
def orphan(
    objects: options.Objects = None, namespace: options.NamespaceOfChanged = "default", yes: options.Yes = False
) -> int:
    """Have the running operator release objects and leave their networks in Proxmox. It sets the annotation
    pve-evpn.dev/force-orphan to the object's uid; the object is gone once it is deleted. Nothing is changed without
    --yes.
    """
    return guarded(_orphan(Named(objects or [], namespace, yes)))


async def _orphan(named: Named) -> int:
    return await annotate_named(
        named,
        ANNOTATION_FORCE_ORPHAN,
        lambda raw: str(raw["metadata"]["uid"]),
        effect=lambda _key, raw: left_behind(raw),
        done="marked; delete it, and the operator releases it",
    )
