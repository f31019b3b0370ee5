// The network as a graph, drawn by Cytoscape. Nodes stand on a circle, zones in a column beside it, the VNets of opened
// zones beside their zone and NICs beside their VNet; routers outside stand left of the circle, fabrics and policies
// below it, services below the zones: the same network always looks the same, however large it is.

const ROW = 54;
const VNETS = 40; // of an opened zone that are drawn one by one; the tables hold them all
const SMALL = 30; // VNets up to which every zone is open from the start
const WIDE = { node: 124, peer: 116, zone: 110, vnet: 104, nic: 158, more: 110,
  fabric: 156, controller: 136, policy: 116, service: 110 };
const NICS_BESIDE = 2; // NICs of a VNet that stand in one row

export class Picture {
  // `chosen(id)` is called when a person chooses a vertex, with "" for none.
  constructor(container, chosen = () => {}) {
    this.graph = { vertices: [], edges: [] };
    this.opened = new Map();
    this.path = new Set();
    this.current = "";
    this.chosen = chosen;
    this.cy = globalThis.cytoscape({
      container, style: style(), layout: { name: "preset" }, minZoom: 0.05, maxZoom: 3,
      autoungrabify: true, boxSelectionEnabled: false,
    });
    this.cy.on("tap", "node", (event) => this.choose(event.target.id()));
    this.cy.on("tap", (event) => { if (event.target === this.cy) this.choose(""); });
    container.addEventListener("keydown", (event) => this.#key(event));
  }

  restyle() { this.cy.style(style()); }

  fit() { this.cy.fit(undefined, 30); }

  update(graph) {
    const first = this.graph.vertices.length === 0;
    this.graph = graph;
    if (this.current && !graph.vertices.some((vertex) => vertex.id === this.current)) this.current = "";
    this.draw();
    if (first) this.fit();
  }

  // Light up a path; an empty list ends that. Zones on it are opened.
  highlight(ids) {
    this.path = new Set(ids);
    for (const vertex of this.graph.vertices) {
      if (this.path.has(vertex.id) && vertex.zone) this.opened.set(vertex.zone, true);
    }
    this.draw();
    const lit = this.cy.nodes(".path");
    const seen = this.cy.nodes().length <= SMALL ? this.cy.nodes() : lit; // of a small network everything stays in sight
    if (lit.length) this.cy.animate({ fit: { eles: seen, padding: 40 }, duration: reduced() ? 0 : 250 });
  }

  choose(id, { quiet = false } = {}) {
    const vertex = this.graph.vertices.find((each) => each.id === id);
    if (vertex?.kind === "zone" && this.current === id) this.opened.set(id, !this.#open(id));
    this.current = vertex || id.startsWith("more/") ? id : "";
    if (vertex?.zone) this.opened.set(vertex.zone, true);
    this.draw();
    if (!quiet) this.chosen(vertex ? id : "");
  }

  #open(zone) {
    const small = this.graph.vertices.filter((vertex) => vertex.kind === "vnet").length <= SMALL;
    return this.opened.get(zone) ?? small;
  }

  draw() {
    const places = this.#places();
    const edges = this.#edges(places);
    const wanted = new Set([...places.keys(), ...edges.map((edge) => edge.data.id)]);
    this.cy.batch(() => {
      this.cy.elements().filter((each) => !wanted.has(each.id())).remove();
      for (const [id, { vertex, x, y }] of places) {
        const data = { id, label: vertex.detail ? `${vertex.label}\n${vertex.detail}` : vertex.label,
          width: WIDE[vertex.kind] };
        const classes = [vertex.kind, vertex.state, this.path.has(id) ? "path" : "", id === this.current ? "current" : ""];
        this.#put({ group: "nodes", data, classes, position: { x, y } });
      }
      for (const edge of edges) this.#put(edge);
    });
  }

  #put(made) {
    const existing = this.cy.getElementById(made.data.id);
    const classes = made.classes.filter(Boolean).join(" ");
    if (existing.empty()) {
      this.cy.add({ ...made, classes });
      return;
    }
    existing.data(made.data);
    existing.classes(classes);
    if (made.position) existing.position(made.position);
  }

