"""``pve-evpn orphan``: the running operator lets go of objects and leaves what they stand for in Proxmox.

The command sets the annotation that names the object's uid, and changes nothing without ``--yes``.
"""

from __future__ import annotations

import argparse
from typing import Any

from pve_evpn.api.kinds import ANNOTATION_FORCE_ORPHAN
from pve_evpn.cli.annotate import annotate_named
from pve_evpn.cli.failures import guarded
from pve_evpn.cli.objects import add_arguments, left_behind


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
    return await annotate_named(
        arguments,
        ANNOTATION_FORCE_ORPHAN,
        lambda raw: str(raw["metadata"]["uid"]),
        effect=lambda _key, raw: left_behind(raw),
        done="marked; delete it, and the operator releases it",
    )
