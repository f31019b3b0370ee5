"""``pve-evpn resume``: ends a pause."""

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
        "resume",
        help="end a pause",
        description="Let the operator write to Proxmox again for a paused object or cluster. "
        "Nothing is changed without --yes.",
        epilog="example: pve-evpn resume pvec/pve --yes",
    )
    add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_resume(arguments)))


async def _resume(arguments: argparse.Namespace) -> int:
    if not arguments.objects:
        raise Refusal("name at least one object as KIND/NAME")
    async with api_client() as api:
        custom = CustomObjects(api)
        objects = await find(custom, arguments.objects, arguments.namespace)
        for key, raw in objects:
            paused = ANNOTATION_PAUSED in (raw["metadata"].get("annotations") or {})
            print(f"{key}: {'the operator will write what has changed meanwhile' if paused else 'it is not paused'}")
        return await annotate(custom, objects, ANNOTATION_PAUSED, None, yes=arguments.yes, done="resumed")
