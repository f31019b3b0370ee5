// The page: a stream of parts from the command, a picture and panels that show them, and three questions it may ask.

import { age, blockElement, element, refreshAges } from "./blocks.js";
import { Picture } from "./picture.js";

// The secret comes in the fragment, which no server and no other page sees; it leaves the address bar at once.
const secret = location.hash.slice(1) || sessionStorage.getItem("secret") || "";
sessionStorage.setItem("secret", secret);
history.replaceState(null, "", location.pathname);

const $ = (id) => document.getElementById(id);
const parts = {};
const memories = {};
const views = ["Problems", "Plan", "Timeline", "Zones", "VNets", "NICs", "Nodes", "Chosen"];
let view = "Problems";
let asked = null; // what the panel "Chosen" shows: {about} or {query}
let answer = null;
let updates = 0; // so that a slow answer never covers a newer one

const picture = new Picture($("picture"), (id) => (id && !id.startsWith("peer/") ? ask({ about: id }) : unask()));

// --- asking the command -----------------------------------------------------------------------------------------

async function request(path, options = {}) {
  const response = await fetch(path, {
    ...options, headers: { Authorization: `Bearer ${secret}`, ...(options.headers ?? {}) },
  });
  if (!response.ok) throw new Error((await response.json()).error ?? `the command answers ${response.status}`);
  return response;
}

async function ask(what, { show = true } = {}) {
  asked = what;
  const mine = ++updates;
  try {
    const path = what.about ? `api/why?about=${encodeURIComponent(what.about)}`
      : `api/find?query=${encodeURIComponent(what.query)}`;
    const got = await (await request(path)).json();
    if (mine !== updates) return;
    answer = got;
    $("chosen").textContent = `Chosen: ${got.title}`;
    if (got.path && show) picture.highlight(got.path);
  } catch (error) {
    if (mine !== updates) return;
    answer = { title: what.about ?? what.query, error: error.message, blocks: [] };
    if (what.query && show) picture.highlight([]);
  }
  if (show) choose("Chosen"); else if (view === "Chosen") draw();
}

function unask() {
  asked = answer = null;
  updates++;
  $("chosen").textContent = "";
  if (view === "Chosen") draw();
}

function open(about) {
  picture.highlight([]);
  picture.choose(about, { quiet: true });
  ask({ about });
}

// --- panels -----------------------------------------------------------------------------------------------------

const tables = (...keys) => (parts.tables ?? []).filter((block) => keys.includes(block.key.split("/")[0]));
const drawn = (block) => blockElement(block, open, (memories[block.key] ??= {}));
const or = (blocks, text) => (blocks.length ? blocks.map(drawn) : [element("p", {}, text)]);

const panels = {
  Problems: () => or(tables("causes", "waits", "unread"), parts.tables ? "Nothing is wrong, and nothing waits." : "Reading …"),
  Plan: () => (parts.plans?.length ? parts.plans.map(planElement)
    : [element("p", {}, "No plan waits: Proxmox has what the objects say, or is being changed right now.")]),
  Timeline: () => timeline(),
  Zones: () => or(tables("clusters", "controllers", "zones"), "There is no zone."),
  VNets: () => or(tables("vnets"), "There is no VNet."),
  NICs: () => or(tables("nics"), "There is no NicAttachment."),
  Nodes: () => or(tables("nodes", "mesh"), "No node is known."),
  Chosen: () => {
    if (!answer) return [element("p", {}, "Choose something in the picture or a table, or search for it.")];
    const error = answer.error ? [element("p", { class: "bad" }, answer.error)] : [];
    return [element("h3", {}, answer.title), ...error, ...answer.blocks.map(drawn)];
  },
};

function planElement(plan) {
  const steps = plan.steps.map((step) => element("li", {},
    `${step.text} `, step.class ? element("span", { class: `class-${step.class}` }, `(${step.class})`) : null,
    step.reason ? ` ${step.reason}` : null));
  if (plan.more) steps.push(element("li", {}, `and ${plan.more} more`));
  const button = element("button", { type: "button", onclick: () => approve(plan, button) }, "Approve this plan");
  return element("section", { "data-plan": plan.hash },
    element("h3", {}, `${plan.cluster}: plan ${plan.hash.slice(0, 12)}`),
    element("p", {}, "Class ", element("strong", { class: `class-${plan.class}` }, plan.class || "unknown"), ", waits for ",
      element("time", { datetime: plan.since, title: plan.since }, age(plan.since)), plan.why ? `: ${plan.why}` : ""),
    element("ol", { class: "steps" }, ...steps),
    plan.approvable ? button : null);
}

async function approve(plan, button) {
  const what = plan.class === "destructive" ? "It DELETES networks. " : plan.class === "disruptive" ? "Traffic will stop. " : "";
  if (!confirm(`${what}Approve ${plan.steps.length + plan.more} steps of ${plan.cluster}?`)) return;
  button.disabled = true;
  try {
    await request("api/approve", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ cluster: plan.cluster, hash: plan.hash }),
    });
    button.textContent = "Approved";
  } catch (error) {
    button.disabled = false;
    notice(error.message);
  }
}

