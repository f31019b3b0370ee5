"""``python -m pve_evpn run``: the composition root and the operator's command line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from pve_evpn import __version__
from pve_evpn.kube.run import run
from pve_evpn.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and run; the exit status."""
    parser = argparse.ArgumentParser(prog="pve-evpn", description="EVPN networks of Proxmox VE as Kubernetes objects.")
    parser.add_argument("--version", action="version", version=f"pve-evpn-operator {__version__}")
    parser.add_subparsers(dest="command", required=True).add_parser("run", help="run the operator")
    parser.parse_args(argv)
    settings = Settings.from_environment()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # kopf tells of each event it sees; proxmoxer and urllib3 of each request, with its parameters.
    for chatty in ("kopf", "proxmoxer", "urllib3", "kubernetes"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
