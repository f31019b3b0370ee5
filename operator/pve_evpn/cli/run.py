"""``pve-evpn run``: the operator, with a flag for every setting."""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Annotated

import typer

from pve_evpn import settings
from pve_evpn.cli.operate import operate

#: Without rich, which the operator must not carry.
app = typer.Typer(add_completion=False, rich_markup_mode=None)


def run(**flags: str | None) -> int:
    """Run the operator until SIGTERM."""
    return operate(flags)


def _parameter(option: settings.Option) -> Parameter:
    # Any text: the model says what fits, in the same words for flags and variables.
    annotation = Annotated[str | None, typer.Option(option.flag, metavar="VALUE", help=option.help, show_default=False)]
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


run.__signature__ = Signature([*map(_parameter, settings.options())])  # type: ignore[attr-defined]  # typer reads it
app.command(epilog="Example: pve-evpn run --log-level DEBUG --http 127.0.0.1:8080")(run)
