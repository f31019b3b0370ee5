"""All commands as one typer application that imports the module of a command when it is needed, and no other."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.completion import completion_init
from typer.core import TyperGroup
from typer.main import get_command

from pve_evpn import __version__

#: What each command is for, under the headings of ``--help``. Its module has the same name.
COMMANDS = {
    "See what is there": {
        "status": "everything on one screen, and each cause once",
        "why": "why an object is not Ready, and what to do",
        "trace": "where a MAC, IP address, NIC or guest is, and who advertises it",
        "routes": "EVPN routes of a VNet, as show bgp l2vpn evpn route",
        "peers": "BGP EVPN sessions per node, as show bgp l2vpn evpn summary",
        "vni": "VNIs per node, as show evpn vni",
        "graph": "the network as svg, dot, mermaid or html",
        "ui": "the network as a live picture, in the browser",
    },
    "Before a change": {
        "plan": "what manifests would change in Proxmox",
        "export": "manifests for what Proxmox has already",
        "doctor": "whether an installation has what it needs",
    },
    "Act": {
        "approve": "approve the plan that waits",
        "pause": "stop writing to Proxmox for an object or a cluster",
        "resume": "end a pause",
        "reconcile": "ask for a sync now",
        "lock": "who holds Proxmox' SDN lock, and its removal",
        "orphan": "release objects in Kubernetes and leave their networks in Proxmox",
        "release-finalizers": "remove the finalizer from objects where no operator runs any more",
    },
    "Other": {
        "bundle": "one archive for a bug report",
        "completion": "a script that completes the command line",
        "run": "run the operator",
        "apply-clusters": "apply the ProxmoxClusters of a file (the Helm chart's `clusters`)",
        "version": "print the version",
    },
}
#: Exit status of a wrong command line; a command has another one as its ``USAGE``.
_USAGE = 2
#: The environment variable by which a shell asks what fits.
VARIABLE = "_PVE_EVPN_COMPLETE"
VERSION = f"pve-evpn-operator {__version__}"


class _Lazy(TyperGroup):
    """Knows the commands by name, for help and completion, and loads the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and get_command(_module(str(name)).app), rest


def program() -> Any:
    """The command line as typer's object; called with arguments it does what they say."""
    app = typer.Typer(cls=_Lazy, add_completion=False)
    app.callback(help="EVPN networks of Proxmox VE as Kubernetes objects.")(_options)
    for heading, commands in COMMANDS.items():
        for name, purpose in commands.items():
            app.command(name, help=purpose, rich_help_panel=heading)(_not_loaded)
    return get_command(app)


def invoke(given: Sequence[str]) -> int:
    """Do what the command line says; the exit status. A wrong one gets one line on stderr."""
    try:
        if VARIABLE in os.environ:
            completion_init()
        status = program()(args=list(given), prog_name=_program_name(), complete_var=VARIABLE, standalone_mode=False)
    except typer.TyperException as error:
        context: Any = getattr(error, "ctx", None)
        path = context.command_path if context else _program_name()
        message = " ".join(error.format_message().replace("Value error, ", "").split())
        print(f"{path}: {message.rstrip('.')}. See {path} --help", file=sys.stderr)
        name = context.info_name if context and context.parent else ""
        return int(getattr(_module(name), "USAGE", _USAGE)) if name else _USAGE
    except typer.Abort:
        return 1
    return int(status or 0)


def _print_version(asked: bool) -> None:
    if asked:
        print(VERSION)
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Those of the program itself; typer's callback has printed the version already."""


def _not_loaded() -> None:
    """Stands for a command until it is called."""


def _module(name: str) -> Any:
    return import_module(f"pve_evpn.cli.{name.replace('-', '_')}")


def _program_name() -> str:
    return "kubectl evpn" if Path(sys.argv[0]).name == "kubectl-evpn" else "pve-evpn"
