"""A graph as Graphviz, Mermaid or SVG text. Pure; labels hold text of others, so every writer escapes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from xml.sax.saxutils import escape, quoteattr

from pve_evpn.cli.report.graph import Edge, EdgeKind, Graph, State, Vertex, VertexKind
from pve_evpn.cli.report.layout import places_of
from pve_evpn.text import from_outside

#: Fill and line of each state, as in the page's light theme (page.css): readable in black and white too, since the
#: line's style differs.
_COLOURS: Mapping[State, tuple[str, str]] = {
    State.GOOD: ("#e3f4e7", "#1b7f3b"),
    State.WAITING: ("#fdf1d7", "#8a5700"),
    State.BAD: ("#fde3e1", "#b3261e"),
    State.UNKNOWN: ("#ececf0", "#565b68"),
}
#: Edges that are not drawn faint.
_STRONG = frozenset({EdgeKind.SESSION, EdgeKind.EXIT})
_DOT_SHAPES = {
    VertexKind.NODE: "box", VertexKind.PEER: "box", VertexKind.ZONE: "hexagon", VertexKind.VNET: "ellipse",
    VertexKind.NIC: "plain", VertexKind.MORE: "ellipse", VertexKind.FABRIC: "octagon", VertexKind.CONTROLLER: "box",
    VertexKind.POLICY: "note", VertexKind.SERVICE: "cylinder",
}  # fmt: skip
_MERMAID_BRACKETS = {
    VertexKind.NODE: ("[", "]"), VertexKind.PEER: ("[/", "/]"), VertexKind.ZONE: ("{{", "}}"),
    VertexKind.VNET: ("([", "])"), VertexKind.NIC: ("(", ")"), VertexKind.MORE: ("([", "])"),
    VertexKind.FABRIC: ("[[", "]]"), VertexKind.CONTROLLER: ("[", "]"), VertexKind.POLICY: (">", "]"),
    VertexKind.SERVICE: ("[(", ")]"),
}  # fmt: skip


def as_dot(graph: Graph) -> str:
    """For Graphviz: ``dot -Tsvg``."""
    lines = ["graph evpn {", '  graph [overlap=false, splines=true]; node [fontname="sans-serif", style=filled];']
    for vertex in graph.vertices:
        fill, line = _COLOURS[vertex.state]
        lines.append(
            f"  {_dot(vertex.id)} [label={_dot(_label(vertex))}, shape={_DOT_SHAPES[vertex.kind]}, "
            f'fillcolor="{fill}", color="{line}"];'
        )
    for edge in graph.edges:
        style = "solid" if edge.state is State.GOOD else "dashed"
        lines.append(
            f'  {_dot(edge.source)} -- {_dot(edge.target)} [color="{_COLOURS[edge.state][1]}", style={style}, '
            f"{f'label={_dot(_clean(edge.label))}, ' if edge.label else ''}{'penwidth=3, ' if edge.primary else ''}"
            f"tooltip={_dot(_clean(edge.detail))}];"
        )
    return "\n".join((*lines, "}")) + "\n"


def as_mermaid(graph: Graph) -> str:
    """For Markdown: a ``mermaid`` block of GitHub and GitLab."""
    names = {vertex.id: f"v{number}" for number, vertex in enumerate(graph.vertices)}
    lines = ["graph LR"]
    for vertex in graph.vertices:
        begin, end = _MERMAID_BRACKETS[vertex.kind]
        lines.append(f'  {names[vertex.id]}{begin}"{_mermaid(_label(vertex))}"{end}:::{vertex.state.value}')
    for edge in graph.edges:
        arrow = "-.-" if edge.state is not State.GOOD else "===" if edge.primary else "---"
        arrow += f'|"{_mermaid(_clean(edge.label))}"|' if edge.label else ""
        lines.append(f"  {names[edge.source]} {arrow} {names[edge.target]}")
    for state, (fill, line) in _COLOURS.items():
        lines.append(f"  classDef {state.value} fill:{fill},stroke:{line},color:#16181d")
    return "\n".join(lines) + "\n"


def as_svg(graph: Graph) -> str:
    """A picture by itself, without scripts and fonts of its own."""
    places = places_of(graph)
    if not places:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>\n'
    left, top = (min(place[axis] for place in places.values()) - 90 for axis in (0, 1))
    right, bottom = (max(place[axis] for place in places.values()) + 90 for axis in (0, 1))
    width, height = right - left, bottom - top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} {top:.0f} {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="12" text-anchor="middle">',
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += [_svg_edge(edge, places) for edge in graph.edges]
    parts += [_svg_vertex(vertex, *places[vertex.id]) for vertex in graph.vertices]
    return "\n".join((*parts, "</svg>")) + "\n"


def _svg_edge(edge: Edge, places: Mapping[str, tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    faint = (
        ""
        if edge.kind in _STRONG or (edge.kind is EdgeKind.UNDERLAY and edge.state is State.BAD)
        else ' stroke-opacity="0.35"'
    )
    dashed = "" if edge.state is State.GOOD else ' stroke-dasharray="5 4"'
    thick = ' stroke-width="3"' if edge.primary else ""
    title = f"<title>{escape(_clean(edge.detail))}</title>" if edge.detail else ""
    beside = ""
    if edge.label:  # nearer the zone's end, where lines of different nodes are apart from the circle's
        x, y = x1 + (x2 - x1) * 0.62, y1 + (y2 - y1) * 0.62 - 4
        beside = f'<text x="{x:.0f}" y="{y:.0f}" font-size="9" fill="#3a3f4b">{escape(_clean(edge.label))}</text>'
    return (
        f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" '
        f'stroke="{_COLOURS[edge.state][1]}"{faint}{dashed}{thick}>{title}</line>{beside}'
    )


def _svg_vertex(vertex: Vertex, x: float, y: float) -> str:
    fill, line = _COLOURS[vertex.state]
    curve = {VertexKind.NODE: 4, VertexKind.PEER: 4, VertexKind.ZONE: 10}.get(vertex.kind, 18)
    label, detail = escape(_clean(vertex.label)), escape(_clean(vertex.detail))
    second = f'<text x="{x:.0f}" y="{y + 12:.0f}" font-size="9" fill="#3a3f4b">{detail}</text>' if detail else ""
    return (
        f"<g data-id={quoteattr(vertex.id)}><title>{escape(_clean(vertex.label))}: {vertex.state.value}</title>"
        f'<rect x="{x - 78:.0f}" y="{y - 18:.0f}" width="156" height="36" rx="{curve}" fill="{fill}" stroke="{line}"/>'
        f'<text x="{x:.0f}" y="{y - (2 if detail else -4):.0f}" fill="#16181d">{label}</text>{second}</g>'
    )


def _label(vertex: Vertex) -> str:
    return f"{_clean(vertex.label)}\n{_clean(vertex.detail)}" if vertex.detail else _clean(vertex.label)


def _clean(text: str) -> str:
    return from_outside(text, longest=80)


def _dot(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{quoted}"'


def _mermaid(text: str) -> str:
    entities = {"&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "`": "#96;", "\n": "<br/>"}
    return "".join(entities.get(character, character) for character in text)


#: Writers by name, as ``-o`` takes them; ``html`` is the page's own (:mod:`pve_evpn.cli.page`).
WRITERS: Mapping[str, Callable[[Graph], str]] = {"svg": as_svg, "dot": as_dot, "mermaid": as_mermaid}
