"use strict";
// The score of one picture among those of the calibration and of the newest frames.

const WIDTH = 300, HEIGHT = 74;
let evidence = null;

async function loadScores() {
  const answer = await fetch("/threshold/numbers").catch(() => null);
  if (answer?.ok) evidence = await answer.json();
}

function showScore(score, threshold) {
  const box = document.getElementById("scores");
  box.parentElement.hidden = evidence === null;
  if (evidence === null) return;
  const { edges, held_out: normal, newest } = evidence.histogram;
  const step = edges[1] - edges[0];
  const [low, high] = [edges[0], edges.at(-1) + step];
  const highest = Math.max(...normal, ...newest, 1e-9);
  const x = (value) => WIDTH * Math.min(1, Math.max(0, (value - low) / (high - low)));
  const bars = (shares, name) => shares.map((share, i) => shape("rect", {
    x: x(edges[i]), width: x(edges[i] + step) - x(edges[i]), y: HEIGHT * (1 - share / highest), height: HEIGHT * share / highest, class: name,
  }));
  box.replaceChildren(...bars(normal, "normal"), ...bars(newest, "newest"),
    shape("line", { x1: x(threshold), x2: x(threshold), y1: 0, y2: HEIGHT, class: "threshold" }),
    shape("path", { d: `M${Math.min(WIDTH - 7, Math.max(7, x(score)))} ${HEIGHT} l-7 14 h14 z`, class: "score" }));
  document.getElementById("scores-text").textContent =
    "▲ this picture, │ the threshold of that time; blue: normal at calibration, grey: the newest frames. What is far off is at the edge.";
}
