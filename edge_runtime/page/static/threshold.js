"use strict";
// The threshold view: two diagrams over the score, and what a value would lead to.

const value = document.getElementById("value");
const slider = document.getElementById("slider");
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(`--${name}`).trim();
let numbers = null;

const percent = (rate) => `${(100 * rate).toFixed(rate < 0.1 ? 1 : 0)} %`;

function withInterval(rate, what) {
  return rate === null ? `not known: ${what}` : `${percent(rate[0])} (95 %: ${percent(rate[1])} to ${percent(rate[2])})`;
}

function lines(u) {
  for (const [at, name, dash] of [[numbers.threshold, "text", []], [Number(value.value), "accent", [6, 4]]]) {
    const x = u.valToPos(at, "x", true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
    u.ctx.save();
    u.ctx.strokeStyle = colour(name);
    u.ctx.lineWidth = 2 * devicePixelRatio;
    u.ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
    u.ctx.beginPath();
    u.ctx.moveTo(x, u.bbox.top);
    u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
    u.ctx.stroke();
    u.ctx.restore();
  }
}

function plot(id, top, data, series, bands = []) {
  const box = document.getElementById(id);
  const axis = { stroke: colour("text"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
  const options = {
    width: box.clientWidth, height: 240,
    scales: { x: { time: false, range: () => [numbers.curve[0].threshold, numbers.curve.at(-1).threshold] }, y: { range: () => [0, top] } },
    axes: [{ ...axis, label: "score" }, { ...axis, values: (u, ticks) => ticks.map((tick) => `${Math.round(100 * tick)} %`) }],
    series: [{ label: "score" }, ...series],
    cursor: { drag: { x: false, y: false } },
    hooks: { draw: [lines] },
    legend: { live: false },
    bands,
  };
  const made = new uPlot(options, data, box);
  new ResizeObserver(() => made.setSize({ width: box.clientWidth, height: 240 })).observe(box);
  return made;
}

function stepped(label, name) {
  return { label, stroke: colour(name), fill: `${colour(name)}33`, width: 2, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } };
}

function line(label, name, dash) {
  return { label, stroke: colour(name), width: dash ? 1 : 2, dash, points: { show: false }, spanGaps: false };
}

const catches = (part) => [["labelled defects caught, with their 95 % interval"], ["lowest", [4, 4]], ["highest", [4, 4]]]
  .map(([label, dash], i) => [part("catches", i), line(label, "series-d", dash)]);

function draw() {
  const { histogram, curve, counts } = numbers;
  const kinds = [["held_out", "normal, held out at calibration", "series-a"], ["newest", "newest frames", "series-b"],
    ["good", "labelled good", "series-c"], ["defects", "labelled defect", "series-d"]].filter(([key]) => counts[key]);
  const part = (name, index) => curve.map((point) => point[name]?.[index] ?? null);
  const known = counts.defects ? catches(part) : [];
  return [
    plot("histogram", 1.1 * Math.max(0.01, ...histogram.held_out, ...histogram.newest), [histogram.edges, ...kinds.map(([key]) => histogram[key])], kinds.map(([, label, name]) => stepped(label, name))),
    plot("chances", 1, [curve.map((point) => point.threshold), ...[0, 1, 2].map((i) => part("false_alarms", i)), ...known.map(([data]) => data)],
      [line("false alarms, with their 95 % interval", "series-a"), line("lowest", "series-a", [4, 4]), line("highest", "series-a", [4, 4]),
        ...known.map(([, series]) => series)],
      [{ series: [3, 2], fill: `${colour("series-a")}33` }, ...(known.length ? [{ series: [6, 5], fill: `${colour("series-d")}33` }] : [])]),
  ];
}

let turn = 0;

/** Say what the tried value leads to. */
async function tell(plots) {
  plots.forEach((made) => made.redraw(false));
  const mine = ++turn;
  await new Promise((done) => { setTimeout(done, 60); });
  if (mine !== turn || value.value === "") return;
  const answer = await fetch(`/threshold/chances?value=${encodeURIComponent(value.value)}`).catch(() => null);
  if (mine !== turn || !answer?.ok) return;
  const point = await answer.json();
  document.getElementById("alarms").textContent = withInterval(point.false_alarms, "the package has no normal scores");
  document.getElementById("catches").textContent = withInterval(point.catches, "no defect has been labelled");
  document.getElementById("seen").textContent = point.seen === null ? "no frame yet" : percent(point.seen);
}

async function start() {
  const answer = await fetch("/threshold/numbers");
  if (answer.status === 401) { location.href = "/login"; return; }
  numbers = await answer.json();
  if (!answer.ok) { notice(numbers.error, true); return; }
  const { counts, curve, promised } = numbers;
  document.getElementById("basis").textContent =
    `${counts.held_out} held-out normal images of the calibration, ${counts.newest === 1 ? "1 frame" : `${counts.newest} newest frames`} of this station, ` +
    `${counts.good} labelled good, ${counts.defects} labelled defect.` +
    (promised === null ? "" : ` The package promises at most ${percent(promised)} false alarms at its own threshold.`);
  [slider.min, slider.max] = numbers.bounds ?? [curve[0].threshold, curve.at(-1).threshold];
  value.value = numbers.threshold.toPrecision(5);
  slider.value = numbers.threshold;
  const plots = draw();
  slider.addEventListener("input", () => { value.value = Number(slider.value).toPrecision(5); tell(plots); });
  value.addEventListener("input", () => { slider.value = value.value; tell(plots); });
  tell(plots);
}

document.getElementById("change").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const done = await change("/threshold", { value: Number(value.value), seen: numbers.threshold });
    numbers.threshold = done.new;
    notice(`The threshold was ${done.old.toPrecision(4)} and is ${done.new.toPrecision(4)} now.`);
  } catch (error) {
    notice(error.message, true);
  }
});
start();
