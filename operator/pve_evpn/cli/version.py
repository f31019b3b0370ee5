"""``pve-evpn version``: as ``--version``."""

from __future__ import annotations

import typer

from pve_evpn.cli.program import VERSION

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn version")
def version() -> int:
    """Print the version of this program."""
    print(VERSION)
    return 0
