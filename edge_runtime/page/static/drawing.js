"use strict";
// Where a defect is: boxes and brush strokes over the picture, in pixels of the frame.

const drawing = { boxes: [], strokes: [] };
const drawn = document.getElementById("drawn");
let size = [1, 1];
let active = null;

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function rectangle([x, y, width, height]) {
  return shape("rect", { x, y, width, height });
}

function redraw() {
  drawn.replaceChildren(...drawing.boxes.map(rectangle), ...drawing.strokes.map(({ radius, points }) => shape("polyline", {
    points: [...points, points.at(-1)].map(([x, y]) => `${x},${y}`).join(" "), "stroke-width": 2 * radius, class: "stroke",
  })));
}

function clearDrawing() {
  drawing.boxes = [];
  drawing.strokes = [];
  redraw();
}

/** The drawing as a label's mask; null when nothing is drawn. */
function mask() {
  return drawing.boxes.length || drawing.strokes.length ? structuredClone(drawing) : null;
}

function setDrawing(width, height, given) {
  size = [width, height];
  for (const id of ["drawn", "marks"]) document.getElementById(id).setAttribute("viewBox", `0 0 ${width} ${height}`);
  if (given && mask() === null) {  // a quick hand has drawn already
    drawing.boxes = given.boxes;
    drawing.strokes = given.strokes;
  }
  redraw();
}

function place(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawn.getScreenCTM().inverse());
  return [point.x, point.y].map((value, axis) => Math.round(10 * Math.min(size[axis], Math.max(0, value))) / 10);
}

function tool() {
  return document.querySelector('input[name="tool"]:checked').value;
}

drawn.addEventListener("pointerdown", (event) => {
  if (!tool() || event.button !== 0) return;
  event.preventDefault();
  drawn.setPointerCapture(event.pointerId);
  const at = place(event);
  if (tool() === "box") {
    active = { from: at };
    drawing.boxes.push([...at, 0.1, 0.1]);
  } else {
    active = { stroke: { radius: Math.max(2, Math.max(...size) / 80), points: [at] } };
    drawing.strokes.push(active.stroke);
  }
  redraw();
});

drawn.addEventListener("pointermove", (event) => {
  if (active === null) return;
  const at = place(event);
  if (active.from) {
    const [left, top] = [0, 1].map((axis) => Math.min(at[axis], active.from[axis]));
    drawing.boxes[drawing.boxes.length - 1] = [left, top, ...[0, 1].map((axis) => Math.max(0.1, Math.abs(at[axis] - active.from[axis])))];
  } else if (active.stroke.points.length < 5000) {
    active.stroke.points.push(at);
  }
  redraw();
});

for (const name of ["pointerup", "pointercancel"]) drawn.addEventListener(name, () => { active = null; });
for (const radio of document.querySelectorAll('input[name="tool"]')) {
  radio.addEventListener("change", () => drawn.classList.toggle("drawing", tool() !== ""));
}
document.getElementById("clear").addEventListener("click", clearDrawing);
