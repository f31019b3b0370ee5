"""The command ``pve-evpn``: the operator itself, and what a person asks of it. Also ``kubectl evpn``.

Each subcommand is a module with ``add`` (its arguments) and a function that gets them and returns the exit status. Only
the module of the command at hand is imported, so that ``pve-evpn run`` carries nothing of the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from pve_evpn import __version__

#: One module per command, with the same name; in the order of ``--help``.
COMMANDS = (
    "status", "why", "trace", "routes", "peers", "vni", "graph", "ui", "plan", "export", "doctor", "approve", "pause",
    "resume", "reconcile", "orphan", "release-finalizers", "bundle", "completion", "run", "apply-clusters",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and do it; the exit status."""
    given = sys.argv[1:] if argv is None else argv
    if argv is None and given[:1] == ["run"]:
        # structlog imports rich where it is installed; this makes that import fail, which structlog expects.
        sys.modules["rich"] = None  # type: ignore[assignment]  # Python's documented way to block an import
    arguments = parser_of(given[:1] if given[:1] and given[0] in COMMANDS else COMMANDS).parse_args(given)
    status: int = arguments.do(arguments)
    return status


def parser_of(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line with these commands; all of them for ``--help`` and for completion."""
    parser = _Parser(
        prog="kubectl evpn" if Path(sys.argv[0]).name == "kubectl-evpn" else "pve-evpn",
        description="EVPN networks of Proxmox VE as Kubernetes objects.",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in names:
        module = import_module(f"{__name__}.{name.replace('-', '_')}")
        module.add(commands)
        if len(names) == 1:
            parser.usage_status = commands.choices[name].usage_status = getattr(module, "USAGE", parser.usage_status)
    commands.add_parser("version", help="print the version").set_defaults(do=_print_version)
    return parser


class _Parser(argparse.ArgumentParser):
    """Ends with ``usage_status`` where the command line is wrong; a command has another one as its ``USAGE``."""

    usage_status = 2

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(self.usage_status, f"{self.prog}: error: {message}\n")


def _version() -> str:
    return f"pve-evpn-operator {__version__}"


def _print_version(_arguments: argparse.Namespace) -> int:
    print(_version())
    return 0
