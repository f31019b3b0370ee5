"""The command ``pve-evpn``: the operator itself, and what people ask of it. Also ``kubectl evpn``.

Each subcommand is a module of the same name with a typer application ``app``; :mod:`pve_evpn.cli.program` lists them.
Only the module of the command at hand is imported. ``pve-evpn run`` without flags, which is how the operator's
container starts, does not import typer either: that is 1.1 MB of the operator's memory.
"""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and do it; the exit status."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["run"]:
        if argv is None:
            # structlog imports rich where it is installed; this makes that import fail, which structlog expects.
            sys.modules["rich"] = None  # type: ignore[assignment]  # Python's documented way to block an import
        if len(given) == 1:
            from pve_evpn.cli.operate import operate

            return operate({})
    from pve_evpn.cli.program import invoke

    return invoke(given)
