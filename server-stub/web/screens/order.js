// One order under way: how many are back, who is left and why.

import { call } from "/app/data/api.js";
import { time } from "/app/data/time.js";
import { clock, digest, duration, kind, many, number, text } from "/app/data/words.js";
import { link } from "/app/data/url.js";
import { html } from "/app/parts/html.js";
import { Card, Counts, Meter, Same, State, Table } from "/app/parts/parts.js";
import { Screen } from "/app/parts/screen.js";

// The device of an order for one.
const deviceName = (order, id) => text((order.devices || []).find((d) => d.id === id)?.name || id);

// The order's own words: what, where, by whom and why, as far as they are known.
export function given(order, releases) {
  const body = order.body || {}, args = body.args || {}, scope = body.scope || {};
  const said = Object.values(args).flat();
  const named = releases.find((r) => said.includes(r.digest));
  const word = (value) => typeof value === "string" && value ? value : "";
  return { what: named ? `${named.model}@${named.version}` : word(args.model) || (word(args.release) ? digest(args.release) : ""),
    where: order.rollout || (scope.device ? deviceName(order, scope.device) : word(order.group) || "everywhere"),
    by: word(body.by), why: word(order.reason) };
}

export class Order extends Screen {
  topics = ["order"];
  every = 500;

  async read({ path }) {
    const none = () => ({ items: [] });
    const [order, releases] = await Promise.all([call("GET", `/v1/orders/${encodeURIComponent(path[1])}?devices=200`),
      call("GET", "/v1/releases").catch(none)]);
    return { order, given: given(order, releases.items) };
  }

  componentWillUnmount() {
    time.stop(this.again);
    super.componentWillUnmount();
  }

  draw({ order, given: say }) {
    const ended = (order.done || 0) + (order.failed || 0);
    const all = ended + (order.pending || 0);
    const theirs = order.rollout && all === 0 && !order.making; // executions answer it
    const left = [...(order.devices || [])].sort((a, b) => Number(kind(text(b.outcome)) === "bad") - Number(kind(text(a.outcome)) === "bad")
      || Number(!!a.outcome) - Number(!!b.outcome));
    time.stop(this.again); // an order that acts is watched
    this.again = order.awaited > 0 ? time.after(1000, () => this.want()) : null;
    return html`<div class="head mid"><h1>${order.id} · ${order.op}${say.what ? ` ${say.what}` : ""}</h1>${theirs ? null : html`<${State} word=${order.state} />`}</div>
    <p class="soft">For ${say.where}${say.by ? `, by ${say.by}` : ""}, given ${clock(order.issued_at_ms)}${say.why ? `: ${say.why}` : ""}.</p>
    ${theirs ? html`<${Card} label="Progress"><p role="status">The order is signed. Its devices are those of rollout <a href=${link(["rollouts", order.rollout])}>${order.rollout}</a>.</p><//>`
    : html`<${Card} label="Progress"><p class="huge" role="status">${number(order.done)} of ${many(all, "device")} done</p>
      <${Meter} of=${all} label=${`${order.done} done, ${order.failed} cannot`} parts=${[["ok", order.done], ["bad", order.failed]]} />
      <${Counts} items=${[{ n: number(order.failed), word: "cannot", kind: order.failed > 0 ? "bad" : null },
  { n: number(order.awaited), word: "online, awaited", kind: order.awaited > 0 ? "busy" : null },
  { n: number(Math.max(order.pending - order.awaited, 0)), word: "offline, at contact", kind: order.pending > order.awaited ? "off" : null },
  { n: duration(order.heard_ms_p50), word: "answered, p50" }, { n: duration(order.heard_ms_p99), word: "answered, p99" }]} /><//>`}
    ${(order.reasons || []).length > 0 ? html`<${Card} title="Why not"><${Table} label="Reasons" heads=${["cause", "#devices"]} rows=${
  order.reasons.map((r) => [html`<code>${r.error || "no reason"}</code>`, number(r.devices)])} /><//>` : null}
    ${theirs ? null : html`<${Card} title="Devices, who is left first" label="Devices"><${Table} label="Devices" heads=${["device", "outcome", "why", "#answered", "+online"]} rows=${left.map((d) => ({
  hit: kind(text(d.outcome)) === "bad", cells: [html`<a href=${link(["devices", d.name || d.id])}>${text(d.name || d.id)}</a>`, html`<${State} word=${d.outcome || "waiting"} />`,
    d.error ? `${text(d.error.id)}: ${text(d.error.what || "")}` : "", d.heard_ms > 0 ? duration(d.heard_ms) : "–", d.online ? "yes" : "no"] }))} /><//>`}
    <${Same} command=${`flotilla order get ${order.id}`} call=${`GET /v1/orders/${order.id}`} />`;
  }
}
