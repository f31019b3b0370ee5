"""Starts the operator. Without typer, rich or any command: all of this stays in the operator's memory."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping

from pve_evpn import __version__, logs, settings
from pve_evpn.cli.failures import Refusal, explained
from pve_evpn.kube.app import run

log = logging.getLogger(__name__)


def operate(flags: Mapping[str, str | None]) -> int:
    """Run the operator until SIGTERM; the exit status.

    Args:
        flags: Settings of the command line by the field's name; the others come from the environment.
    """
    try:
        chosen = settings.load(flags)
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
