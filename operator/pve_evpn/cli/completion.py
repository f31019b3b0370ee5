"""``pve-evpn completion``: typer's own scripts, which ask the program itself what fits."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from typer.completion import get_completion_script

from pve_evpn.cli.program import VARIABLE

#: zsh loads a script of its ``fpath`` with the first TAB as the function that completes, which has to do so then too.
_AUTOLOADED = """
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _pve_evpn_completion "$@"
fi"""

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn completion bash > ~/.local/share/bash-completion/completions/pve-evpn")
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print a script for the shell: TAB then completes commands, options, and names of objects from the cluster. For
    `kubectl evpn` no script is needed, only kubectl's own completion and kubectl_complete-evpn on the PATH.
    """
    script = get_completion_script(prog_name="pve-evpn", complete_var=VARIABLE, shell=shell)
    print(script + _AUTOLOADED if shell == "zsh" else script)
    return 0
