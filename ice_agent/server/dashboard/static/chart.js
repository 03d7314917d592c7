// Draws the table of scores as lines. The table is all there is to it: without this it stands alone.
"use strict";

const COLOURS = {
  light: ["#1f5fbf", "#b3261e", "#1b7f4b", "#8a5a00", "#7a3fb0", "#00768a", "#b04a7f", "#5c6b00", "#505560"],
  dark: ["#86b4ff", "#ff9a90", "#6fd19c", "#e5b454", "#c79bff", "#5fd0e0", "#f29ac6", "#c3d35a", "#a9afb8"],
};
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [12, 4], [], [6, 3], [2, 3], [8, 3, 2, 3]];

function drawn(place) {
  const table = document.getElementById(place.dataset.chart);
  const rows = [...table.tBodies[0].rows].filter((row) => "served" in row.dataset);
  if (!rows.length) return place.remove();
  const names = [...table.tHead.querySelectorAll("[data-metric]")].map((cell) => cell.dataset.metric);
  const columns = names.map((_, column) => rows.map((row) => {
    const value = row.cells[column + 2].dataset.value;
    return value === undefined ? null : Number(value);
  }));
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--drawn-ink"), line = style.getPropertyValue("--drawn-line");
  const isDark = getComputedStyle(document.body).getPropertyValue("--is-dark").trim() === "1";
  const colours = COLOURS[isDark ? "dark" : "light"];
  const labels = rows.map((row) => row.cells[0].textContent.trim().slice(0, 8));
  const used = names.map((name, i) => [name, columns[i], i]).filter(([, values]) => values.some((v) => v !== null));
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  const lowest = Math.min(...used.flatMap(([, values]) => values.filter((v) => v !== null)));
  // Of names that would run into each other, the newest and as many before it as have room.
  const every = Math.ceil(rows.length * 76 / place.clientWidth);
  return new uPlot({
    width: place.clientWidth,
    height: 240,
    scales: { x: { time: false, range: (_, min, max) => [min - 0.3, max + 0.3] }, y: { range: [Math.max(0, Math.min(0.7, lowest - 0.05)), 1.01] } },
    axes: [
      { ...axis, splits: () => rows.map((_, i) => i).filter((i) => (rows.length - 1 - i) % every === 0), values: (_, splits) => splits.map((i) => labels[i] ?? ""), space: 80 },
      { ...axis, size: 48 },
    ],
    series: [
      { label: "adapter", value: (_, at) => (at === null ? "" : labels[at]) },
      ...used.map(([name, , i]) => ({
        label: name, stroke: colours[i], width: 1.5, dash: DASHES[i], spanGaps: true, points: { size: 6, fill: colours[i] },
        value: (_, share) => (share === null ? "–" : share.toFixed(3)),
      })),
    ],
  }, [rows.map((_, i) => i), ...used.map(([, values]) => values)], place);
}

function draw() {
  for (const place of document.querySelectorAll("[data-chart]")) {
    place.replaceChildren();
    drawn(place);
  }
}

draw();
document.addEventListener("themed", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(draw, 150);
});
