// Gates: what was measured against its limit, the worst first.

import { bytes, duration, number, text } from "/app/data/words.js";
import { html } from "/app/parts/html.js";
import { Card, State, Table } from "/app/parts/parts.js";

const RANK = { fail: 0, inconclusive: 1, waiting: 2, pass: 3 };
const WIDTH = 210;

// Dot and interval between 0 and the limit, which stands at two thirds.
function Forest({ gate }) {
  const value = gate.value;
  if (typeof value !== "number" || !(gate.limit > 0)) {
    return html`<span class="soft">${gate.limit === 0 ? "any is too many" : "no numbers yet"}</span>`;
  }
  const at = (v) => Math.min(Math.max(10 + v / gate.limit * 130, 2), WIDTH - 4);
  const [low, high] = Array.isArray(gate.interval) ? gate.interval : [value, value];
  return html`<svg class="forest ${gate.verdict === "fail" ? "s-bad" : ""}" viewBox="0 0 ${WIDTH} 20" role="img"
    aria-label=${`${value.toPrecision(3)} of a limit of ${gate.limit}`}><line class="ax" x1="0" x2=${WIDTH} y1="10" y2="10" />
    <line class="z" x1=${at(0)} x2=${at(0)} y1="4" y2="16" /><line class="lm" x1=${at(gate.limit)} x2=${at(gate.limit)} y1="2" y2="18" />
    <line class="ci" x1=${at(low)} x2=${at(high)} y1="10" y2="10" /><circle class="d" cx=${at(value)} cy="10" r="4" /></svg>`;
}

// A number of one side, with the unit of its metric.
const UNITS = { us: (v) => duration(v / 1000), bytes };
const arm = (a) => !a ? "–" : Object.hasOwn(UNITS, a.unit) ? UNITS[a.unit](a.value)
  : `${Number(Number(a.value).toPrecision(4))} ${text(a.unit)}`.trim();

function words(g) {
  if (g.statistical || g.updated) {
    return `${text(g.text)}${g.look ? `, look ${g.look} of 4` : ""}`;
  }
  const interval = Array.isArray(g.interval) ? ` (95 % CI ${g.interval[0].toFixed(1)} to ${g.interval[1].toFixed(1)})` : "";
  return `${g.bad} of ${g.ended} ended = ${Number(g.value).toPrecision(3)} ${g.unit}${interval}`;
}

export function Gates({ rollout, chosen }) {
  const list = [...(rollout.gates || [])].sort((a, b) => (RANK[a.verdict] ?? 2) - (RANK[b.verdict] ?? 2));
  const failed = list.filter((g) => g.verdict === "fail").length;
  return html`<${Card} title=${failed > 0 ? `Gates: ${failed} of ${list.length} failed` : `Gates: ${
    list.filter((g) => g.verdict === "pass").length} of ${list.length} hold`} label="Gates">
    ${list.length === 0 ? html`<p class="soft">This rollout has none: only its phases hold it.</p>`
  : html`<${Table} label="Gates" heads=${["gate", "verdict", "measured", "+0 to limit", "#limit", "+#new", "+#not updated", "+then"]} rows=${
    list.map((g) => ({ hit: g.verdict === "fail" || g.name === chosen, cells: [html`<b>${g.name}</b>`, html`<${State} word=${g.verdict} />`, html`${words(g)}<br /><span class="soft">${text(g.because)}${g.note ? html`<br />${text(g.note)}` : null}</span>`,
      html`<${Forest} gate=${g} />`, `${number(g.limit) === "0" ? g.limit : Number(g.limit)} ${g.unit}`, arm(g.updated), arm(g.waiting), g.action] }))} />`}
    <//>`;
}
