"""``pve-evpn reconcile``: a sync now, without a change."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api.kinds import ANNOTATION_RECONCILE
from pve_evpn.cli.annotate import annotate_named
from pve_evpn.cli.failures import guarded
from pve_evpn.cli.objects import Raw, add_arguments
from pve_evpn.domain.objects import ObjectKey


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "reconcile",
        help="ask for a sync now",
        description="Ask the operator for a sync now, for example after a cause in Proxmox was "
        "removed. Nothing is changed without --yes.",
        epilog="example: pve-evpn reconcile vnet/blue -n team-a --yes",
    )
    add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_reconcile(arguments)))


async def _reconcile(arguments: argparse.Namespace) -> int:
    now = datetime.now(UTC).isoformat()
    return await annotate_named(arguments, ANNOTATION_RECONCILE, lambda _raw: now, effect=_effect, done="asked for")


def _effect(_key: ObjectKey, raw: Raw) -> str:
    last = (raw.get("status") or {}).get("lastHandledReconcileAt")
    return f"the operator will sync its cluster now (last asked: {last or 'never'})"
