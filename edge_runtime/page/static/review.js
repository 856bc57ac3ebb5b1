"use strict";
// The review: a list of pictures, one of them large, and what the operator says about it or about those selected.

const $ = (id) => document.getElementById(id);
const filters = $("filters");
const selected = new Set();
const undoable = [];
let frames = [], total = 0, limit = 60, offset = 0, current = -1, asked = 0;

const words = (label) => label === null ? "" : label.verdict === "defect" ? `defect${label.kind ? `: ${label.kind}` : ""}` : label.verdict === "skip" ? "skipped" : label.verdict;

function query() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(filters)) if (value !== "") wanted.set(name, value);
  wanted.set("offset", offset);
  return wanted;
}

async function ask(path) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    notice("The station does not answer.", true);
    return null;
  }
  if (answer.status === 401) { location.href = "/login"; return null; }
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  notice(content.error ?? `The station answered ${answer.status}.`, true);
  return null;
}

async function load() {
  const page = await ask(`/review/list?${query()}`);
  if (page === null) return;
  ({ frames, total, limit } = page);
  if (!frames.length && total && offset) {  // others have labelled meanwhile
    offset = Math.max(0, total - limit);
    await load();
    return;
  }
  for (const frame of frames) frame.loaded = frame.label;
  selected.clear();
  $("count").textContent = total === 0 ? "nothing here" : `${offset + 1}–${offset + frames.length} of ${total.toLocaleString("en")}`;
  $("back").disabled = offset === 0;
  $("more").disabled = offset + frames.length >= total;
  $("list").replaceChildren(...frames.map(item));
  select(frames.length ? 0 : -1);
}

function item(frame, index) {
  const made = document.createElement("li");
  const pick = Object.assign(document.createElement("input"), { type: "checkbox", ariaLabel: `select ${frame.id}` });
  pick.addEventListener("change", () => toggle(index, pick.checked));
  const open = Object.assign(document.createElement("button"), { type: "button", className: "thumb" });
  open.append(Object.assign(document.createElement("img"), { src: `/review/thumb/${frame.id}`, loading: "lazy", alt: "" }),
    Object.assign(document.createElement("span"), { className: "caption" }));
  open.addEventListener("click", () => select(index));
  made.append(pick, open);
  caption(made, frame);
  return made;
}

function caption(element, frame) {
  element.classList.toggle("abnormal", frame.abnormal);
  element.classList.toggle("labelled", frame.label !== null);
  element.querySelector(".caption").textContent =
    `${frame.abnormal ? "NG" : "OK"} ${frame.score.toFixed(2)}${frame.disputed ? " · disputed" : ""}${frame.label ? ` · ${words(frame.label)}` : ""}`;
}

function toggle(index, on) {
  if (on) selected.add(index); else selected.delete(index);
  $("list").children[index].querySelector("input").checked = on;
  tellSelected();
}

function tellSelected() {
  $("selected").textContent = selected.size ? `What you say holds for ${selected.size === 1 ? "the selected picture" : `${selected.size} selected pictures`}.` : "";
}

function select(index) {
  $("list").children[current]?.removeAttribute("aria-current");
  current = index;
  for (const id of ["stage", "tools", "say"]) $(id).hidden = index < 0;
  if (index < 0) {
    $("title").textContent = "Nothing to review";
    return;
  }
  const element = $("list").children[index];
  element.setAttribute("aria-current", "true");
  element.scrollIntoView({ block: "nearest", inline: "nearest" });
  show(frames[index]);
  if (frames[index + 1]) new Image().src = `/review/frame/${frames[index + 1].id}`;
}

async function show(frame) {
  const turn = ++asked;
  $("title").textContent = `${frame.camera}, ${localTime(frame.at)}`;
  $("verdict").textContent = frame.abnormal ? "station: abnormal (NG)" : "station: normal (OK)";
  $("verdict").className = `tag ${frame.abnormal ? "abnormal" : "normal"}`;
  $("frame").src = `/review/frame/${frame.id}`;
  $("frame").alt = `picture ${frame.id}`;
  $("map").src = `/review/heat/${frame.id}`;
  clearDrawing();
  $("marks").replaceChildren();
  showScore(frame.score, frame.threshold);
  const about = await ask(`/review/about/${frame.id}`);
  if (about === null || turn !== asked) return;
  setDrawing(...about.size, about.mask);
  $("marks").replaceChildren(...about.boxes.map(rectangle));
  $("normal").disabled = !about.nearest;
  $("normal").parentElement.title = about.nearest ? "" : "the archive has no nearest normal picture of this one";
  if (about.nearest) $("nearest").src = `/review/nearest/${frame.id}`;
  if (!about.nearest) $("normal").checked = false;
  view();
  rows({ score: `${about.score.toFixed(3)}, threshold ${about.threshold.toFixed(3)}`, model: about.model, source: about.source, kept: about.why.replace("_", " "), size: about.size.join(" × ") });
  $("said").replaceChildren(...about.said.map(({ who, at, label }) => Object.assign(document.createElement("li"), {
    textContent: `${localTime(at)} ${who}: ${label === null ? "took it back" : words(label)}`,
  })));
}

function rows(facts) {
  $("facts").replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const row = document.createElement("div");
    row.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
    return row;
  }));
}

function view() {
  $("map").hidden = !$("heat").checked || $("normal").checked;
  $("map").style.opacity = $("opacity").value;
  $("marks").classList.toggle("off", !$("boxes").checked);
  $("nearest").hidden = !$("normal").checked;
}

