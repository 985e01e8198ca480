// One rollout: why it stands, who failed and what helps, phases, gates, devices.

import { call } from "/app/data/api.js";
import { may } from "/app/data/access.js";
import { bytes, clock, duration, kind, many, number, rolloutState, text } from "/app/data/words.js";
import { link } from "/app/data/url.js";
import { Armed } from "/app/parts/armed.js";
import { announce } from "/app/parts/announce.js";
import { Gates } from "/app/parts/gates.js";
import { html } from "/app/parts/html.js";
import { Card, Chips, Counts, Same, State, Table } from "/app/parts/parts.js";
import { countdown, Phases, seconds, Ticking } from "/app/parts/phases.js";
import { Prose } from "/app/parts/problems.js";
import { Screen } from "/app/parts/screen.js";
import { Slices } from "/app/parts/slices.js";

const SHOWN = 200; // asked for; the controller gives failed ones first
const ONLY = { failed: "failed", "not done": "not-done" };
const ROWS = 40;
const FAILED = ["failed", "rejected", "timed-out", "rolled-back"];

const touched = (one) => (one.phases || []).filter((p) => p.state !== "waiting").reduce((n, p) => n + p.devices, 0);

// The cause first, then what happened to how many, then what to do next.
export function Notice({ one }) {
  const held = (one.phases || []).some((p) => p.state === "held");
  const causes = one.causes || [];
  const ended = ["halted", "rolled-back", "rolling-back", "partly-back"].includes(one.state);
  if (!ended && !held && causes.length === 0) {
    return one.reason ? html`<p class="soft">${one.reason}</p>` : null;
  }
  const back = one.state.startsWith("roll");
  const remaining = one.remaining || [];
  return html`<div class="notice ${back ? "" : ended && one.state !== "partly-back" ? "n-bad" : "n-warn"}" aria-label="Cause" role="region">
    <p class="big">${causes[0] ? causes[0].meaning || causes[0].id : one.reason}</p>
    ${causes.map((c) => html`<p><code>${c.id}</code> on ${number(c.devices)} of ${many(touched(one), "device")}${
      c.meaning ? `: ${c.meaning}` : ""}${c.fix ? html` · <b>Next:</b> <${Prose} words=${c.fix} />` : null}</p>`)}
    ${remaining.length > 0 ? html`<p><b>Not back:</b> ${remaining.map((d) => d.name).join(", ")} · <b>Next:</b> <${Prose} words=${one.remedy} /></p>` : null}
    <p class="soft">${one.reason} · ${number(one.holders)} have ${one.release} now, ${
  number(Math.max(one.members - touched(one), 0))} of ${number(one.members)} never touched.</p></div>`;
}

const ACTIONS = {
  pause: { word: "Pause", say: (r) => `Pause ${r.id}: no device begins any more; who is under way ends.`, calm: true },
  resume: { word: "Resume", say: (r) => `Resume ${r.id}: devices of phase ${r.phase} begin again.`, calm: true },
  approve: { word: "Approve…", say: (r) => `Approve ${r.id}: ${r.release} may begin on ${number(r.members)} devices.`, calm: true },
  promote: { word: "Promote phase…", say: (r) => `Leave phase ${r.phase} of ${r.id} though its gates have not passed. The next phase begins.` },
  abort: { word: "Abort…", say: (r) => `Abort ${r.id}. Devices that have not activated it yet stay as they are; ${number(r.holders)} keep it.` },
};

function offered(one) {
  const running = one.state === "running", paused = one.state === "paused";
  return [running && "pause", paused && "resume", one.state === "awaiting-approval" && "approve",
    (running || paused) && "promote", (running || paused || ["awaiting-approval", "scheduled"].includes(one.state)) && "abort"].filter((a) => a);
}

export const goesBack = (one) => one.holders > 0
  && ["running", "paused", "completed", "halted", "aborting", "aborted"].includes(one.state);

export function Buttons({ one, open }) {
  if (!may("operator", one.group === "all" ? null : one.group)) {
    return null;
  }
  return html`${offered(one).map((action) => html`<button type="button" onclick=${() => open(action)}>${ACTIONS[action].word}</button>`)}
    ${one.state === "halted" && may("releaser") ? html`<button type="button" class="danger" onclick=${() => open("yank")}>Yank ${one.release}…</button>` : null}
    ${goesBack(one) ? html`<button type="button" class="danger" onclick=${() => open("rollback")}>Roll back ${number(one.holders)}…</button>` : null}`;
}

