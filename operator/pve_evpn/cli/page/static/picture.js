// The network as a graph, drawn by Cytoscape. The command says where everything stands (cli/report/layout.py) but for
// the column of zones: people open and close zones, so rows are stacked here, by the command's distances.

const VNETS = 40; // of an opened zone, and policies, that are drawn one by one; the tables hold all VNets
const SMALL = 30; // VNets up to which every zone is open from the start
const WIDE = { node: 164, peer: 136, zone: 130, vnet: 120, nic: 184, more: 120,
  fabric: 172, controller: 160, policy: 136, service: 130 };

export class Picture {
  // `chosen(id)` is called when a person chooses a vertex, with "" for none.
  constructor(container, chosen = () => {}) {
    this.graph = { vertices: [], edges: [], layout: { places: {}, column: [0, 0] } };
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

  // `graph` is the command's, or the part of one cluster, whose name `cluster` then is.
  update(graph, cluster = "") {
    const first = this.graph.vertices.length === 0;
    this.graph = { ...graph, layout: graph.layouts[cluster] ?? graph.layouts[""] };
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
    const { distances, layout } = this.graph;
    const of = (kind) => this.graph.vertices.filter((vertex) => vertex.kind === kind);
    const places = new Map();
    const put = (vertex, [x, y]) => places.set(vertex.id, { vertex, x, y });
    for (const vertex of this.graph.vertices) {
      if (vertex.kind !== "policy" && layout.places[vertex.id]) put(vertex, layout.places[vertex.id]);
    }
    const policies = of("policy");
    const slots = policies.map((policy) => layout.places[policy.id]);
    const [shown, rest] = this.#first(policies);
    shown.forEach((policy, number) => put(policy, slots[number]));
    if (rest.length) put(this.#more("more/policy", `${rest.length} more policies`, rest), slots[shown.length]);

    const nics = new Map(of("nic").map((vertex) => [vertex.id, vertex]));
    const nicsOf = new Map();
    for (const edge of this.graph.edges) {
      if (edge.kind === "on" && edge.target.startsWith("VNet/") && nics.has(edge.source)) {
        listIn(nicsOf, edge.target).push(nics.get(edge.source));
      }
    }
    const vnetsOf = new Map();
    for (const vnet of of("vnet")) listIn(vnetsOf, vnet.zone).push(vnet);
    const few = nics.size <= SMALL;
    let [x, y] = layout.column;
    for (const zone of of("zone")) {
      const top = y;
      const vnets = listIn(vnetsOf, zone.id);
      const [drawn, left] = this.#open(zone.id) ? this.#first(vnets) : [[], vnets];
      for (const vnet of drawn) {
        put(vnet, [x + distances.vnet, y]);
        const own = listIn(nicsOf, vnet.id);
        const all = few || vnet.id === this.current || own.some((nic) => nic.id === this.current);
        const beside = own.filter((nic) => all || this.path.has(nic.id)).slice(0, VNETS);
        beside.forEach((nic, number) => put(nic, [
          x + distances.nic + distances.between_nics * (number % distances.nics),
          y + distances.row * Math.floor(number / distances.nics)]));
        y += distances.row * Math.max(1, Math.ceil(beside.length / distances.nics));
      }
      if (left.length) {
        const label = drawn.length ? `${left.length} more VNets` : `${left.length} VNets`;
        put(this.#more(`more/${zone.id}`, label, left), [x + distances.vnet, y]);
        y += distances.row;
      }
      put(zone, [x, top + Math.max(0, y - top - distances.row) / 2]);
      y = Math.max(y, top + distances.row) + distances.gap;
    }
    for (const service of of("service")) {
      put(service, [x, y]);
      y += distances.row;
    }
    return places;
  }

  // Those that are drawn one by one, and the rest: what is chosen or on the path first, then in the graph's order.
  #first(vertices) {
    const wanted = (vertex) => this.path.has(vertex.id) || vertex.id === this.current;
    const ordered = [...vertices.filter(wanted), ...vertices.filter((vertex) => !wanted(vertex))];
    return [ordered.slice(0, VNETS), ordered.slice(VNETS)];
  }

  // One vertex for several, in the worst of their states.
  #more(id, label, vertices) {
    const rank = (vertex) => this.graph.severity.indexOf(vertex.state);
    const { state } = vertices.reduce((worst, each) => (rank(each) > rank(worst) ? each : worst));
    return { id, kind: "more", label, detail: "", state };
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

function listIn(lists, key) {
  if (!lists.has(key)) lists.set(key, []);
  return lists.get(key);
}

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
      label: "data(label)", "text-wrap": "wrap", "text-max-width": "184px", "text-valign": "center", "font-size": 12,
      color: colour("text"), width: "data(width)", height: 42, shape: "round-rectangle", "border-width": 1.5 } },
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
    { selector: "edge.exit", style: { label: "data(label)", "font-size": 11, color: colour("text"), "text-rotation": "autorotate",
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
