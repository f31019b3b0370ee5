"""``pve-evpn pause``: the operator writes nothing to Proxmox for an object or a whole cluster."""

from __future__ import annotations

import argparse
from typing import Any

from pve_evpn.api.kinds import ANNOTATION_PAUSED
from pve_evpn.cli.annotate import annotate
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.objects import add_arguments, find
from pve_evpn.kube.client import CustomObjects, api_client


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
    if not arguments.objects:
        raise Refusal("name at least one object as KIND/NAME")
    async with api_client() as api:
        custom = CustomObjects(api)
        objects = await find(custom, arguments.objects, arguments.namespace)
        for key, _raw in objects:
            scope = "everything of this cluster" if key.kind == "ProxmoxCluster" else "this object"
            print(f"{key}: the operator will write nothing to Proxmox for {scope} until it is resumed")
        return await annotate(custom, objects, ANNOTATION_PAUSED, "true", yes=arguments.yes, done="paused")
