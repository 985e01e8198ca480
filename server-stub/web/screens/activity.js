// Activity and access: orders, the audit and its proof, keys, users and tokens.

import { call } from "/app/data/api.js";
import { may, mayAudit } from "/app/data/access.js";
import { time } from "/app/data/time.js";
import { ago, clock, duration, kind, many, number, text } from "/app/data/words.js";
import { link } from "/app/data/url.js";
import { Armed } from "/app/parts/armed.js";
import { html } from "/app/parts/html.js";
import { Card, Meter, Same, State, Table } from "/app/parts/parts.js";
import { namesakes, said, Who } from "/app/parts/record.js";
import { Screen } from "/app/parts/screen.js";

const SOON_MS = 30 * 86400000;
const DETAIL = 90;
const QUIET = /^(blob\.|report\.|device\.enroll)/;

const brief = (words) => words.length > DETAIL ? html`<details class="long"><summary>${words.slice(0, DETAIL)}…</summary>${words}</details>` : html`<span class="long">${words}</span>`;
// The release that an order is about by its name, else its model.
const about = (o, names) => Object.values(o.body?.args || {}).flat().map((one) => names.get(one)).find((name) => name) || o.body?.args?.model || "";
// A refused request has the id of its error.
const isBad = (result) => kind(result) === "bad" || String(result).includes(".");
const left = (at) => at > 0 && at < time.now() + 1e12 * 4 ? at - time.now() : null;

function Ends({ at }) {
  const ms = left(at);
  return ms === null ? "never" : html`<span class=${ms < SOON_MS ? "st warn" : ""}>${ms < 0 ? "ended" : `in ${duration(ms)}`}</span>`;
}

// Who leads: one whose row is old is named first.
export function Controllers({ shared, items, epoch, changes, changes_hour: many1h }) {
  const leader = items.find((c) => c.state === "leads");
  if (!shared) {
    return html`<${Card} title="Controller" label="Controllers"><p>${text(leader?.name)} leads since ${clock(leader?.since_ms)}. It is the only one: its data are in files of its own, and none stands by.</p><//>`;
  }
  return html`<${Card} title="Controllers" label="Controllers" head=${html`<span class="soft">epoch ${number(epoch)}, ${many(many1h, "change")} of leader within an hour</span>`}>
    <${Table} label="Controllers" heads=${["name", "state", "since", "heard", "+people", "+devices", "+version"]} rows=${items.map((c) => ({ hit: c.state === "silent" || c.state === "waits",
  cells: [html`<b>${text(c.name)}</b>`, html`<${State} word=${c.state} />`, clock(c.since_ms), ago(c.heard_at_ms), text(c.people), text(c.devices), text(c.version)] }))} />
    ${changes.length > 1 ? html`<p class="soft">Led before: ${changes.slice(1, 5).map((c) => `${text(c.name)} from ${clock(c.at_ms)}`).join(", ")}.</p>` : null}
    <p class="soft">The same: <code>flotilla controller list</code></p><//>`;
}

export class Activity extends Screen {
  topics = ["audit", "order"];
  every = 2000;

  async read({ query }) {
    const none = () => null;
    const deep = mayAudit();
    const [orders, releases, audit, trust, controllers, verified, tokens, users] = await Promise.all([call("GET", "/v1/orders?limit=20"), call("GET", "/v1/releases").catch(none),
      call("GET", `/v1/audit?order=newest&limit=${query.limit || 25}`), call("GET", "/v1/trust/status").catch(none), call("GET", "/v1/controllers").catch(none),
      deep ? call("GET", "/v1/audit/verify").catch(none) : null, deep ? call("GET", "/v1/tokens?limit=200").catch(none) : null,
      deep ? call("GET", "/v1/users").catch(none) : null]);
    const names = new Map((releases?.items || []).map((r) => [r.digest, `${r.model}@${r.version}`]));
    return { orders: orders.items, names, audit: audit.items, trust, controllers, verified, tokens: tokens?.items, users: users?.items };
  }

