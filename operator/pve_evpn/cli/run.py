"""``pve-evpn run``: the operator."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from typing import Any

from pve_evpn import settings
from pve_evpn.kube.app import run

log = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser("run", help="run the operator", description="Run the operator until SIGTERM.")
    settings.add_options(parser)
    parser.set_defaults(do=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        chosen = settings.load(arguments)
    except ValueError as error:
        print(f"pve-evpn run: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=chosen.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # At INFO it tells of every channel of every poll.
    logging.getLogger("asyncssh").setLevel(max(logging.WARNING, logging.getLogger().level))
    # kopf tells of each event it sees; proxmoxer and urllib3 of each request, with its parameters.
    for chatty in ("kopf", "proxmoxer", "urllib3", "kubernetes"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if asyncio.run(run(chosen)):
        return 0
    log.error("ending, so that this replica starts again as a standby")
    logging.shutdown()
    # Threads that still wait for an answer from Proxmox would keep the process for up to their timeout.
    os._exit(1)