  // Vertices that are drawn, with their places.
  #places() {
    const kinds = Object.groupBy ? Object.groupBy(this.graph.vertices, (vertex) => vertex.kind)
      : grouped(this.graph.vertices);
    const places = new Map();
    const radius = Math.max(150, (kinds.node ?? []).length * 26);
    circle(places, [...(kinds.node ?? [])].sort((a, b) => compare(a.label, b.label)), radius);
    this.#below(places, kinds, radius);
    this.#outside(places, kinds, radius);
    circle(places, (kinds.peer ?? []).filter((peer) => !places.has(peer.id)), (kinds.node ?? []).length ? radius * 0.45 : radius);
    const nicsOf = new Map();
    const nics = new Map((kinds.nic ?? []).map((vertex) => [vertex.id, vertex]));
    for (const edge of this.graph.edges) {
      if (edge.kind === "on" && nics.has(edge.source) && edge.target.startsWith("VNet/")) {
        if (!nicsOf.has(edge.target)) nicsOf.set(edge.target, []);
        nicsOf.get(edge.target).push(nics.get(edge.source));
      }
    }
    const few = nics.size <= SMALL;
    const x = radius + 190;
    let y = -radius;
    const zones = kinds.zone ?? [];
    for (const zone of zones) {
      const top = y;
      const vnets = (kinds.vnet ?? []).filter((vertex) => vertex.zone === zone.id);
      const isOpen = this.#open(zone.id);
      // VNets on the path or chosen come first, then those that are not good.
      const rank = (vertex) => (this.path.has(vertex.id) || vertex.id === this.current ? 0 : vertex.state === "good" ? 2 : 1);
      const drawn = isOpen ? [...vnets].sort((a, b) => rank(a) - rank(b) || compare(a.label, b.label)).slice(0, VNETS) : [];
      for (const vnet of drawn) {
        places.set(vnet.id, { vertex: vnet, x: x + 160, y });
        const own = nicsOf.get(vnet.id) ?? [];
        const all = few || vnet.id === this.current || own.some((nic) => nic.id === this.current);
        const shown = own.filter((nic) => all || this.path.has(nic.id)).slice(0, VNETS);
        shown.forEach((nic, number) => places.set(nic.id,
          { vertex: nic, x: x + 320 + 172 * (number % NICS_BESIDE), y: y + ROW * Math.floor(number / NICS_BESIDE) }));
        y += ROW * Math.max(1, Math.ceil(shown.length / NICS_BESIDE));
      }
      const rest = vnets.length - drawn.length;
      if (rest > 0) {
        const worst = vnets.some((vertex) => vertex.state === "bad") ? "bad" : "good";
        const label = isOpen ? `${rest} more VNets` : `${rest} VNets`;
        places.set(`more/${zone.id}`, { vertex: { kind: "more", label, detail: "", state: worst }, x: x + 160, y });
        y += ROW;
      }
      places.set(zone.id, { vertex: zone, x, y: top + Math.max(0, y - top - ROW) / 2 });
      y = Math.max(y, top + ROW) + 20;
    }
    for (const service of kinds.service ?? []) {
      places.set(service.id, { vertex: service, x, y });
      y += ROW;
    }
    return places;
  }

  // Rows below the circle, as wide as it is: fabrics with the controllers that run over them, then policies.
  #below(places, kinds, radius) {
    const across = 1 + Math.floor((2 * radius) / 170);
    const rank = (vertex) => (this.path.has(vertex.id) || vertex.id === this.current ? 0 : vertex.state === "good" ? 2 : 1);
    const policies = [...(kinds.policy ?? [])].sort((a, b) => rank(a) - rank(b) || compare(a.label, b.label));
    const rest = policies.splice(VNETS);
    if (rest.length) {
      const state = rest.some((vertex) => vertex.state === "bad") ? "bad" : "good";
      policies.push({ id: "more/policy", kind: "more", label: `${rest.length} more policies`, detail: "", state });
    }
    let y = radius + 90;
    for (const row of [[...(kinds.fabric ?? []), ...(kinds.controller ?? []).filter(isEvpn)], policies]) {
      row.forEach((vertex, number) => places.set(vertex.id,
        { vertex, x: 170 * (number % across) - radius, y: y + ROW * Math.floor(number / across) }));
      y += ROW * Math.ceil(row.length / across) + (row.length ? 24 : 0);
    }
  }

  // Controllers of single nodes in a column left of the circle, the routers that only they talk to beside it.
  #outside(places, kinds, radius) {
    const peers = new Map((kinds.peer ?? []).map((vertex) => [vertex.id, vertex]));
    const routers = (kinds.controller ?? []).filter((vertex) => !isEvpn(vertex));
    const own = new Set(routers.map((vertex) => vertex.id));
    const sessions = this.graph.edges.filter((edge) => edge.kind === "session");
    const others = new Set(sessions.filter((edge) => !own.has(edge.source)).flatMap((edge) => [edge.source, edge.target]));
    const outside = new Set(sessions.filter((edge) => own.has(edge.source) && !others.has(edge.target))
      .map((edge) => edge.target));
    [routers, [...outside].map((id) => peers.get(id)).filter(Boolean)].forEach((vertices, column) =>
      vertices.forEach((vertex, number) => places.set(vertex.id,
        { vertex, x: -radius - 190 - 160 * column, y: ROW * (number - (vertices.length - 1) / 2) })));
  }

  #edges(places) {
    const nodes = this.graph.vertices.filter((vertex) => vertex.kind === "node").length;
    const zones = this.graph.vertices.filter((vertex) => vertex.kind === "zone").length;
    const chosenZone = this.graph.vertices.find((vertex) => vertex.id === this.current)?.zone || this.current;
    const made = [];
    for (const edge of this.graph.edges) {
      if (!places.has(edge.source) || !places.has(edge.target)) continue;
      const lit = this.path.has(edge.source) && this.path.has(edge.target);
      const chosen = edge.source === this.current || edge.target === this.current;
      if (edge.kind === "member" && !(lit || nodes * zones <= 12 || edge.target === chosenZone)) continue;
      const home = edge.kind === "on" && !edge.target.startsWith("VNet/");
      if (home && !(lit || chosen)) continue;
      made.push(edgeElement(edge, lit));
    }
    for (const id of places.keys()) {
      if (id.startsWith("more/") && places.has(id.slice(5))) {
        made.push(edgeElement({ source: id, target: id.slice(5), kind: "part", state: "unknown" }, false));
      }
    }
    return made;
  }

  #key(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key in steps) {
      const drawn = this.cy.nodes().map((node) => node.id()).filter((id) => !id.startsWith("more/"));
      const at = drawn.indexOf(this.current);
      this.choose(drawn[(at + steps[event.key] + drawn.length) % drawn.length] ?? "", {});
      const node = this.cy.getElementById(this.current);
      if (node.nonempty()) this.cy.center(node);
    } else if (event.key === "Enter" && this.current) {
      this.choose(this.current);
    } else if (event.key === "+" || event.key === "-") {
      this.cy.zoom({ level: this.cy.zoom() * (event.key === "+" ? 1.25 : 0.8),
        renderedPosition: { x: this.cy.width() / 2, y: this.cy.height() / 2 } });
    } else if (event.key === "0") {
      this.fit();
    } else {
      return;
    }
    event.preventDefault();
  }
}

