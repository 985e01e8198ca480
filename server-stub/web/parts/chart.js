// Lines over time: p95 drawn, p50 dashed, no line over a gap, from 0, rollouts
// marked.  The same figures stand in a table on the same page.

import uPlot from "/app/vendor/uPlot.esm.js";
import { clock } from "/app/data/words.js";
import { Component, html } from "/app/parts/html.js";

const COLOURS = ["--cand", "--ctrl", "--ok", "--hold", "--warn"];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const HEIGHT = 170;
const dark = matchMedia("(prefers-color-scheme: dark)");

// series: [{ name, points: [[at, low, high]] }] to uPlot's columns.
function columns(series) {
  const times = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
  const data = [times.map((at) => at / 1000)];
  for (const one of series) {
    const by = new Map(one.points.map((p) => [p[0], p]));
    data.push(times.map((at) => by.get(at)?.[2] ?? null), times.map((at) => by.get(at)?.[1] ?? null));
  }
  return data;
}

function marks(list) {
  return (u) => {
    u.ctx.save();
    u.ctx.strokeStyle = colour("--edge");
    u.ctx.fillStyle = colour("--soft");
    u.ctx.setLineDash([3, 3]);
    u.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    for (const mark of list) {
      const x = Math.round(u.valToPos(mark.at / 1000, "x", true));
      if (x >= u.bbox.left && x <= u.bbox.left + u.bbox.width) {
        u.ctx.beginPath();
        u.ctx.moveTo(x, u.bbox.top);
        u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
        u.ctx.stroke();
        u.ctx.fillText(mark.name, x + 4, u.bbox.top + 11 * devicePixelRatio);
      }
    }
    u.ctx.restore();
  };
}

export class Chart extends Component {
  componentDidMount() {
    this.sized = new ResizeObserver(() => this.plot?.setSize(
      { width: Math.max(this.place.clientWidth, 100), height: HEIGHT }));
    this.sized.observe(this.place);
    this.again = () => this.draw();
    dark.addEventListener("change", this.again);
    this.draw();
  }

  componentDidUpdate() {
    this.draw();
  }

  componentWillUnmount() {
    this.sized.disconnect();
    dark.removeEventListener("change", this.again);
    this.plot?.destroy();
  }

  draw() {
    const { series, format, marks: list = [] } = this.props;
    this.plot?.destroy();
    this.plot = null;
    if (series.length === 0) {
      return;
    }
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const data = columns(series);
    const [begin, end] = [data[0][0], data[0].at(-1)];
    this.plot = new uPlot({
      width: Math.max(this.place.clientWidth, 100), height: HEIGHT, legend: { show: false },
      cursor: { drag: { x: false } },
      scales: { x: { range: [Math.min(begin, end - 60), end] }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.25 : 1] } },
      axes: [{ ...axis, size: 30, space: 70, values: (u, at) => at.map((s) => clock(s * 1000).slice(0, end - begin < 600 ? 8 : 5)) },
        { ...axis, size: 66, values: (u, at) => at.map((v) => format(v)) }],
      series: [{}, ...series.flatMap((one, i) => {
        const stroke = colour(COLOURS[i % COLOURS.length]);
        return [{ stroke, width: 2, points: { size: 4 } },
          { stroke, width: 1, dash: [4, 3], points: { show: false } }];
      })],
      hooks: { draw: [marks(list)] },
    }, data, this.place);
  }

  render({ series, format, label }) {
    const now = series.map((s) => `${s.name} now ${format(s.points.at(-1)?.[2])}`).join(", ");
    return html`<figure><figcaption class="legend">${series.map((s, i) => html`<span><i
      class="key c${i % COLOURS.length}"></i>${s.name}</span>`)}</figcaption>
      <div class="plot" role="img" aria-label=${`${label}: ${now || "no numbers yet"}`} ref=${(e) => { this.place = e; }}></div>
      ${series.length === 0 ? html`<p class="soft">No numbers yet: they come with the first answered request.</p>` : null}
    </figure>`;
  }
}
