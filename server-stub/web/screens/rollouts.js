// All rollouts, what fails first, and the releases that can be rolled out.

import { call } from "/app/data/api.js";
import { maySomewhere } from "/app/data/access.js";
import { ago, bytes, clock, number, rolloutOrder, rolloutState, text } from "/app/data/words.js";
import { link } from "/app/data/url.js";
import { html } from "/app/parts/html.js";
import { Card, Same, State, Table } from "/app/parts/parts.js";
import { Screen } from "/app/parts/screen.js";

export class Rollouts extends Screen {
  topics = ["rollout", "release"];

  async read() {
    const [rollouts, releases, freezes] = await Promise.all([call("GET", "/v1/rollouts"), call("GET", "/v1/releases"), call("GET", "/v1/change-freezes")]);
    return { rollouts: rollouts.items.sort(rolloutOrder), releases: releases.items, freezes: freezes.items };
  }

  draw({ rollouts, releases, freezes }) {
    const can = maySomewhere("operator");
    return html`<div class="head mid"><h1>Rollouts</h1><span class="push"></span>${can
      ? html`<a class="btn primary" href=${link(["rollouts", "new"])}>New rollout…</a>` : null}</div>
    <${Card} title="Rollouts, what fails first" label="Rollouts">${rollouts.length === 0
  ? html`<p class="soft">None yet. Start one: <code>flotilla rollout start MODEL@VERSION --group all</code></p>`
  : html`<${Table} label="Rollouts" heads=${["rollout", "release", "state", "why", "#have it", "+group", "+by", "#begun"]} rows=${
    rollouts.map((r) => ({ hit: r.state === "halted" && r.holders > 0, cells: [html`<a href=${link(["rollouts", r.id])}>${r.id}</a>`, r.release,
      html`<${State} word=${rolloutState(r)} />`, r.causes?.[0] ? `${r.causes[0].id} on ${number(r.causes[0].devices)}` : r.reason || "–",
      html`${number(r.holders)} of ${number(r.members)}${r.overtaken > 0 ? html`<br /><span class="soft">${number(r.overtaken)} run another since</span>` : null}`, r.group, text(r.by), ago(r.created_at_ms)] }))} />`}<//>
    <${Card} title="Releases"><${Table} label="Releases" heads=${["release", "state", "#number", "+#bytes", "+digest", ""]} rows=${
  releases.map((r) => [`${r.model}@${r.version}`, html`<${State} word=${r.state} />`, number(r.number), bytes(r.bytes),
    html`<span class="mono">${(r.digest || "").slice(0, 23)}…</span>`, can && r.state === "published"
      ? html`<a class="btn" href=${link(["rollouts", "new"], { release: `${r.model}@${r.version}` })}>Roll out<span class="vh"> ${r.model}@${r.version}</span>…</a>` : ""])} /><//>
    <${Card} title="Change freezes" head=${html`<span class="soft">no rollout begins in them; emergencies go through</span>`}>${freezes.length === 0
  ? html`<p class="soft">None. Make one: <code>flotilla change-freeze create NAME</code></p>`
  : html`<${Table} label="Change freezes" heads=${["name", "state", "for", "+when", "#ends", "why", "+by"]} rows=${freezes.map((f) => [html`<b>${f.name}</b>`,
    html`<${State} word=${f.on ? "frozen" : "waiting"} />`, text(f.group || "all"), f.window || `${clock(f.from_ms)} to ${clock(f.until_ms)}`, f.on ? clock(f.ends_at_ms) : "–",
    text(f.reason || "–"), text(f.by)])} />`}<//>
    <${Same} command="flotilla rollout list" call="GET /v1/rollouts" />`;
  }
}
