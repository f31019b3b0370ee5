"""``pve-evpn run``: the operator."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from typing import Any

from pve_evpn import __version__, logs, settings
from pve_evpn.cli.failures import Refusal, explained
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
    logs.configure(chosen.log_level, chosen.log_format)
    log.info("pve-evpn-operator %s starts", __version__, extra=chosen.model_dump())
    try:
        with explained():
            led_to_the_end = asyncio.run(run(chosen))
    except Refusal as error:
        log.error("%s", error)
        return 1
    if led_to_the_end:
        return 0
    log.error("ending, so that this replica starts again as a standby")
    logging.shutdown()
    # Threads that still wait for an answer from Proxmox would keep the process for up to their timeout.
    os._exit(1)
