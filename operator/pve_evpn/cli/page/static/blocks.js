// Blocks of a report (tables, facts, lines) as DOM. Text only ever goes in as text: statuses hold words of others.

const PAGE = 50;

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

// 45s, 12m, 5h, 3d: the largest unit that is at least two, as kubectl shows ages.
export function age(at) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(at)) / 1000));
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)}${unit}`;
  }
  return `${seconds}s`;
}

export function refreshAges(root) {
  for (const each of root.querySelectorAll("time[datetime]")) each.textContent = age(each.dateTime);
}

function cellContent(cell) {
  return cell.at ? element("time", { datetime: cell.at, title: cell.at }, age(cell.at)) : cell.text;
}

// `open(about)` is called for the object of a row. `memory` keeps a table's filter and page from update to update.
export function blockElement(block, open, memory = {}) {
  const made = element("section", { "data-block": block.key });
  if (block.title) made.append(element("h2", {}, block.title));
  if (block.type === "lines") {
    made.append(element("ul", { class: `lines tone-${block.tone}` }, ...block.lines.map((l) => element("li", {}, l))));
  } else if (block.type === "facts") {
    const pairs = block.rows.flatMap(([title, cell]) => [
      element("dt", {}, title), element("dd", { class: `tone-${cell.tone}` }, cellContent(cell)),
    ]);
    made.append(element("dl", {}, ...pairs));
  } else {
    made.append(...tableParts(block, open, memory));
  }
  return made;
}

function tableParts(block, open, memory) {
  const body = element("tbody");
  const count = element("span");
  const next = element("button", { type: "button" }, "Show more");
  const filter = element("input", { type: "search", "aria-label": `Filter ${block.title.toLowerCase()}`,
    placeholder: "Filter", value: memory.filter ?? "" });
  memory.shown ??= PAGE;

  function draw() {
    const words = (memory.filter ?? "").toLowerCase();
    const rows = words
      ? block.rows.filter((row) => row.cells.some((cell) => cell.text.toLowerCase().includes(words))) : block.rows;
    body.replaceChildren(...rows.slice(0, memory.shown).map((row) => rowElement(row, open)));
    count.textContent = `${Math.min(memory.shown, rows.length)} of ${rows.length}`;
    next.hidden = rows.length <= memory.shown;
  }
  filter.addEventListener("input", () => { memory.filter = filter.value; memory.shown = PAGE; draw(); });
  next.addEventListener("click", () => { memory.shown += 4 * PAGE; draw(); });
  draw();

  const head = element("tr", {}, ...block.columns.map((title) => element("th", { scope: "col" }, title)));
  const table = element("table", { "aria-label": block.title || block.key }, element("thead", {}, head), body);
  const parts = [element("div", { class: "scroll", tabindex: "0", role: "region",
    "aria-label": `Table ${block.title || block.key}` }, table)];
  if (block.rows.length > PAGE) parts.unshift(element("div", { class: "more" }, filter, count, next));
  return parts;
}

function rowElement(row, open) {
  const cells = row.cells.map((cell) => element("td", { class: `tone-${cell.tone}` }, cellContent(cell)));
  if (row.about && open) {
    const name = row.about.split("/").pop();
    const cell = cells.find((each) => each.textContent.split(/[ /]/).includes(name))
      ?? cells.find((each) => each.textContent) ?? cells[0];
    const link = element("button", { type: "button", class: "link", "data-about": row.about,
      onclick: () => open(row.about) }, ...cell.childNodes);
    cell.replaceChildren(link);
  }
  return element("tr", {}, ...cells);
}