/** Say something about the selected pictures, or else about the one that is shown. */
function say(label) {
  if (current < 0) return;
  const indices = selected.size ? [...selected] : [current];
  const place = selected.size ? null : mask();
  if (label.verdict === "defect" && place !== null) label.mask = place;
  const pictures = indices.map((index) => frames[index].id);
  post("/review/label", { pictures, label }, (answer) => answered(answer, pictures));
  undoable.push(pictures);
  for (const index of indices) mark(index, { verdict: label.verdict, kind: label.kind ?? null });
  for (const index of indices) toggle(index, false);
  if (label.kind) addKind(label.kind);
  if (indices.includes(current)) move(1);
}

function mark(index, label) {
  frames[index].label = label;
  caption($("list").children[index], frames[index]);
}

function answered(answer, pictures) {
  for (const [index, frame] of frames.entries()) {
    if (!pictures.includes(frame.id)) continue;
    const changed = answer?.changes.find(({ picture }) => picture === frame.id);
    if (changed) mark(index, changed.new);
    else if (answer === null) mark(index, null);
  }
  if (answer === null) return;
  const other = answer.changes.filter(({ old }) => old !== null);
  const text = other.length ? ` Before that it was ${words(other[0].old)}.` : "";
  notice(`${answer.changes.length === 1 ? "Stored" : `${answer.changes.length} stored`}: ${words(answer.changes[0].new) || "no label"}.${text}`);
}

function undo() {
  const pictures = undoable.pop();
  if (pictures === undefined) {
    notice("There is nothing of yours to undo on this page.");
    return;
  }
  for (const picture of pictures) post("/review/undo", { picture }, (answer) => answered(answer, [picture]));
  const index = frames.findIndex(({ id }) => id === pictures[0]);
  if (index >= 0) select(index);
}

function move(step) {
  if (current + step >= 0 && current + step < frames.length) select(current + step);
  else if (step > 0 && current >= 0) notice(`That was the last picture of this page${$("more").disabled ? "." : "; → shows the next ones."}`);
}

/** The next page. What was labelled on this one has left a list that depends on labels, and the rest moved up. */
function nextPage() {
  const { show, label, kind } = Object.fromEntries(new FormData(filters));
  const moved = show === "all" && !label && !kind ? 0 : frames.filter((frame) => frame.label !== frame.loaded).length;
  offset += frames.length - moved;
  load();
}

function addKind(kind) {
  const known = [...$("kinds").children].map(({ value }) => value);
  if (known.includes(kind)) return;
  $("kinds").append(Object.assign(document.createElement("option"), { value: kind }));
  if (known.length >= 9) return;
  const quick = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: `${kind} ` });
  quick.append(Object.assign(document.createElement("kbd"), { textContent: known.length + 1 }));
  quick.addEventListener("click", () => say({ verdict: "defect", kind }));
  $("quick").append(quick);
}

function sayDefect() {
  const kind = $("kind").value.trim();
  $("kind").value = "";
  $("kind").blur();
  say(kind ? { verdict: "defect", kind } : { verdict: "defect" });
}

async function loadFacets() {
  const facets = await ask("/review/facets");
  if (facets === null) return;
  for (const name of ["camera", "day", "kind"]) {
    for (const [value, count] of Object.entries(facets[name]).sort()) {
      filters.elements[name].append(Object.assign(document.createElement("option"), { value, textContent: `${value} (${count})` }));
    }
  }
  Object.entries(facets.kind).sort((a, b) => b[1] - a[1]).forEach(([kind]) => addKind(kind));
}

const keys = {
  g: () => say({ verdict: "good" }), s: () => say({ verdict: "skip" }), u: undo,
  d: () => $("kind").focus(),
  h: () => $("heat").click(), v: () => $("boxes").click(), n: () => $("normal").click(),
  b: () => document.querySelector('input[value="box"]').click(), p: () => document.querySelector('input[value="brush"]').click(),
  m: () => $("adopt").click(), c: clearDrawing,
  x: () => current >= 0 && toggle(current, !selected.has(current)), a: () => $("all").click(),
  ArrowRight: () => current === frames.length - 1 && !$("more").disabled ? nextPage() : move(1), ArrowLeft: () => move(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { event.target.blur(); return; }
  const typing = event.target.matches('input:not([type="checkbox"], [type="radio"]), select');
  const arrows = event.key.startsWith("Arrow") && event.target.matches('input');
  if (typing || arrows || event.ctrlKey || event.metaKey || event.altKey) return;
  const digit = /^[1-9]$/.test(event.key) ? $("quick").children[Number(event.key) - 1] : undefined;
  const action = digit ? () => digit.click() : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action) { event.preventDefault(); action(); }
});

$("good").addEventListener("click", () => say({ verdict: "good" }));
$("skip").addEventListener("click", () => say({ verdict: "skip" }));
$("undo").addEventListener("click", undo);
$("defect").addEventListener("submit", (event) => { event.preventDefault(); sayDefect(); });
$("adopt").addEventListener("click", () => {
  drawing.boxes = [...$("marks").children].map((box) => ["x", "y", "width", "height"].map((name) => Number(box.getAttribute(name))));
  redraw();
});
$("all").addEventListener("click", () => {
  const every = selected.size < frames.length;
  frames.forEach((_, index) => toggle(index, every));
});
$("back").addEventListener("click", () => { offset = Math.max(0, offset - limit); load(); });
$("more").addEventListener("click", nextPage);
filters.addEventListener("change", () => { offset = 0; load(); });
filters.addEventListener("submit", (event) => event.preventDefault());
for (const id of ["heat", "boxes", "normal", "opacity"]) $(id).addEventListener("input", view);
loadFacets();
load();
loadScores().then(() => { if (current >= 0) showScore(frames[current].score, frames[current].threshold); });
