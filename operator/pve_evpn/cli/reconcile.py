"""``pve-evpn reconcile``: a sync now, without a change."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from pve_evpn.api.kinds import ANNOTATION_RECONCILE
from pve_evpn.cli import options
from pve_evpn.cli.annotate import annotate_named
from pve_evpn.cli.failures import guarded
from pve_evpn.cli.objects import Named, Raw
from pve_evpn.domain.objects import ObjectKey

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn reconcile vnet/blue -n team-a --yes")
def reconcile(
    objects: options.Objects = None, namespace: options.NamespaceOfChanged = "default", yes: options.Yes = False
) -> int:
    """Ask the operator for a sync now, for example after a cause in Proxmox was removed. Nothing is changed without
    --yes.
    """
    return guarded(_reconcile(Named(objects or [], namespace, yes)))


async def _reconcile(named: Named) -> int:
    now = datetime.now(UTC).isoformat()
    return await annotate_named(named, ANNOTATION_RECONCILE, lambda _raw: now, effect=_effect, done="asked for")


def _effect(_key: ObjectKey, raw: Raw) -> str:
    last = (raw.get("status") or {}).get("lastHandledReconcileAt")
    return f"the operator will sync its cluster now (last asked: {last or 'never'})"
