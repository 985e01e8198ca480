// Phases of a rollout: devices by state, and how long a soak still takes.

import { time } from "/app/data/time.js";
import { duration, kind, many, number, text } from "/app/data/words.js";
import { Component, html } from "/app/parts/html.js";
import { Card, Meter, State, Table } from "/app/parts/parts.js";

// Words that change with time alone.
export class Ticking extends Component {
  componentDidMount() {
    this.timer = time.each(1000, () => this.setState({}));
  }

  componentWillUnmount() {
    time.stop(this.timer);
  }

  render({ say }) {
    return say(time.now());
  }
}

export const seconds = (ms) => duration(1000 * Math.ceil(ms / 1000)).replace(".0", "");

export const countdown = (soak, now) => soak.until_ms > now ? seconds(soak.until_ms - now) : "now";

// Share of the soak that is over, of the devices that are on trial.
const share = (soak, now) => Math.min(1, Math.max(0, (now - soak.from_ms) / Math.max(soak.until_ms - soak.from_ms, 1)));

export function soakWords(soak, now) {
  return `${soak.devices > 0 ? `soak of ${many(soak.devices, "device")}` : "soak of the phase"} ends ${soak.until_ms > now ? "in " : ""}${countdown(soak, now)}`;
}

function Bar({ phase: p, words }) {
  const sums = {};
  Object.entries(p.counts || {}).forEach(([word, n]) => { sums[kind(word)] = (sums[kind(word)] || 0) + n; });
  const label = words.map(([w, n, of]) => `${of || ""}${n} ${w}`).join(", ") || "nothing yet";
  return html`<${Ticking} say=${(now) => {
    const trial = p.soak ? p.soak.devices : 0;
    const busy = (sums.busy || 0) - trial * (1 - (p.soak ? share(p.soak, now) : 0));
    return html`<${Meter} of=${p.devices} label=${p.soak ? `${label}, ${soakWords(p.soak, now)}` : label}
      parts=${[["bad", sums.bad || 0], ["hold", sums.back || 0], ["ok", sums.ok || 0], ["busy", Math.max(busy, 0)]]} />`;
  }} />`;
}

export function Phases({ one }) {
  const studied = (one.phases || []).filter((p) => typeof p.finds_pct === "number");
  return html`<${Card} title="Phases"><${Table} label="Phases" heads=${["phase", "#devices", "state", "+done", "now"]} rows=${
    (one.phases || []).map((p) => {
      // Who is away stands in a state too: the numbers of the states make the sum.
      const words = [...Object.entries(p.counts || {}), ...["away", "silent", "overdue"].filter((w) => p[w] > 0).map((w) => [w, p[w], "of them "])];
      return { hit: p.state === "failed", cells: [html`<b>${p.number} ${text(p.name)}</b>`, number(p.devices), html`<${State} word=${p.state} />`,
        html`<${Bar} phase=${p} words=${words} />`,
        html`<span class="words">${words.map(([w, n, of]) => html`<span>${of}${number(n)} <${State} word=${w} /></span>`)}${
          p.soak ? html`<span class="soft"><${Ticking} say=${(now) => soakWords(p.soak, now)} /></span>` : null}</span>`] };
    })} />${studied.length > 0 ? html`<p class="soft">What the gates can find: ${studied
    .map((p) => `phase ${p.number} a change of ${p.finds_pct.toFixed(0)} %`).join(", ")}.</p>` : null}<//>`;
}
