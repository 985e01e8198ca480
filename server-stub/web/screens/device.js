// One device: what is wrong, what it serves, its numbers, what happened.

import { call } from "/app/data/api.js";
import { may } from "/app/data/access.js";
import { condition, why } from "/app/data/fleet.js";
import { ask, awayBy, gauge, histogram, SPANS } from "/app/data/series.js";
import { time } from "/app/data/time.js";
import { ago, bytes, clock, digest, duration, models, text, title } from "/app/data/words.js";
import { link } from "/app/data/url.js";
import { Away } from "/app/parts/away.js";
import { Armed } from "/app/parts/armed.js";
import { Chart } from "/app/parts/chart.js";
import { html } from "/app/parts/html.js";
import { Card, Chips, Facts, Same, State, Table } from "/app/parts/parts.js";
import { Remove } from "/app/parts/remove.js";
import { Reports } from "/app/parts/reports.js";
import { Screen } from "/app/parts/screen.js";
import { Timeline } from "/app/parts/timeline.js";

const num = (value) => typeof value === "number" ? value : null;
const CHARTS = [["ttft_us", "Time to first token", (v) => duration(v), histogram], ["token_us", "Time per token", (v) => duration(v), histogram],
  ["engine_rss_bytes", "Engine memory", (v) => bytes(v), (s) => gauge(s)],
  ["temperature_mc", "Temperature", (v) => typeof v === "number" ? `${v.toFixed(0)} °C` : "–", (s) => gauge(s, 0.001)]];

function Notice({ d }) {
  const wanting = models(d).filter((m) => m.drift?.kind === "no-memory");
  if (condition(d) === "ok" || condition(d) === "updating") {
    return null;
  }
  return html`<div class="notice ${["failed", "degraded", "drift"].includes(condition(d)) ? "n-bad" : "n-warn"}">
    <p class="big">${condition(d) === "maintenance" ? `In maintenance: ${text(d.maintenance)}` : why(d) || `${text(d.name)} is ${condition(d)}`}</p>
    ${d.state !== "online" ? html`<p>Last heard ${ago(d.last_seen_at_ms)}. Orders wait for it and act at contact.</p>` : null}
    ${wanting.map((m) => html`<p><b>${text(m.model)} has no memory. </b>${text(m.drift.why)} <b>Next:</b> ship a smaller variant, remove a model here, unpin one, or raise memory_budget.</p>`)}</div>`;
}

// Whom to call about its site, when people wrote that down.
const contact = (site) => !site ? null :
  html`${text(site.people)}${site.hours ? html`, ${text(site.hours)}` : null}${site.note ? html` <span class="soft">${text(site.note)}</span>` : null}`;

function facts(d, site) {
  const p = d.profile || {}, bench = p.bench || {}, power = p.power || {};
  const labels = Object.entries(d.labels || {}).map(([k, v]) => `${k}=${text(v)}`).join(" ");
  return [["id", html`<span class="mono">${d.id}</span>`], ["labels", labels], ["site contact", contact(site)], ["groups", (d.groups || []).map(text).join(", ")],
    ["class", [p.class, p.arch, p.kernel].filter((w) => typeof w === "string").join(" ")], ["processors", num(p.cpus)],
    ["memory for models", num(p.memory_bytes) && bytes(p.memory_bytes)],
    ["planned of it", num(d.memory?.planned) !== null ? `${bytes(d.memory.planned)} (rung ${text(d.memory.rung ?? 0)}${d.memory.why ? `, ${text(d.memory.why)}` : ""})` : null],
    ["free disk", num(p.disk_free_bytes) && bytes(p.disk_free_bytes)],
    ["reads from memory", num(bench.memory_bytes_per_s) && `${bytes(bench.memory_bytes_per_s)}/s`],
    ["reads from files", num(bench.read_bytes_per_s) && `${bytes(bench.read_bytes_per_s)}/s`],
    ["int8 operations", num(bench.int8_ops_per_s) && `${(bench.int8_ops_per_s / 1e9).toPrecision(3)} G/s`],
    ["power", typeof power.mains !== "boolean" ? null : `${power.mains ? "mains" : "battery"}${power.battery_pct > 0 || !power.mains ? `, ${text(power.battery_pct)} %` : ""}`],
    ["temperature", num(p.temperature_mc) && `${(p.temperature_mc / 1000).toFixed(1)} °C`],
    ["runtimes", (p.runtimes || []).map((r) => `${text(r.name)} ${text(r.state)}`).join(", ")],
    ["accelerators", (p.accelerators || []).map((a) => [text(a.kind), a.name && text(a.name), a.memory_bytes && bytes(a.memory_bytes)].filter(Boolean).join(" ")).join(", ")],
    ["agent", typeof d.agent === "string" ? d.agent : null], ["trust", num(d.trust)],
    ["prompts", d.prompts_stay ? `stay here, by ${d.prompts_stay_emergency ? "an emergency key's" : "a signed"} order` : null],
    ...(d.pinned || []).map((pin) => ["pinned to", html`${text(pin.release)}, runs ${text(pin.runs ?? "none")}: <${State} word=${text(pin.state)} />${
      pin.why ? `${pin.state === "refused" ? " because " : " "}${text(pin.why)}` : ""}`]),
    ...(d.kept_from || []).map((one) => ["kept from", `${text(one.release)} of ${text(one.rollout)}: ${text(one.why)}`]), ["note", typeof d.note === "string" ? d.note : ""],
    ["enrolled", clock(d.enrolled_at_ms)], ["seen", ago(d.last_seen_at_ms)]].filter(([what, v]) => v !== 0 && (what !== "site contact" || v));
}