function edgeElement(edge, lit) {
  return {
    group: "edges",
    data: { id: `${edge.kind}:${edge.source}:${edge.target}`, source: edge.source, target: edge.target,
      label: edge.label ?? "" },
    classes: [edge.kind, edge.state, edge.primary ? "primary" : "", lit ? "path" : ""],
  };
}

function isEvpn(vertex) { return vertex.id.startsWith("EvpnController/"); }

function circle(places, vertices, radius) {
  vertices.forEach((vertex, number) => {
    const angle = (2 * Math.PI * number) / vertices.length - Math.PI / 2;
    places.set(vertex.id, { vertex, x: radius * Math.cos(angle), y: radius * Math.sin(angle) });
  });
}

function grouped(vertices) {
  const kinds = {};
  for (const vertex of vertices) (kinds[vertex.kind] ??= []).push(vertex);
  return kinds;
}

function compare(a, b) { return a.localeCompare(b, "en", { numeric: true }); }

function reduced() { return globalThis.matchMedia("(prefers-reduced-motion: reduce)").matches; }

// Colours come from the page's style sheet, so that one place decides them for both themes.
function style() {
  const computed = getComputedStyle(document.documentElement);
  const colour = (name) => computed.getPropertyValue(`--${name}`).trim();
  const states = ["good", "waiting", "bad", "unknown"].flatMap((state) => [
    { selector: `node.${state}`, style: { "background-color": colour(`${state}-fill`), "border-color": colour(state) } },
    { selector: `edge.${state}`, style: { "line-color": colour(state) } },
  ]);
  return [
    { selector: "node", style: {
      label: "data(label)", "text-wrap": "wrap", "text-max-width": "170px", "text-valign": "center", "font-size": 10,
      color: colour("text"), width: "data(width)", height: 36, shape: "round-rectangle", "border-width": 1.5 } },
    { selector: "node.node, node.peer", style: { shape: "rectangle" } },
    { selector: "node.peer", style: { "border-style": "dashed" } },
    { selector: "node.zone", style: { shape: "cut-rectangle" } },
    { selector: "node.more", style: { "border-style": "dotted" } },
    { selector: "node.fabric", style: { shape: "octagon" } },
    { selector: "node.controller", style: { shape: "rectangle" } },
    { selector: "node.service", style: { shape: "barrel" } },
    { selector: "node.policy", style: { shape: "tag" } },
    { selector: "edge", style: { width: 1.5, "curve-style": "straight" } },
    { selector: "edge.member, edge.part, edge.on, edge.underlay, edge.runs, edge.uses", style: { width: 1, opacity: 0.45 } },
    { selector: "edge.session.good", style: { width: 1, opacity: 0.7 } },
    { selector: "edge.exit", style: { label: "data(label)", "font-size": 9, color: colour("text"), "text-rotation": "autorotate",
      "text-margin-y": -7 } },
    { selector: "edge.exit.primary", style: { width: 3.5 } },
    ...states,
    { selector: "edge.exit.bad, edge.underlay.bad", style: { "line-style": "dashed", opacity: 1 } },
    { selector: "edge.session.bad", style: { "line-style": "dashed", width: 2.5 } },
    { selector: "node.path", style: { "border-width": 4, "border-color": colour("chosen") } },
    { selector: "edge.path", style: { width: 4, opacity: 1, "line-color": colour("chosen") } },
    { selector: "node.current", style: { "border-width": 4, "border-color": colour("chosen") } },
  ];
}
