// A line chart of quantiles over time: p95 solid, p50 dashed, a colour per
// series, and the same numbers as text for those who do not see it.

import { h } from "/app/dom.js";

const W = 320, H = 170, LEFT = 58, BOTTOM = 20, TOP = 8;

function nice(max) {
  const power = 10 ** Math.floor(Math.log10(max || 1));
  return [1, 2, 5, 10].map((m) => m * power).find((v) => v >= max) || 1;
}

// series: [{name, points: [[at, low, high]]}], format(value) -> text
export function chart(series, format, label) {
  const drawn = series.filter((s) => s.points.length > 0).slice(0, 5);
  if (drawn.length === 0) {
    return h("p", { class: "soft" }, "No numbers yet: they come with the first answered request.");
  }
  const all = drawn.flatMap((s) => s.points);
  const from = Math.min(...all.map((p) => p[0]));
  const to = Math.max(...all.map((p) => p[0]), from + 1000);
  const most = Math.max(...all.map((p) => p[2]));
  const top = most > 0 ? nice(most) : 1;
  const x = (at) => LEFT + (at - from) / (to - from) * (W - LEFT - 8);
  const y = (v) => TOP + (1 - v / top) * (H - TOP - BOTTOM);
  const line = (points, i) => points.map((p, n) =>
    `${n === 0 ? "M" : "L"}${x(p[0]).toFixed(1)} ${y(p[i]).toFixed(1)}`).join("");

  const svg = h("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img",
    "aria-label": `${label}: ` + drawn.map((s) =>
      `${s.name} now ${format(s.points.at(-1)[2])}`).join(", ") });
  for (let i = 0; i <= 2; i += 1) {
    const v = top * i / 2;
    svg.append(h("line", { class: "grid", x1: LEFT, x2: W - 8, y1: y(v), y2: y(v) }),
      h("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, format(v)));
  }
  const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });
  svg.append(h("text", { x: LEFT, y: H - 4 }, clock(from)),
    h("text", { x: W - 8, y: H - 4, "text-anchor": "end" }, clock(to)));
  drawn.forEach((s, n) => {
    const dots = s.points.length === 1;
    if (dots) {
      svg.append(h("circle", { class: `s${n}`, cx: x(s.points[0][0]),
        cy: y(s.points[0][2]), r: 3 }));
    }
    svg.append(h("path", { class: `s${n} p50`, d: line(s.points, 1) }),
      h("path", { class: `s${n}`, d: line(s.points, 2) }));
  });
  return h("div", {}, svg, h("div", { class: "legend" }, drawn.map((s, n) =>
    h("span", {}, h("i", { class: `s${n}` }),
      `${s.name}  ${format(s.points.at(-1)[1])} / ${format(s.points.at(-1)[2])}`))));
}
