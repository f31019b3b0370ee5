"""``pve-evpn orphan``: the running operator lets go of objects and leaves what they stand for in Proxmox.

The command sets the annotation that names the object's uid, and changes nothing without ``--yes``.
"""

from __future__ import annotations

import argparse
from typing import Any

from pve_evpn.api.kinds import ANNOTATION_FORCE_ORPHAN
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.objects import DRY_RUN, Raw, add_arguments, change_each, find, left_behind
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.client import CustomObjects, api_client


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "orphan",
        help="release objects in Kubernetes and leave their networks in Proxmox",
        description="Have the running operator release objects and leave their networks in Proxmox. It sets "
        "the annotation pve-evpn.dev/force-orphan to the object's uid; the object is gone once it is deleted.",
    )
    add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_orphan(arguments)))


async def _orphan(arguments: argparse.Namespace) -> int:
    if not arguments.objects:
        raise Refusal("name at least one object as KIND/NAME")
    async with api_client() as api:
        custom = CustomObjects(api)
        objects = await find(custom, arguments.objects, arguments.namespace)
        for key, raw in objects:
            print(f"{key}: {left_behind(raw)}")
        if not arguments.yes:
            print(DRY_RUN)
            return 0

        async def mark(key: ObjectKey, raw: Raw) -> bool:
            metadata = {"annotations": {ANNOTATION_FORCE_ORPHAN: raw["metadata"]["uid"]}}
            return await custom.patch(key, {"metadata": metadata}, status=False) is not None

        return await change_each(objects, mark, "marked; delete it, and the operator releases it")
