"""``kubectl_complete-evpn``: what kubectl runs to complete ``kubectl evpn``, where it is on the PATH.

kubectl gives the words so far, the last one unfinished, and expects a completion per line, with a tab before its
explanation, and a last line with cobra's directive.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys

from pve_evpn.cli.program import VARIABLE, invoke

#: Cobra's directives: complete files where nothing is offered; no files otherwise.
_FILES, _NO_FILES = 0, 4


def main() -> int:
    """Print what fits; the exit status."""
    *done, last = sys.argv[1:] or [""]
    # typer's protocol for fish has cobra's lines.
    os.environ[VARIABLE] = "complete_fish"
    os.environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    os.environ["_TYPER_COMPLETE_ARGS"] = f"{shlex.join(['pve-evpn', *done])} {last}"
    offered = io.StringIO()
    with contextlib.redirect_stdout(offered), contextlib.suppress(SystemExit):
        invoke([])
    lines = [line for line in offered.getvalue().splitlines() if line]
    print(*lines, f":{_NO_FILES if lines else _FILES}", sep="\n")
    return 0
