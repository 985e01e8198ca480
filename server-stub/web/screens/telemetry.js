// Numbers by release and hardware: which hardware is worse with the new one.

import { call } from "/app/data/api.js";
import { ask, awayBy, gauge, histogram, rates, SPANS, sumOf } from "/app/data/series.js";
import { bytes, digest, duration, number } from "/app/data/words.js";
import { link, set } from "/app/data/url.js";
import { Away } from "/app/parts/away.js";
import { Chart } from "/app/parts/chart.js";
import { html } from "/app/parts/html.js";
import { Card, Chips, Same, State, Table } from "/app/parts/parts.js";
import { Screen } from "/app/parts/screen.js";

const BY = ["release", "hardware"];
const WORSE = 1.15;
const ms = (v) => duration(v);
const keyOf = (s) => `${s.key.hardware}\n${s.key.release}`;
const quantile = (s, q) => (s?.quantiles?.[q] ?? s?.quantiles?.[String(q)] ?? null);

export class Telemetry extends Screen {
  topics = ["telemetry"];
  every = 10000;

  async read({ query }) {
    const span = SPANS[query.since] || SPANS["1 h"];
    const model = query.model || null;
    const [releases, rollouts, away, ttft, memory, errors, requests] = await Promise.all([call("GET", "/v1/releases"), call("GET", "/v1/rollouts"), awayBy(BY, span, model),
      ...["ttft_us", "engine_rss_bytes", "errors", "requests"].map((metric) => ask(metric, BY, span, model))]);
    return { releases: releases.items, rollouts: rollouts.items, away, ttft, memory, errors, requests, span };
  }

  rows({ ttft, memory, errors, requests, releases }) {
    const names = new Map(releases.map((r) => [r.digest, r]));
    const find = (list) => new Map(list.map((s) => [keyOf(s), s]));
    const [m, e, t] = [find(memory), find(errors), find(ttft)];
    return requests.map((s) => {
      const failed = e.get(keyOf(s)), all = sumOf(s), first = t.get(keyOf(s));
      const release = names.get(s.key.release);
      return { hardware: s.key.hardware || "unknown", release, name: release ? `${release.model}@${release.version}` : digest(s.key.release),
        number: release?.number || 0, model: release?.model || "", requests: all, errors: all > 0 ? 100 * (failed ? sumOf(failed) : 0) / all : null,
        p50: first && quantile(first, 0.5), p95: first && quantile(first, 0.95), first, memory: m.get(keyOf(s)), failed, all: s };
    });
  }

  // The newest release of a class against the one before it.
  compared(rows) {
    const groups = new Map();
    rows.forEach((r) => groups.set(`${r.model}\n${r.hardware}`, [...(groups.get(`${r.model}\n${r.hardware}`) || []), r]));
    return [...groups.values()].map((list) => {
      const sorted = list.sort((a, b) => b.number - a.number);
      const [now, before] = sorted;
      const slower = before && now.p95 > 0 && before.p95 > 0 ? now.p95 / before.p95 : null;
      const errs = before && now.errors !== null && before.errors !== null ? now.errors - before.errors : null;
      now.verdict = before ? (slower > WORSE || errs > 1 ? "fail" : "same") : null;
      now.words = now.verdict === "fail" ? [slower > WORSE ? `slower +${((slower - 1) * 100).toFixed(0)} %` : null,
        errs > 1 ? `errors +${errs.toFixed(1)} points` : null].filter((w) => w).join(", ") : "same";
      return { list: sorted, weight: (now.verdict === "fail" ? 1e6 : 0) + (slower || 0) };
    }).sort((a, b) => b.weight - a.weight);
  }

  draw(data, { query }) {
    const groups = this.compared(this.rows(data));
    const modelsKnown = [...new Set(data.releases.map((r) => r.model))].sort();
    const titles = new Map(data.releases.map((r) => [r.digest, `${r.model}@${r.version}`]));
    const away = data.away.map((r) => ({ ...r, names: [r.key.hardware || "unknown", titles.get(r.key.release) || digest(r.key.release)] }));
    const worst = groups.filter((g) => g.list[0].verdict === "fail");
    const marks = (list) => data.rollouts.filter((r) => list.some((one) => one.name === r.release)).map((r) => ({ at: r.created_at_ms, name: r.id }));
    const chart = (what, pick, format) => html`<${Card} title=${what} head=${html`<span class="soft">solid: p95 or most, dashed: p50 or mean; dotted: a rollout began</span>`}>
      <div class="three">${groups.slice(0, 6).map(({ list }) => html`<div><h3>${list[0].hardware}</h3><${Chart} label=${`${what}, ${list[0].hardware}`} format=${format} marks=${marks(list)}
        series=${list.slice(0, 3).map((r) => ({ name: r.name, points: pick(r) || [] })).filter((s) => s.points.length > 0)} /></div>`)}</div><//>`;
    return html`<div class="head mid"><h1>${query.model ? `${query.model}: by release and hardware` : "Telemetry by release and hardware"}</h1><span class="push"></span>
      <label class="row mid">model <select id="model" onchange=${(e) => set({ model: e.target.value })}><option value="">all</option>${modelsKnown.map((m) =>
  html`<option value=${m} selected=${m === query.model}>${m}</option>`)}</select></label>
      <${Chips} label="Span" items=${Object.keys(SPANS).map((word) => ({ word, on: word === (query.since || "1 h"), href: link(["telemetry"], { ...query, since: word }) }))} /></div>
    ${worst.map(({ list }) => html`<div class="notice n-bad"><b>${list[0].hardware} is worse with ${list[0].name}: ${list[0].words}</b>
      <p>Against ${list[1].name}: p95 ${ms(list[0].p95 / 1000)} against ${ms(list[1].p95 / 1000)}. ${data.rollouts.filter((r) => r.release === list[0].name).slice(0, 1).map((r) =>
  html`<a href=${link(["rollouts", r.id])}>${r.id}</a> · `)}<a href=${link(["emergency"], { release: list[0].name })}>take ${list[0].name} back…</a></p></div>`)}
    ${groups.length === 0 ? html`<${Card} title="No numbers yet"><p>They come with the first answered request. Ask the model on a device, or choose a longer span.</p><//>`
  : html`<${Card} title="By hardware and release, worst first" label="Numbers"><${Table} label="Numbers" heads=${["hardware", "release", "#requests", "#TTFT p50", "#p95", "#errors %", "+#memory, most", "against the one before"]} rows=${
    groups.flatMap(({ list }) => list.map((r) => ({ hit: r.verdict === "fail", cells: [html`<b>${r.hardware}</b>`, r.name, number(r.requests),
      r.p50 ? ms(r.p50 / 1000) : "–", r.p95 ? ms(r.p95 / 1000) : "–", r.errors === null ? "–" : r.errors.toFixed(2),
      r.memory ? bytes(Math.max(0, ...gauge(r.memory).map((p) => p[2]))) : "–", r.verdict ? html`<${State} word=${r.verdict === "fail" ? "failed" : "ok"} more=${r.words} />` : ""] })))} /><//>
  <${Away} rows=${away} heads=${["hardware", "release"]} />
  ${chart("Time to first token", (r) => r.first && histogram(r.first), ms)}
  ${chart("Errors, per cent of requests", (r) => rates(r.failed, r.all), (v) => typeof v === "number" ? `${v.toPrecision(2)} %` : "–")}
  ${chart("Engine memory", (r) => r.memory && gauge(r.memory), bytes)}`}
    <${Same} command="flotilla telemetry query ttft_us --by release" call="POST /v1/telemetry/query" />`;
  }
}
