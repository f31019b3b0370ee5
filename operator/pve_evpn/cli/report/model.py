"""A report: tables and lines that ``cli.output`` prints as text, Markdown, JSON or YAML.

JSON and YAML are made from the same cells: a table is a list of mappings by column key, a fact list one mapping.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pve_evpn.domain.objects import ObjectKey

Value = str | int | bool | datetime | None


class Tone(StrEnum):
    """How a cell is coloured. Colour never carries meaning alone: the words say the same."""

    PLAIN = ""
    GOOD = "green"
    WAITING = "yellow"
    BAD = "bold red"
    FAINT = "dim"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value. ``shown`` is its text for people where that differs; ``is_age``: it grows by itself."""

    value: Value
    tone: Tone = Tone.PLAIN
    shown: str | None = None
    is_age: bool = False

    def __str__(self) -> str:
        if self.shown is not None:
            return self.shown
        if self.value is None:
            return ""
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Column:
    """``key`` names it in JSON, ``title`` for people. ``wraps``: long text, which may take several lines."""

    key: str
    title: str
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """``rows`` is everything; people get the rows that ``shown`` counts, and ``note`` says what is left out.

    ``about``: the object of each row, where rows are about objects; the page makes links of them.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    shown: tuple[int, ...] | None = None
    note: str = ""
    about: tuple[ObjectKey, ...] = ()

    def data(self) -> list[dict[str, Any]]:
        return [
            {column.key: plain(cell.value) for column, cell in zip(self.columns, row, strict=True)} for row in self.rows
        ]

    @property
    def shown_rows(self) -> tuple[tuple[Cell, ...], ...]:
        return self.rows if self.shown is None else tuple(self.rows[index] for index in self.shown)


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, one per line."""

    key: str
    title: str
    rows: tuple[tuple[Column, Cell], ...]

    def data(self) -> dict[str, Any]:
        return {column.key: plain(cell.value) for column, cell in self.rows}


@dataclass(frozen=True, slots=True)
class Lines:
    """Sentences."""

    key: str
    title: str
    lines: tuple[str, ...]
    tone: Tone = Tone.PLAIN

    def data(self) -> list[str]:
        return list(self.lines)


Block = Table | Facts | Lines


@dataclass(frozen=True, slots=True)
class Report:
    """``good`` decides the exit status: whether everything the report is about is as it should be."""

    blocks: tuple[Block, ...] = field(default=())
    good: bool = True

    def data(self) -> dict[str, Any]:
        return {block.key: block.data() for block in self.blocks}


def columns(*pairs: tuple[str, str], wraps: Iterable[str] = ()) -> tuple[Column, ...]:
    """Columns from (key, title); those in ``wraps`` may take several lines."""
    long = frozenset(wraps)
    return tuple(Column(key, title, key in long) for key, title in pairs)


def plain(value: Value) -> Any:
    """The value as JSON has it."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value) if isinstance(value, str) else value  # an enum's member becomes plain text


def age(moment: datetime | None, now: datetime) -> Cell:
    """A time that people see as its age, in kubectl's short form."""
    if moment is None:
        return Cell(None)
    return Cell(moment, shown=duration((now - moment).total_seconds()), is_age=True)


def duration(seconds: float) -> str:
    """45s, 12m, 5h, 3d: the largest unit that is at least two, as kubectl shows ages."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