function timeline() {
  const memory = (memories.timeline ??= { topic: "" });
  const choice = element("select", { "aria-label": "Kind of event", onchange: () => { memory.topic = choice.value; draw(); } },
    ...[["", "everything"], ["transaction", "transactions"], ["mac", "MAC addresses"]].map(([value, text]) =>
      element("option", { value, selected: memory.topic === value }, text)));
  const rows = (parts.timeline ?? []).filter((row) => !memory.topic || row.topic === memory.topic).map((row) => ({
    about: row.about,
    cells: [
      { text: row.name, tone: "plain" }, { text: row.at, at: row.at, tone: "plain" },
      { text: row.reason, tone: row.warning ? "waiting" : "plain" }, { text: row.message, tone: "plain" },
    ],
  }));
  const block = { key: "timeline/rows", title: "EVENTS", type: "table", columns: ["OBJECT", "AGO", "REASON", "MESSAGE"], rows };
  const none = element("p", {}, "Kubernetes holds no Events of these (it keeps them for an hour).");
  return [element("p", {}, "Show ", choice), rows.length ? drawn(block) : none];
}

function choose(name) {
  view = name;
  for (const each of views) {
    const tab = $(`tab-${each}`);
    tab.setAttribute("aria-selected", each === name);
    tab.tabIndex = each === name ? 0 : -1;
    $(`panel-${each}`).hidden = each !== name;
  }
  draw();
}

function draw() {
  const panel = $(`panel-${view}`);
  // Whoever types or stands in a table keeps place: the panel is drawn again when the focus has left its fields.
  const focused = panel.contains(document.activeElement) ? document.activeElement : null;
  if (focused && focused.matches("input, select")) return;
  const about = focused?.dataset.about;
  const top = panel.scrollTop;
  panel.replaceChildren(...panels[view]());
  panel.scrollTop = top;
  if (about) panel.querySelector(`[data-about="${CSS.escape(about)}"]`)?.focus();
  // What no source can see is in the table and is no problem.
  const causes = (tables("causes")[0]?.rows ?? []).filter((row) => row.cells[0].tone !== "faint").length;
  $("tab-Problems").textContent = causes ? `Problems (${causes})` : "Problems";
  $("tab-Plan").textContent = parts.plans?.length ? `Plan (${parts.plans.length})` : "Plan";
}

function tabsElement() {
  for (const name of views) {
    $("tabs").append(element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`,
      onclick: () => choose(name) }, name));
    $("panels").append(element("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`,
      tabindex: "0", hidden: true }));
  }
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    choose(views[(views.indexOf(view) + step + views.length) % views.length]);
    $(`tab-${view}`).focus();
  });
}

// --- updates ----------------------------------------------------------------------------------------------------

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function take(update) {
  Object.assign(parts, update);
  if (update.summary) drawSummary(update.summary);
  if (update.graph) drawPicture();
  draw();
  if (asked) ask(asked, { show: false });
}

function drawSummary(summary) {
  const clusters = summary.clusters.map((each) =>
    `${each.name} ${each.version ?? ""} (${each.nodes ?? "?"} nodes${each.paused ? ", paused" : ""})`).join(", ");
  const state = summary.notReady ? `${summary.notReady} of ${summary.objects} objects are not Ready`
    : `all ${summary.objects} objects are Ready${summary.unseen ? " or unobserved" : ""}`;
  $("summary").textContent = clusters ? `${clusters}: ${state}` : "There is no ProxmoxCluster.";
  const chosen = $("cluster").value;
  const names = ["", ...summary.clusters.map((each) => each.name)];
  $("cluster").replaceChildren(...names.map((name) =>
    element("option", { value: name, selected: name === chosen }, name || "all")));
}

function drawPicture() {
  const name = $("cluster").value;
  picture.update(name ? ofCluster(parts.graph, name) : parts.graph, name);
}

function ofCluster(graph, name) {
  const vertices = graph.vertices.filter((vertex) => vertex.cluster === name);
  const ids = new Set(vertices.map((vertex) => vertex.id));
  return { ...graph, vertices, edges: graph.edges.filter((edge) => ids.has(edge.source) && ids.has(edge.target)) };
}

async function follow() {
  for (;;) {
    try {
      const response = await request("api/live");
      notice("");
      let rest = "";
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line) take(JSON.parse(line));
      }
      notice("pve-evpn ui has ended: what you see is old. Start it again and open the new address.");
    } catch (error) {
      notice(error instanceof TypeError
        ? "pve-evpn ui does not answer: what you see is old. Start it again and open the new address." : error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
}

// --- theme ------------------------------------------------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  document.documentElement.dataset.theme = $("theme").value || (dark.matches ? "dark" : "light");
  picture.restyle();
}

$("theme").value = localStorage.getItem("theme") ?? "";
$("theme").addEventListener("change", () => { localStorage.setItem("theme", $("theme").value); applyTheme(); });
dark.addEventListener("change", applyTheme);

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = $("query").value.trim();
  if (query) ask({ query }); else { picture.highlight([]); unask(); }
});
$("fit").addEventListener("click", () => picture.fit());
$("cluster").addEventListener("change", () => { drawPicture(); picture.fit(); });
setInterval(() => refreshAges(document), 10_000);

tabsElement();
choose("Problems");
applyTheme();
follow();
