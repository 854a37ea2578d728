// The browser of completions. Its state is the address's hash, so that a view can be linked to: #eval=2&outcome=wrong&sort=-n_tokens
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = Object.fromEntries(data.columns.map((name, i) => [name, i]));
const shown = { outcome: "outcome", form: "form", n_tokens: "tokens", answer: "answer", extracted: "extracted", prompt: "prompt", completion: "completion" };
const filters = ["outcome", "form", "source"];
const element = (id) => document.getElementById(id);
const page = 50;
let state, limit;

function readState() {
  state = Object.assign({ eval: "0", outcome: "", form: "", source: "", search: "", sort: "" }, Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
  if (!data.evals[state.eval]) state.eval = "0";
}

function choose(change) {
  Object.assign(state, change);
  const kept = Object.entries(state).filter(([name, value]) => value !== "" && !(name === "eval" && value === "0"));
  history.replaceState(null, "", "#" + new URLSearchParams(kept));
  draw();
}

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

function fillChoices() {
  element("eval").replaceChildren(...data.evals.map((one, i) => option(i, one.name)));
  element("eval").value = state.eval;
  for (const name of filters) {
    const values = new Set(data.evals[state.eval].rows.map((row) => row[at[name]]));
    if (state[name] && !values.has(state[name])) state[name] = "";
    element(name).replaceChildren(option("", "all"), ...[...values].sort().map((value) => option(value, value)));
    element(name).value = state[name];
  }
  if (element("search").value !== state.search) element("search").value = state.search;
}

function found() {
  const words = state.search.toLowerCase();
  const matches = (row) =>
    filters.every((name) => !state[name] || row[at[name]] === state[name]) &&
    (!words || (data.prompts[row[0]] + "\n" + row[at.completion]).toLowerCase().includes(words));
  const rows = data.evals[state.eval].rows.filter(matches);
  if (!state.sort) return rows;
  const column = at[state.sort.replace("-", "")], sign = state.sort.startsWith("-") ? -1 : 1;
  const value = (row) => (column === 0 ? data.prompts[row[0]] : row[column] ?? "");
  return rows.sort((a, b) => (value(a) > value(b) ? sign : value(a) < value(b) ? -sign : 0));
}

function cell(row, name) {
  const made = document.createElement("td");
  const value = name === "prompt" ? data.prompts[row[0]] : row[at[name]];
  made.textContent = name === "n_tokens" && row[at.truncated] ? value + " (cut)" : value ?? "-";
  if (name === "prompt" || name === "completion") made.className = "wrap";
  return made;
}

function draw() {
  fillChoices();
  const rows = found(), all = data.evals[state.eval];
  const held = all.total > all.rows.length ? `; the page holds the first ${all.rows.length} of ${all.total}` : "";
  element("found").textContent = `${rows.length} of ${all.rows.length} completions${held}`;
  for (const head of element("head").children) {
    const sorted = state.sort.replace("-", "") === head.dataset.column;
    head.setAttribute("aria-sort", !sorted ? "none" : state.sort.startsWith("-") ? "descending" : "ascending");
    head.firstChild.textContent = shown[head.dataset.column] + (!sorted ? "" : state.sort.startsWith("-") ? " ▼" : " ▲");
  }
  element("rows").replaceChildren(
    ...rows.slice(0, limit).map((row) => {
      const line = document.createElement("tr");
      line.append(...Object.keys(shown).map((name) => cell(row, name)));
      return line;
    }),
  );
  element("more").hidden = rows.length <= limit;
}

for (const name of Object.keys(shown)) {
  const head = document.createElement("th"), button = document.createElement("button");
  head.dataset.column = name;
  button.type = "button";
  button.addEventListener("click", () => choose({ sort: state.sort === name ? "-" + name : name }));
  head.append(button);
  element("head").append(head);
}
for (const name of ["eval", ...filters]) element(name).addEventListener("change", (event) => { limit = page; choose({ [name]: event.target.value }); });
element("search").addEventListener("input", (event) => { limit = page; choose({ search: event.target.value }); });
element("more").addEventListener("click", () => { limit += page; draw(); });
addEventListener("hashchange", () => { readState(); draw(); });
limit = page;
readState();
draw();
