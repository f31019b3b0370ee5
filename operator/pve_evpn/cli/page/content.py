"""What the page shows of a snapshot, as JSON in parts. Pure. A part is sent again only where it has changed."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from pve_evpn.api.conditions import APPROVABLE
from pve_evpn.cli.report import layout
from pve_evpn.cli.report.causes import Cause, Causes, causes_in, is_good
from pve_evpn.cli.report.graph import SEVERITY, Graph, graph_of, vertex_id
from pve_evpn.cli.report.model import Block, Cell, Facts, Lines, Report, plain
from pve_evpn.cli.report.snapshot import CLUSTER, Snapshot
from pve_evpn.cli.report.status import status_report
from pve_evpn.cli.report.trace import matching, trace_report
from pve_evpn.domain.objects import Resource
from pve_evpn.text import from_outside

#: Events of the timeline, the newest.
EVENTS = 300
_LONGEST = 2_000

Part = Any


def parts_of(snapshot: Snapshot) -> dict[str, Part]:
    """The page by part: ``summary``, ``graph``, ``plans``, ``timeline``, and one table per block of ``status``."""
    causes = causes_in(snapshot)
    report = status_report(snapshot, everything=True, causes=causes)
    return {
        "summary": _summary(snapshot, causes),
        "graph": graph_data(graph_of(snapshot)),
        "plans": [_plan(cluster) for cluster in snapshot.of_kind(CLUSTER) if cluster.status.pending_plan],
        "timeline": _timeline(snapshot),
        "tables": [block_data(block) for block in report.blocks if block.key not in ("empty", "summary")],
    }


def graph_data(graph: Graph) -> dict[str, Part]:
    """The graph for Cytoscape, with text cleaned, and where its vertices stand."""
    return {
        "vertices": [
            {**dataclasses.asdict(each), "label": _clean(each.label), "detail": _clean(each.detail)}
            for each in graph.vertices
        ],
        "edges": [{**dataclasses.asdict(each), "detail": _clean(each.detail)} for each in graph.edges],
        "severity": SEVERITY,
        **layout.as_data(graph),
    }


def report_data(report: Report) -> list[Part]:
    """Every block of a report, as the page draws blocks."""
    return [block_data(block) for block in report.blocks]


def block_data(block: Block) -> dict[str, Part]:
    """One block: its kind, title, and cells with the words people read, their tone and their plain value."""
    head = {"key": block.key, "title": block.title}
    if isinstance(block, Lines):
        return {
            **head,
            "type": "lines",
            "tone": block.tone.name.lower(),
            "lines": [_clean(line) for line in block.lines],
        }
    if isinstance(block, Facts):
        return {**head, "type": "facts", "rows": [[column.title, _cell(cell)] for column, cell in block.rows]}
    return {
        **head,
        "type": "table",
        "columns": [column.title for column in block.columns],
        "rows": [
            {"about": vertex_id(block.about[number]) if block.about else "", "cells": [_cell(cell) for cell in row]}
            for number, row in enumerate(block.rows)
        ],
    }


def found(snapshot: Snapshot, query: str) -> dict[str, Part] | None:
    """What ``trace`` says of a MAC, IP address, NIC or guest, and the vertices on its path; None where none is."""
    nics = matching(snapshot, query)
    if not nics:
        return None
    graph = graph_of(snapshot)
    path = {vertex_id(nic.key) for nic in nics}
    zones = {vertex.zone for vertex in graph.vertices if vertex.id in path and vertex.zone}
    path |= {edge.target for edge in graph.edges if edge.source in path}
    speakers = {
        name for nic in nics if nic.status.evpn for name in (nic.status.evpn.announced_by, nic.status.node) if name
    }
    path |= {vertex.id for vertex in graph.vertices if vertex.kind == "node" and vertex.label in speakers}
    return {"blocks": report_data(trace_report(snapshot, nics)), "path": sorted(path | zones)}


def _summary(snapshot: Snapshot, causes: Causes) -> dict[str, Part]:
    clusters = [
        {"name": each.key.name, "version": each.status.version, "nodes": each.status.nodes_online,
         "good": is_good(each), "paused": bool(each.paused)}
        for each in snapshot.of_kind(CLUSTER)
    ]  # fmt: skip
    states = Counter(map(_worth, causes.values()))
    return {
        "clusters": clusters, "objects": len(snapshot.objects), "notReady": states["wrong"], "unseen": states["unseen"],
        "unread": {kind: _clean(why) for kind, why in snapshot.unread.items()},
    }  # fmt: skip


def _worth(cause: Cause | None) -> str:
    return "good" if cause is None else "unseen" if cause.unknown else "wrong"


def _plan(cluster: Resource[Any]) -> dict[str, Part]:
    plan = cluster.status.pending_plan
    steps = zip_longest(plan.summary, plan.classes or (), plan.reasons or (), fillvalue="")
    return {
        "cluster": cluster.key.name,
        "hash": plan.hash,
        "class": plan.class_ or "",
        "since": plain(plan.since),
        "why": _clean(plan.message or ""),
        # An older operator gives no reasons, and shows only plans that wait for approval or a window.
        "approvable": plan.reasons is None or not APPROVABLE.isdisjoint(plan.reasons),
        "steps": [{"text": _clean(text), "class": class_, "reason": reason} for text, class_, reason in steps],
        "more": plan.truncated or 0,
    }


def _timeline(snapshot: Snapshot) -> list[Part]:
    """Events, the newest first: transactions of clusters, moves of MACs, sessions that come and go."""
    rows: list[Mapping[str, Part]] = [
        {
            "at": plain(event.at),
            "about": vertex_id(event.about),
            "name": str(event.about),
            "topic": "transaction" if event.about.kind == CLUSTER else "mac" if event.reason.startswith("Mac") else "",
            "reason": event.reason,
            "message": _clean(event.message),
            "warning": event.warning,
        }
        for event in snapshot.events[-EVENTS:]
    ]
    return list(reversed(rows))


def _cell(cell: Cell) -> dict[str, Part]:
    """The words, their tone, and for an age the moment it counts from: the browser lets it grow."""
    moment = {"at": plain(cell.value)} if cell.is_age else {}
    return {"text": _clean(cell), "tone": cell.tone.name.lower(), **moment}


def _clean(text: object) -> str:
    return from_outside(text, longest=_LONGEST)