  draw({ orders, names, audit, trust, controllers, verified, tokens, users }, { query }, { revoke }) {
    const soon = (tokens || []).filter((t) => left(t.expires_at_ms) !== null && left(t.expires_at_ms) > 0 && left(t.expires_at_ms) < 7 * 86400000
      && t.uses_left !== 0);
    const shown = query.all ? audit : audit.filter((a) => !QUIET.test(a.what) || a.result !== "ok");
    const words = String(query.find || "").toLowerCase();
    const found = words ? shown.filter((a) => [a.who, a.what, a.object, a.detail, said(a.detail, names)].join(" ").toLowerCase().includes(words)) : shown;
    const twice = namesakes(audit, tokens);
    const close = () => this.setState({ revoke: null });
    return html`<h1>Activity and access</h1>
    ${verified && !verified.ok ? html`<div class="notice n-bad" role="alert"><p class="big">The audit's chain is broken: ${verified.error}</p><p><b>Next:</b> keep the data folder, compare with a signed head kept elsewhere: <code>flotilla audit verify</code></p></div>` : null}
    ${trust && trust.behind > 0 ? html`<div class="notice n-warn"><b>${many(trust.behind, "device")} of ${number(trust.devices)} do not know trust ${number(trust.number)} yet.</b> They take it at contact.</div>` : null}
    ${(controllers?.items || []).filter((c) => c.state === "silent").map((c) => html`<div class="notice n-warn"><b>Controller ${text(c.name)} was last heard ${ago(c.heard_at_ms)}.</b> Start it again: it stands by. Until then one less can take the lead.</div>`)}
    ${soon.slice(0, 4).map((t) => html`<div class="notice n-warn"><b>The ${t.kind} token ${t.name ? `${t.name} ${t.id}` : t.id} ends in ${duration(left(t.expires_at_ms))}.</b> Who uses it is refused from then on.</div>`)}
    ${revoke ? html`<${Armed} title=${`Revoke ${revoke.kind} token ${revoke.id}${revoke.name ? ` of ${revoke.name}` : ""}`} typed=${revoke.name || revoke.id} button=${`Revoke ${revoke.name || revoke.id}`} command=${`flotilla token revoke ${revoke.id}`}
      close=${close} done=${() => { close(); this.readNow(); }} act=${() => call("DELETE", `/v1/tokens/${encodeURIComponent(revoke.id)}`)}><p>It is refused from now on. It cannot be undone.</p><//>` : null}
    ${controllers?.shared ? html`<${Controllers} ...${controllers} />` : null}
    <${Card} title="Orders">${orders.length === 0 ? html`<p class="soft">None was given yet.</p>` : html`<${Table} label="Orders" heads=${["order", "what", "scope", "#given", "#done", "state"]} rows=${orders.map((o) => ({
  hit: o.failed > 0, cells: [html`<a href=${link(["orders", o.id])}>${o.id}</a>`, `${o.op} ${text(about(o, names))}`, o.rollout || o.group || "everywhere", clock(o.issued_at_ms),
    `${number(o.done)} of ${number((o.done || 0) + (o.failed || 0) + (o.pending || 0))}`, html`<${State} word=${o.state} more=${o.failed > 0 ? `${number(o.failed)} cannot` : ""} />`] }))} />`}<//>
    <${Card} title="Audit, newest first" label="Audit" head=${verified ? html`<${State} word=${verified.ok ? "ok" : "failed"} more=${`${number(verified.records)} records, chain ${
  verified.ok ? "whole" : "broken"}, signed up to ${number(verified.signed)}`} />` : html`<span class="soft">who may verify: auditor, admin</span>`}>
      <form class="row mid" onsubmit=${(e) => { e.preventDefault(); location.hash = link(["activity"], { ...query, find: e.target.elements.words.value }).slice(1); }}>
        <label class="grow"><span class="vh">Find in the audit</span><input name="words" placeholder="who, what or object" value=${query.find || ""} /></label><button type="submit">Filter</button></form>
      <${Table} label="Audit" heads=${["when", "who", "what", "object", "result", "+from or why", "+#record"]} rows=${found.map((a) => ({ hit: isBad(a.result),
  cells: [clock(a.at_ms), html`<${Who} who=${a.who} twice=${twice} />`, text(a.what), html`<span class="any">${text(a.object)}</span>`, isBad(a.result) ? html`<span class="st bad">${text(a.result)}</span>` : html`<${State} word=${a.result} />`, brief(said(a.detail, names)), number(a.number)] }))} />
      <p class="soft">${many(found.length, "record")} shown. ${query.all ? html`<a href=${link(["activity"], { ...query, all: null })}>Leave out uploads and reports</a>`
  : html`Uploads and reports that went well are left out; <a href=${link(["activity"], { ...query, all: "yes", limit: 500 })}>show all</a>`}. Export: <code>flotilla audit list -o jsonl</code></p><//>
    ${controllers && !controllers.shared ? html`<div class="col c6"><${Controllers} ...${controllers} /></div>` : null}
    ${trust ? html`<${Card} title=${`Keys: trust ${number(trust.number)}`} at="c6" head=${html`<span class="soft">${trust.signed ? "signed by root keys" : "not signed: a list of the controller"}</span>`}>
      <${Meter} of=${trust.devices} label=${`${trust.devices - trust.behind} of ${trust.devices} have it`} parts=${[["ok", trust.devices - trust.behind]]} />
      <p>${number(trust.devices - trust.behind)} of ${many(trust.devices, "device")} have it.</p><p class="soft">Rotate: <code>flotilla key rotate</code></p><//>` : null}
    ${tokens ? html`<${Card} title="Users and tokens" label="Access"><${Table} label="Users and tokens" heads=${["name", "kind", "role, scope", "+#last used", "#ends", ""]} rows=${[
  ...(users || []).map((u) => [html`<b>${u.name}</b>`, u.disabled ? html`<${State} word="denied" more="disabled" />` : "user", u.role, "–", "–", ""]),
  ...tokens.map((t) => [html`<b>${text(t.name || t.id)}</b> <span class="soft mono">${text(t.id)}</span>`, t.kind, t.kind === "enroll" ? `${text(t.group ?? "all")}, ${number(t.uses_left)} uses left` : text(t.role), t.last_used_at_ms ? ago(t.last_used_at_ms) : "–",
    html`<${Ends} at=${t.expires_at_ms} />`, may("admin") ? html`<button type="button" onclick=${() => this.setState({ revoke: t })}>Revoke<span class="vh"> ${t.kind} token ${text(t.id)} of ${text(t.name || t.id)}</span>…</button>` : ""])]} /><//>`
  : html`<p class="soft">Tokens and users are shown to auditors and admins.</p>`}
    <${Same} command="flotilla audit list" call="GET /v1/audit?order=newest" />`;
  }
}