export class Device extends Screen {
  topics = ["device", "telemetry"];
  every = 5000;

  hear(name, value) {
    if (name === "device" && value?.id === this.state.data?.d.id) {
      this.next = Math.min(this.next, time.now() + 500);
    }
  }

  async read({ path, query }) {
    const d = await call("GET", `/v1/devices/${encodeURIComponent(path[1])}`);
    const span = SPANS[query.since] || SPANS["1 h"];
    const at = d.labels?.site;
    const [timeline, site, away, ...numbers] = await Promise.all([call("GET", `/v1/devices/${encodeURIComponent(d.id)}/timeline?limit=100`),
      at ? call("GET", `/v1/sites/${encodeURIComponent(at)}`).catch(() => null) : null,
      awayBy(["device", "release"], span).then((all) => all.filter((r) => r.key.device === d.id)),
      ...CHARTS.map(([metric, , , read]) => ask(metric, ["device", "release"], span).then((all) =>
        all.filter((s) => s.key.device === d.id).map((s) => ({ digest: s.key.release || "", points: read(s) })).filter((s) => s.points.length > 0)))]);
    return { d, site, timeline: timeline.items.reverse(), away, numbers };
  }

  name(release, d, timeline) {
    const known = [...models(d).flatMap((m) => [m.serving, m.slots?.current, m.slots?.previous]), ...timeline]
      .find((s) => s?.release === release && s.version);
    return known?.version ? text(known.version) : digest(release);
  }

  draw({ d, site, timeline, away, numbers }, { query, path }, { remove, edit }) {
    const can = (d.groups || []).some((g) => may("operator", g)) || may("operator");
    const list = models(d), close = () => this.setState({ remove: null, edit: null }), done = () => { close(); this.readNow(); };
    const change = (body) => call("PATCH", `/v1/devices/${encodeURIComponent(d.id)}`, body);
    return html`<div class="head mid"><h1>${text(d.name)}</h1><${State} word=${condition(d)} /><span class="soft">seen ${ago(d.last_seen_at_ms)}</span><span class="push"></span>
      ${can ? html`<span class="row"><button type="button" onclick=${() => this.setState({ edit: true })}>${d.maintenance ? "End maintenance…" : "Maintenance…"}</button>
        ${list[0]?.slots?.previous ? html`<a class="btn danger" href=${link(["emergency"], { release: title(list[0].serving), scope: "device", which: d.name })}>Roll back…</a>` : null}</span>` : null}</div>
    ${remove ? html`<${Remove} model=${remove} device=${d.name} close=${close} done=${done} />` : null}
    ${edit ? html`<${Armed} title=${d.maintenance ? `End the maintenance of ${d.name}` : `Put ${d.name} into maintenance`} calm button=${d.maintenance ? "End maintenance" : "Put into maintenance"}
      close=${close} done=${done} act=${(reason) => change({ maintenance: d.maintenance ? "" : reason || "maintenance", ...(reason ? { reason } : {}) })}>
      <p>${d.maintenance ? "It takes rollouts again." : "It takes no rollout until that ends. It serves on."}</p><//>` : null}
    <${Notice} d=${d} />
    <${Card} title="Models" at="c8">${list.length === 0 ? html`<p class="soft">None.</p>` : html`<${Table} label="Models" heads=${["serves", "state", "health", "+previous", "+rung", can ? "" : "+"]} rows=${
  list.map((m) => ({ hit: !!m.drift, cells: [html`<b>${title(m.serving)}</b>`, html`<${State} word=${text(m.state)} />`,
    m.let_go ? html`<${State} word="ok" /> <span class="soft">it lacks a release that was stopped or yanked since</span>`
    : m.drift ? html`<span class="st warn">${text(m.drift.kind)}</span> ${text(m.drift.why ?? "")}` : m.execution ? html`<${State} word=${text(m.execution.state)} /> ${
      m.execution.rollout ? html`<a href=${link(["rollouts", text(m.execution.rollout)])}>${text(m.execution.rollout)}</a>` : ""}` : html`<${State} word="ok" />`,
    text(m.slots?.previous?.version), m.instead_of ? `${text(m.rung)}: ${text(m.variant)} for ${text(m.instead_of)}` : text(m.rung ?? "–"),
    can ? html`<button type="button" class="danger" onclick=${() => this.setState({ remove: text(m.model) })}>Remove ${text(m.model)}…</button>` : ""] }))} />`}<//>
    <section class="card c4" aria-label="Hardware"><h2>Inventory</h2><${Facts} rows=${facts(d, site)} /></section>
    <${Card} title="Numbers" head=${html`<${Chips} label="Span" items=${Object.keys(SPANS).map((word) => ({ word, on: word === (query.since || "1 h"), href: link(path, { ...query, since: word }) }))} />
      <span class="soft">solid: p95 or most, dashed: p50 or mean</span>`}>
      <div class="four">${CHARTS.map(([, what, format], i) => html`<div><h3>${what}</h3><${Chart} label=${what} format=${format}
        series=${numbers[i].map((s) => ({ name: this.name(s.digest, d, timeline), points: s.points }))} /></div>`)}</div><//>
    <${Away} heads=${["release"]} rows=${away.map((r) => ({ ...r, names: [this.name(r.key.release, d, timeline)] }))} />
    <${Timeline} events=${timeline} />
    ${can ? html`<${Reports} device=${d} />` : null}
    <${Same} command=${`flotilla device get ${text(d.name)} --timeline`} call=${`GET /v1/devices/${text(d.name)}`} />`;
  }
}
