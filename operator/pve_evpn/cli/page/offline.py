"""The picture as one HTML file that needs no server and no network: for a ticket or a wiki."""

from __future__ import annotations

import json

from pve_evpn.cli.page import static_file
from pve_evpn.cli.page.content import graph_data
from pve_evpn.cli.report.graph import Graph

_START = """
const picture = new Picture(document.getElementById("picture"));
picture.update(JSON.parse(document.getElementById("graph").textContent));
"""


def as_html(graph: Graph) -> str:
    """The graph with the page's own picture; everything is inlined."""
    # "</" would end a script element early; in JSON and in JavaScript's strings "<\\/" means the same.
    data = json.dumps(graph_data(graph)).replace("</", "<\\/")
    library = _static("cytoscape.min.js").replace("</script", "<\\/script")
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>EVPN network</title>',
            f"<style>{_static('page.css')}</style>",
            f'<style id="__________cytoscape_stylesheet">{_static("cytoscape.css")}</style></head>',
            '<body class="alone"><div id="picture" tabindex="0" role="application" aria-label="The network"></div>',
            f'<script type="application/json" id="graph">{data}</script>',
            f"<script>{library}</script>",
            f'<script type="module">{_static("picture.js")}{_START}</script>',
            "</body></html>\n",
        )
    )


def _static(name: str) -> str:
    return static_file(name).decode()
