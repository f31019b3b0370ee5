"""``pve-evpn pause``: the operator writes nothing to Proxmox for an object or a whole cluster."""

from __future__ import annotations

import argparse
from typing import Any

from pve_evpn.api.kinds import ANNOTATION_PAUSED
from pve_evpn.cli.annotate import annotate_named
from pve_evpn.cli.failures import guarded
from pve_evpn.cli.objects import Raw, add_arguments
from pve_evpn.domain.objects import ObjectKey


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "pause",
        help="stop writing to Proxmox for an object or a cluster",
        description="Have the operator write nothing to Proxmox for an object, or for everything of a ProxmoxCluster; "
        "observation goes on. Nothing is changed without --yes.",
        epilog="example: pve-evpn pause pvec/pve --yes",
    )
    add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_pause(arguments)))


async def _pause(arguments: argparse.Namespace) -> int:
    return await annotate_named(arguments, ANNOTATION_PAUSED, lambda _raw: "true", effect=_effect, done="paused")


def _effect(key: ObjectKey, _raw: Raw) -> str:
    scope = "everything of this cluster" if key.kind == "ProxmoxCluster" else "this object"
    return f"the operator will write nothing to Proxmox for {scope} until it is resumed"
