"""``pve-evpn resume``: ends a pause."""

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
        "resume",
        help="end a pause",
        description="Let the operator write to Proxmox again for a paused object or cluster. "
        "Nothing is changed without --yes.",
        epilog="example: pve-evpn resume pvec/pve --yes",
    )
    add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_resume(arguments)))


async def _resume(arguments: argparse.Namespace) -> int:
    return await annotate_named(arguments, ANNOTATION_PAUSED, lambda _raw: None, effect=_effect, done="resumed")


def _effect(_key: ObjectKey, raw: Raw) -> str:
    paused = ANNOTATION_PAUSED in (raw["metadata"].get("annotations") or {})
    return "the operator will write what has changed meanwhile" if paused else "it is not paused"
