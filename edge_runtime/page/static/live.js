"use strict";
// The live view: one card for each camera, filled by server-sent events.

const cards = new Map();
const SVG = "http://www.w3.org/2000/svg";
let heard = Date.now();

function card(name) {
  if (!cards.has(name)) {
    const made = document.getElementById("camera").content.firstElementChild.cloneNode(true);
    made.querySelector("h2").textContent = name;
    document.getElementById("cameras").append(made);
    cards.set(name, made);
  }
  return cards.get(name);
}

function text(within, selector, value) {
  const element = within.querySelector(selector);
  if (element.textContent !== value) element.textContent = value;
}

function number(value, digits) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Load picture and map, then show them with boxes and verdict at once: they must be of one frame. */
async function showFrame(made, name, frame) {
  if (Number(made.dataset.asked ?? -1) >= frame.number) return;
  made.dataset.asked = frame.number;
  const query = `${encodeURIComponent(name)}?n=${frame.number}`;
  const loaded = [new Image(), new Image()];
  loaded[0].src = `/live/frame/${query}`;
  loaded[1].src = `/live/heat/${query}`;
  try {
    await Promise.all(loaded.map((image) => image.decode()));
  } catch {
    return;  // a newer one is on its way
  }
  if (Number(made.dataset.shown ?? -1) >= frame.number) return;
  made.dataset.shown = frame.number;
  draw(made, name, frame, loaded);
}

function draw(made, name, frame, [picture, map]) {
  made.classList.toggle("abnormal", frame.abnormal);
  made.classList.toggle("normal", !frame.abnormal);
  text(made, ".verdict-word", frame.abnormal ? "NG" : "OK");
  text(made, ".mark", frame.abnormal ? "✕" : "✓");
  text(made, ".score", `${number(frame.score, 2)} / ${number(frame.threshold, 2)}`);
  text(made, ".when", `${localTime(frame.at)}, ${frame.source}`);
  picture.className = "frame";
  picture.alt = `newest frame of ${name}, ${frame.abnormal ? "abnormal" : "normal"}`;
  map.className = "map";
  map.alt = "";
  made.querySelector(".frame").replaceWith(picture);
  made.querySelector(".map").replaceWith(map);
  made.querySelector(".empty").hidden = true;
  const drawing = made.querySelector("svg");
  drawing.setAttribute("viewBox", `0 0 ${frame.size[0]} ${frame.size[1]}`);
  const region = frame.region === null ? [] : [rectangle(frame.region, "region")];
  drawing.replaceChildren(...region, ...frame.boxes.map((box) => rectangle(box, "defect")));
}

function rectangle([x, y, width, height], kind) {
  const made = document.createElementNS(SVG, "rect");
  for (const [key, value] of Object.entries({ x, y, width, height, class: kind })) made.setAttribute(key, value);
  return made;
}

function showCamera(name, camera) {
  const made = card(name);
  text(made, ".ok", number(camera.ok, 0));
  text(made, ".ng", number(camera.abnormal, 0));
  text(made, ".rate", number(camera.rate, 1));
  text(made, ".late", camera.late === null ? "–" : `${number(1000 * camera.late, 0)} ms`);
  const reason = made.querySelector(".reason");
  reason.hidden = camera.reason === null;
  reason.textContent = camera.reason ?? "";
  made.classList.toggle("failing", camera.state !== "ok" && camera.state !== "starting");
  if (camera.frame !== null) showFrame(made, name, camera.frame);
}

function showState(state) {
  const section = document.getElementById("state");
  const good = state.state === "online" && state.old === null;
  section.className = `state ${good ? "good" : "bad"}`;
  document.body.classList.remove("stale");
  text(section, ".word", state.paused ? "paused" : state.state);
  const facts = [];
  if (state.model !== undefined) {
    facts.push(`model ${state.model}`, `threshold ${number(state.threshold, 2)}`,
      `inspection ${number(state.p50, 0)} ms, p99 ${number(state.p99, 0)} ms`,
      state.connected ? "broker connected" : "broker not connected");
  }
  text(section, ".facts", facts.join(" · "));
  const faults = [...state.faults];
  if (state.old !== null) faults.unshift(`The station has said nothing about itself for ${state.old} s.`);
  const list = document.getElementById("faults");
  if (list.dataset.shown !== JSON.stringify(faults)) {
    list.dataset.shown = JSON.stringify(faults);
    list.replaceChildren(...faults.map((sentence) => Object.assign(document.createElement("li"), { textContent: sentence })));
  }
  for (const [name, camera] of Object.entries(state.cameras)) showCamera(name, camera);
}

function silent(sentence) {
  const section = document.getElementById("state");
  section.className = "state bad";
  document.body.classList.add("stale");
  text(section, ".word", "not connected");
  text(section, ".facts", sentence);
}

function connect() {
  const events = new EventSource("/events");
  events.onmessage = (event) => {
    heard = Date.now();
    showState(JSON.parse(event.data));
  };
  events.onerror = () => {
    silent("The station does not answer; what you see is old. It is tried again.");
    if (events.readyState === EventSource.CLOSED) setTimeout(refused, 3000);
  };
}

/** Find out why the events were refused, then try again. */
async function refused() {
  try {
    const answer = await fetch("/events", { method: "HEAD" });
    if (answer.status === 401) location.href = "/login";
    if (answer.status === 503) silent("As many browsers watch already as page.viewers allows; close one.");
  } catch {
    // still away
  }
  connect();
}

setInterval(() => { if (Date.now() - heard > 8000) silent("Nothing new has come for 8 s; what you see is old."); }, 1000);
for (const name of ["heat", "boxes"]) {
  const toggle = document.getElementById(name);
  const apply = () => document.body.classList.toggle(`no-${name}`, !toggle.checked);
  toggle.addEventListener("change", apply);
  apply();
}
connect();
