"""What a query asks for: metric names, the labels it selects by, and those it groups by."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SELECTOR = re.compile(r"\b(pve_evpn_[a-z0-9_]+)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_LABEL_VALUES = re.compile(r"label_values\((.+),\s*([a-z_]+)\)$")


def asked(query: str) -> Iterator[tuple[str, set[str]]]:
    """Metric by metric, with the labels it must have for the query to mean anything.

    Labels that a query groups by belong to every metric in it: a grouping by a label that one side lacks joins
    everything of that side into one.
    """
    values = _LABEL_VALUES.match(query)
    grouped = {values[2]} if values else set()
    for group in _GROUPING.findall(query):
        grouped |= {label.strip() for label in group.split(",") if label.strip()}
    for name, selector in _SELECTOR.findall(query):
        yield name, grouped | set(_LABEL.findall(selector))
