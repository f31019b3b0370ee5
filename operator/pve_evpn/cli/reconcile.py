"""``pve-evpn reconcile``: a sync now, without a change."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api.kinds import ANNOTATION_RECONCILE
from pve_evpn.cli.annotate import annotate
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.objects import add_arguments, find
from pve_evpn.kube.client import CustomObjects, api_client


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
    if not arguments.objects:
        raise Refusal("name at least one object as KIND/NAME")
    async with api_client() as api:
        custom = CustomObjects(api)
        objects = await find(custom, arguments.objects, arguments.namespace)
        for key, raw in objects:
            last = (raw.get("status") or {}).get("lastHandledReconcileAt")
            print(f"{key}: the operator will sync its cluster now (last asked: {last or 'never'})")
        return await annotate(
            custom, objects, ANNOTATION_RECONCILE, datetime.now(UTC).isoformat(), yes=arguments.yes, done="asked for"
        )