function Ask({ one, action, close, done }) {
  const path = `/v1/rollouts/${encodeURIComponent(one.id)}/actions`;
  if (action === "rollback") {
    return html`<${Armed} title=${`Take ${one.id} back`} typed=${one.release} button=${`◀ Take ${number(one.holders)} devices back`}
      command=${`flotilla rollout rollback ${one.id}`} close=${close} done=${done}
      act=${(reason, typed) => call("POST", path, { action, confirm: typed, reason })}>
      <p>${many(one.holders, "device")} have ${one.release} by this rollout. Each goes back to what it ran before; those that are offline
      follow at contact. The release stays published; Emergency withdraws it everywhere.</p><//>`;
  }
  if (action === "yank") {
    return html`<${Armed} title=${`Yank ${one.release}`} typed=${one.release} button=${`Yank ${one.release}`} close=${close} done=${done}
      command=${`flotilla release yank ${one.release}`}
      act=${(reason) => call("POST", `/v1/releases/${encodeURIComponent(one.release)}/yank`, reason ? { reason } : {})}>
      <p>No device takes ${one.release} any more. Who has it keeps it. It can be undone.</p><//>`;
  }
  const what = ACTIONS[action];
  // A second person's "promote" must not leave the phase after this one.
  return html`<${Armed} title=${`${what.word.replace("…", "")} ${one.id}`} button=${what.word.replace("…", "")} calm=${what.calm} close=${close} done=${done}
    command=${`flotilla rollout ${action} ${one.id}`}
    act=${(reason) => call("POST", path, reason ? { action, reason } : { action }, action === "promote" ? one.etag : null)}>
    <p>${what.say(one)}</p><//>`;
}

// Devices by the state that they are in now, over all phases, failed first.
function Funnel({ one }) {
  const all = {};
  (one.phases || []).forEach((p) => Object.entries(p.counts || {}).forEach(([w, n]) => { all[w] = (all[w] || 0) + n; }));
  const order = ["bad", "back", "busy", "off", "ok", "warn"];
  const rows = Object.entries(all).sort((a, b) => order.indexOf(kind(a[0])) - order.indexOf(kind(b[0])) || b[1] - a[1]);
  return html`<${Card} title="Devices by state" label="Funnel" at="c4">${rows.length === 0 ? html`<p class="soft">Nothing was ordered yet.</p>`
    : html`<${Table} label="Funnel" heads=${["state", "#devices", "#of all"]} rows=${rows.map(([w, n]) => ({ hit: kind(w) === "bad",
      cells: [html`<${State} word=${w} />`, number(n), `${(100 * n / Math.max(one.members, 1)).toFixed(1)} %`] }))} />`}<//>`;
}

// Who failed with a cause, then who was taken back with it.
const badness = (d) => d.error?.id ? 3 : d.state === "rolled-back" ? 1 : FAILED.includes(d.state) ? 2 : 0;

function Members({ one, query }) {
  const show = query.show || "all";
  const list = (one.devices || []).filter((d) => show === "all" || (show === "failed"
    ? FAILED.includes(d.state) || d.overdue || d.silent : !["succeeded", "already-installed"].includes(d.state)))
    .sort((a, b) => badness(b) - badness(a));
  return html`<${Card} title="Devices" at="c8" head=${html`<${Chips} label="Which devices" items=${["all", "failed", "not done"].map((word) =>
    ({ word, on: word === show, href: link(["rollouts", one.id], { ...query, show: word === "all" ? null : word }) }))} />`}>
    <${Table} label="Devices of this rollout" heads=${["device", "state", "why", "+#phase", "+by", "+#bytes", "+#took"]} rows=${list.slice(0, query.more ? SHOWN : ROWS).map((d) => ({
  hit: badness(d) > 1, cells: [html`<a href=${link(["devices", d.name || d.id])}>${text(d.name || d.id)}</a>`,
    html`<${State} word=${d.state} />${["away", "silent", "overdue"].filter((w) => d[w]).map((w) => html` <${State} word=${w} />`)}`,
    d.error ? html`<code>${text(d.error.id)}</code> ${text(d.error.what || "")}` : "", d.phase > 0 ? d.phase : "–", text(d.codec), bytes(d.bytes), duration(d.took_ms)] }))} />
    <p class="soft">${number(Math.min(list.length, query.more ? SHOWN : ROWS))} of ${number(one.members)} shown. ${
  !query.more && list.length > ROWS ? html`<a href=${link(["rollouts", one.id], { ...query, more: "yes" })}>Show more</a>` : ""}</p><//>`;
}

