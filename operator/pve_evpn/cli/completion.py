"""``pve-evpn completion``: a script that completes the command line in a shell."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import shtab

from pve_evpn.cli import parser_of


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "completion",
        help="a script that completes the command line",
        description="Print a script for the shell: commands, options and their values are then completed with TAB.",
        epilog="example: pve-evpn completion bash > ~/.local/share/bash-completion/completions/pve-evpn",
    )
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS, help="the shell")
    parser.set_defaults(do=_completion)


def _completion(arguments: argparse.Namespace) -> int:
    sys.stdout.write(shtab.complete(parser_of(), arguments.shell) + "\n")
    return 0
