"""``pve-evpn resume``: ends a pause."""

from __future__ import annotations

import typer

from pve_evpn.api.kinds import ANNOTATION_PAUSED
from pve_evpn.cli import options
from pve_evpn.cli.annotate import annotate_named
from pve_evpn.cli.failures import guarded
from pve_evpn.cli.objects import Named, Raw
from pve_evpn.domain.objects import ObjectKey

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn resume pvec/pve --yes")
def resume(
    objects: options.Objects = None, namespace: options.NamespaceOfChanged = "default", yes: options.Yes = False
) -> int:
    """Let the operator write to Proxmox again for a paused object or cluster. Nothing is changed without --yes."""
    return guarded(_resume(Named(objects or [], namespace, yes)))


async def _resume(named: Named) -> int:
    return await annotate_named(named, ANNOTATION_PAUSED, lambda _raw: None, effect=_effect, done="resumed")


def _effect(_key: ObjectKey, raw: Raw) -> str:
    paused = ANNOTATION_PAUSED in (raw["metadata"].get("annotations") or {})
    return "the operator will write what has changed meanwhile" if paused else "it is not paused"
