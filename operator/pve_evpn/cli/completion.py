"""``pve-evpn completion``: typer's own script, which asks the program itself what fits."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from typer.completion import completion_init, shell_complete

from pve_evpn.cli.program import VARIABLE, program

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn completion bash > ~/.local/share/bash-completion/completions/pve-evpn")
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print a script for the shell: TAB then completes commands, options, and names of objects from the cluster. For
    `kubectl evpn` no script is needed, only kubectl's own completion and kubectl_complete-evpn on the PATH.
    """
    completion_init()
    return shell_complete(program(), {}, "pve-evpn", VARIABLE, f"source_{shell}")
