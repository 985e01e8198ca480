// Slices: the labels at which a release is worse, unclear, changed or probed.
// Their devices are asked for when somebody opens one.

import { call } from "/app/data/api.js";
import { clock, many, text } from "/app/data/words.js";
import { link } from "/app/data/url.js";
import { Component, html } from "/app/parts/html.js";
import { Card, State, Table } from "/app/parts/parts.js";
import { Problems } from "/app/parts/problems.js";

const RANK = { held: 0, all: 1, back: 2, told: 3 };
const nameOf = (one) => `${one.kind} ${one.slice} ${one.gate}`;

// Devices that are told apart from those of the old release by their wave.
function Devices({ one, of }) {
  const rest = one.members - of.length;
  return html`<${Table} label=${`Devices at ${one.slice}`} heads=${["device", "release", "#effect", "+#wave", "held", "state", "+#phase"]} rows=${of.map((d) => ({
    hit: d.updated && one.kind === "named", cells: [html`<a href=${link(["devices", d.name || d.id])}>${text(d.name || d.id)}</a>`,
      d.updated ? "new" : "old", text(d.effect || "–"), d.updated ? d.wave : "–",
      d.held === "no" ? "–" : html`<${State} word=${d.held} />`, html`<${State} word=${d.state} />`, d.phase > 0 ? d.phase : "–"] }))} />
    ${rest > 0 ? html`<p class="soft">${many(rest, "more device")} there.</p>` : null}`;
}

export class Slices extends Component {
  state = { open: new Set() };

  async read() {
    try {
      const answer = await call("GET", `/v1/rollouts/${encodeURIComponent(this.props.rollout.id)}/slices`);
      this.setState({ items: new Map(answer.items.map((one) => [nameOf(one), one])), problem: null });
    } catch (problem) {
      this.setState({ problem });
    }
  }

  // An open one is read again when the rollout changes.
  componentDidUpdate(before) {
    if (this.state.open.size > 0 && JSON.stringify(before.rollout.slices) !== JSON.stringify(this.props.rollout.slices)) {
      this.read();
    }
  }

  toggle(one, is_open) {
    const open = new Set(this.state.open);
    if (is_open === open.has(nameOf(one))) {
      return;
    }
    open[is_open ? "add" : "delete"](nameOf(one));
    this.setState({ open });
    if (is_open) {
      this.read();
    }
  }

  render({ rollout }, { open, items, problem }) {
    const list = [...(rollout.slices || [])].sort((a, b) => (RANK[a.end] ?? 3) - (RANK[b.end] ?? 3));
    return list.length === 0 ? null : html`<${Card} title="Where it differs" label="Slices">
      <${Problems} problem=${problem} />
      ${list.map((one) => {
    const of = items?.get(nameOf(one))?.devices;
    return html`<div class="block"><p><${State} word=${one.end === "told" ? one.kind : one.end} /> <b>${text(one.slice)}</b>
        ${" "}${text(one.text)} <span class="soft">phase ${one.phase}, ${clock(one.at_ms)}</span></p>
      ${one.kind === "probed" ? null : html`<details open=${open.has(nameOf(one))} ontoggle=${(e) => this.toggle(one, e.currentTarget.open)}>
        <summary>Devices at ${text(one.slice)}</summary>
        ${!open.has(nameOf(one)) ? null : of ? of.length > 0 ? html`<${Devices} one=${one} of=${of} />`
    : html`<p class="soft">None of them was compared, or its record is older than 30 days.</p>`
    : html`<p class="soft" role="status">${items ? "Its record is older than 30 days." : "Reading…"}</p>`}</details>`}</div>`;
  })}<//>`;
  }
}