// Bytes that the deltas saved, once a device has said it.
const fetched = (t) => (t.full_bytes > t.bytes
  ? `fetched, ${bytes(t.full_bytes - t.bytes)} saved (${Math.floor(100 * (1 - t.bytes / t.full_bytes))} %)`
  : "fetched") + (t.neighbour_bytes > 0 ? `, ${bytes(t.neighbour_bytes)} from neighbours` : "");

// A soak counts down.  Else the time is a limit, as of a silence, and no end.
function waits(one) {
  const soak = one.phases?.[one.phase - 1]?.soak;
  return soak ? { n: html`<${Ticking} say=${(now) => countdown(soak, now)} />`, word: text(one.next.what) }
    : { n: "waits", word: html`${text(one.next.what)}<${Ticking} say=${(now) => one.next.at_ms > now ? `, looks again with any news, else in ${seconds(one.next.at_ms - now)}` : ""} />` };
}

export class Rollout extends Screen {
  topics = ["rollout"];
  every = 1000;

  hear(name, value) {
    if (value?.id === this.props.path[1] && value.state === "halted" && this.state.data?.one.state !== "halted") {
      announce(`${value.id} is halted: ${value.reason}`, true);
    }
  }

  // The first devices of a large rollout are not all that fit.
  async read({ path, query }) {
    const at = `/v1/rollouts/${encodeURIComponent(path[1])}`;
    const [one, explained] = await Promise.all([call("GET", `${at}?devices=${SHOWN}`), call("GET", `${at}/explain`)]);
    const only = one.members > SHOWN && ONLY[query.show];
    const some = only ? await call("GET", `${at}/devices?only=${only}&limit=${SHOWN}`) : null;
    return { one: some ? { ...one, devices: some.items } : one, decisions: explained.decisions };
  }

  draw({ one, decisions }, { query }, { ask }) {
    const state = rolloutState(one);
    const done = () => { this.setState({ ask: null }); this.readNow(); };
    const failed = (one.causes || []).reduce((n, c) => n + c.devices, 0);
    return html`<div class="head mid"><h1>${one.id} · ${one.release}</h1><${State} word=${state} />
      <span class="soft">${one.spec?.reason ? `${text(one.spec.reason)} · ` : ""}${one.group} · begun ${clock(one.created_at_ms)} by ${text(one.by)}</span>
      <span class="push"></span><span class="row"><${Buttons} one=${one} open=${(action) => this.setState({ ask: action })} /></span></div>
    ${ask ? html`<${Ask} one=${one} action=${ask} close=${() => this.setState({ ask: null })} done=${done} />` : null}
    <${Notice} one=${one} />
    ${(one.overlaps || []).map((o) => html`<p class="notice n-warn">Overlap: <a href=${link(["rollouts", o.rollout])}>${o.rollout}</a> (${o.release}, ${o.state}) held ${
  many(o.devices, "device")} of these; they read superseded there.</p>`)}
    <${Card} label="Summary"><${Counts} items=${[{ n: `${one.phase} of ${(one.phases || []).length}`, word: `phase, ${one.phases?.[one.phase - 1]?.name || ""}` },
  { n: number(failed), word: `failed of ${number(touched(one))}`, kind: failed > 0 ? "bad" : null },
  { n: `${number(one.holders)} of ${number(one.members)}`, word: one.overtaken > 0 ? `have it, ${number(one.overtaken)} run another since` : "have it" },
  { n: `${(one.gates || []).filter((g) => g.verdict === "pass").length} of ${(one.gates || []).length}`, word: "gates hold" },
  one.transfer ? { n: bytes(one.transfer.bytes), word: fetched(one.transfer) } : null,
  one.next ? waits(one) : null,
  one.approvals ? { n: `${one.approvals.given.length} of ${one.approvals.needed}`, word: "approvals" } : null]} /><//>
    <${Slices} rollout=${one} /><${Phases} one=${one} /><${Gates} rollout=${one} chosen=${query.gate} /><${Funnel} one=${one} /><${Members} one=${one} query=${query} />
    <${Card} title="What was decided, newest first" label="Events"><div class="trace mono" tabindex="0" role="group" aria-label="Decisions"><ol>${
  (decisions || []).slice(-60).reverse().map((d) => html`<li>${clock(d.at_ms)} ${(d.lines || []).map((line, i) => html`${i > 0 ? html`<br />` : null}${text(line)}`)}</li>`)}</ol></div><//>
    <${Same} command=${`flotilla rollout watch ${one.id}`} call=${`GET /v1/rollouts/${one.id}`} />`;
  }
}
