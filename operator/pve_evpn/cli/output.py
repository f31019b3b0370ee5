"""A report on stdout: text (rich), Markdown, JSON or YAML.

rich is imported where text is printed and nowhere else: ``pve-evpn run`` must not carry it.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import yaml

from pve_evpn.cli.report.model import Block, Cell, Facts, Lines, Report, Table, Tone
from pve_evpn.text import from_outside

FORMATS = ("text", "json", "yaml", "markdown")
#: Wide enough that no line of a piped report is wrapped.
_UNLIMITED = 100_000
_LONGEST = 2_000


def write(report: Report, form: str, out: TextIO | None = None) -> None:
    """Print the report in one of :data:`FORMATS`."""
    out = out or sys.stdout
    out.write(rendered(report, form, coloured=_coloured(out), width=_width(out)))
    out.flush()


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show that something takes its time, on a terminal; nothing where stderr is a file or a pipe.

    Yields a function to call with what is being done next.
    """
    if not sys.stderr.isatty():
        yield lambda _what: None
        return
    from rich.console import Console
    from rich.text import Text

    def shown(what: str) -> Text:
        return Text(f"{clean(what)} ...")

    with Console(stderr=True).status(shown(what)) as status:
        yield lambda what: status.update(shown(what))


def rendered(report: Report, form: str, *, coloured: bool = False, width: int = _UNLIMITED) -> str:
    """The report as text that ends in a line break."""
    if form == "json":
        return json.dumps(report.data(), indent=2, ensure_ascii=False) + "\n"
    if form == "yaml":
        return str(yaml.safe_dump(report.data(), sort_keys=False, allow_unicode=True, width=120))
    if form == "markdown":
        return "\n".join(filter(None, map(_markdown, report.blocks)))
    return _text(report, coloured, width)


def _coloured(out: TextIO) -> bool:
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _width(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns if out.isatty() else _UNLIMITED
    except OSError:
        return _UNLIMITED


def clean(cell: object) -> str:
    """Statuses and Events hold text of others: nothing of it may steer the terminal."""
    return from_outside(cell, longest=_LONGEST)


# --- text -------------------------------------------------------------------------------------------------------


def _text(report: Report, coloured: bool, width: int) -> str:
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(
        file=buffer, width=width, force_terminal=coloured, no_color=not coloured, highlight=False, emoji=False,
        color_system="standard" if coloured else None,
    )  # fmt: skip
    for number, block in enumerate(report.blocks):
        if number:
            console.print()
        _print(console, block)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _print(console: Any, block: Block) -> None:
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    if block.title:
        console.print(Text(block.title, style="bold"))
    if isinstance(block, Lines):
        for line in block.lines:
            console.print(Text(clean(line), style=block.tone))
        return
    grid = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=isinstance(block, Table))
    if isinstance(block, Facts):
        grid.add_column(no_wrap=True, style=Tone.FAINT)
        grid.add_column(overflow="fold")
        for column, cell in block.rows:
            grid.add_row(Text(column.title), _styled(cell))
    else:
        for column in block.columns:
            grid.add_column(
                Text(column.title), no_wrap=not column.wraps, overflow="fold" if column.wraps else "ellipsis",
                header_style=Tone.FAINT,
            )  # fmt: skip
        for row in block.shown_rows:
            grid.add_row(*map(_styled, row))
    console.print(Padding(grid, (0, 0, 0, 2)))
    if isinstance(block, Table) and block.note:
        console.print(Text(f"  {block.note}", style=Tone.FAINT))


def _styled(cell: Cell) -> Any:
    from rich.text import Text

    return Text(clean(cell), style=cell.tone)


# --- Markdown ---------------------------------------------------------------------------------------------------


def _markdown(block: Block) -> str:
    title = f"### {block.title.capitalize()}\n\n" if block.title else ""
    if isinstance(block, Lines):
        return title + "".join(f"- {_escaped(line)}\n" for line in block.lines)
    if isinstance(block, Facts):
        return title + "".join(f"- **{column.title}**: {_escaped(cell)}\n" for column, cell in block.rows)
    rows = [[column.title.capitalize() for column in block.columns], ["---"] * len(block.columns)]
    rows += [[_escaped(cell) for cell in row] for row in block.rows]
    return title + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _escaped(cell: object) -> str:
    """Text that cannot end a table cell, begin HTML, make a link or an image, or mention somebody."""
    text = clean(cell).replace("&", "&amp;").replace("@", "&#64;")
    for character in "\\`*_[]<>|!":
        text = text.replace(character, f"\\{character}")
    return text
