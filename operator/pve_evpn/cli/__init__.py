"""The command ``pve-evpn``: the operator itself, and what a person needs when there is none.

Each subcommand is a module with ``add`` (its arguments) and a function that gets them and returns the exit status.
"""

from __future__ import annotations

import argparse

from pve_evpn import __version__
from pve_evpn.cli import apply_clusters, orphan, release_finalizers, run


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and do it; the exit status."""
    parser = argparse.ArgumentParser(prog="pve-evpn", description="EVPN networks of Proxmox VE as Kubernetes objects.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run.add(commands)
    apply_clusters.add(commands)
    orphan.add(commands)
    release_finalizers.add(commands)
    commands.add_parser("version", help="print the version").set_defaults(do=_print_version)
    arguments = parser.parse_args(argv)
    status: int = arguments.do(arguments)
    return status


def _version() -> str:
    return f"pve-evpn-operator {__version__}"


def _print_version(_arguments: argparse.Namespace) -> int:
    print(_version())
    return 0
