// The cards of the page.  Each takes plain data and gives an element.

import { call } from "/app/api.js";
import { chart } from "/app/chart.js";
import { ago, bytes, duration, h, kind, models, state, table, text, title } from "/app/dom.js";

const isBusy = (model) => model.execution && kind(model.execution.state) === "busy";

export function summary(state) {
  const devices = state.devices();
  const rollouts = state.rolloutList();
  const online = devices.filter((d) => d.state === "online").length;
  const updating = devices.filter((d) => models(d).some(isBusy)).length;
  const drifting = devices.filter((d) => models(d).some((m) => m.drift)).length;
  const count = (word) => rollouts.filter((r) => r.state === word).length;
  const tile = (n, text) => h("div", { class: "tile" }, h("b", {}, String(n)), h("span", {}, text));
  const served = new Map();
  const addOne = (name) => served.set(name, (served.get(name) || 0) + 1);
  devices.forEach((d) => models(d).length === 0 ? addOne("–")
    : models(d).forEach((m) => addOne(title(m.serving))));
  return h("section", { class: "card", "aria-label": "Summary" },
    h("div", { class: "tiles" }, tile(devices.length, "devices"),
      tile(online, `online of ${devices.length}`), tile(updating, "updating"),
      drifting > 0 ? tile(drifting, "run something else than assigned") : null,
      tile(count("running"), "rollouts running"),
      count("halted") > 0 ? tile(count("halted"), "rollouts halted") : null,
      state.frozen ? tile("frozen", "nothing starts until it is unfrozen") : null,
      [...served].map(([name, n]) => tile(n, `serve ${name}`))));
}

// One model in a device's cell: its release, and its state when that asks for a
// look.
function modelLine(model) {
  return h("div", {}, title(model.serving),
    model.state && model.state !== "ready" ? [" ", state(text(model.state))] : null,
    isBusy(model) ? [" ", state(model.execution.state)] : null,
    model.drift ? [" ", h("span", { class: "state warn" }, text(model.drift.kind))] : null);
}

const servedBy = (d) => models(d).map((m) => title(m.serving)).join(", ") || "–";

// A row for each model; the device itself stands in the first.
function modelRows(d) {
  const list = models(d).length > 0 ? models(d) : [{}];
  return list.map((m, i) => [i === 0 ? d.name : "", i === 0 ? state(d.state) : "",
    title(m.serving), m.state ? state(text(m.state)) : "–",
    typeof m.rung === "number" ? String(m.rung) : "–", m.slots?.previous?.version,
    m.execution ? state(m.execution.state) : "–", m.drift ? text(m.drift.kind) : "–",
    i === 0 ? bytes(d.rss_bytes) : "",
    i === 0 && typeof d.memory?.budget === "number"
      ? `${bytes(d.memory.planned)} of ${bytes(d.memory.budget)}` : "",
    i === 0 ? ago(d.last_seen_at_ms) : ""]);
}

export function fleet(devices, open) {
  const many = devices.length > 120;
  const cells = devices.map((d) => h("button", { type: "button",
    class: `cell ${many ? "many" : ""}`, onclick: () => open(d),
    "aria-label": many ? d.name : null,
    title: `${d.name}: ${d.state}, ${servedBy(d)}, seen ${ago(d.last_seen_at_ms)}` },
  many ? state(d.state).cloneNode(false) : [
    h("b", {}, d.name), state(d.state),
    ...(models(d).length > 0 ? models(d).map(modelLine) : [h("div", {}, "–")])]));
  return h("section", { class: "card", "aria-label": "Fleet" }, h("h2", {}, "Fleet"),
    devices.length === 0
      ? h("p", {}, "No device yet. Enrol one: ",
        h("code", { class: "mono" }, "flotilla token create --kind enroll"))
      : h("div", { class: "cells" }, cells),
    h("details", {}, h("summary", { class: "soft" }, "as a table"),
      table(["device", "state", "serving", "model", "rung", "previous", "execution", "drift",
        "memory in use", "planned", "seen"], devices.slice(0, 500).flatMap(modelRows))));
}

// "9 succeeded · 1 failed", and who does not count or owes an answer.
function phaseWords(phase) {
  const words = Object.entries(phase.counts || {}).map(([w, n]) => `${n} ${w}`);
  for (const beside of ["away", "silent", "overdue"]) {
    if (phase[beside] > 0) {
      words.push(`${phase[beside]} ${beside}`);
    }
  }
  return words.join(" · ");
}

const FILLS = ["good", "busy", "bad", "back"];

function phaseBar(phase, current) {
  const groups = {};
  for (const [word, n] of Object.entries(phase.counts || {})) {
    groups[kind(word)] = (groups[kind(word)] || 0) + n;
  }
  const total = Math.max(phase.devices, 1);
  const words = phaseWords(phase);
  return h("div", { class: "phase" },
    h("div", { class: "row" }, h("b", {}, `${phase.number} ${phase.name}`),
      h("span", { class: "soft" }, `${phase.devices} devices`), state(phase.state),
      h("span", { class: "soft" }, words)),
    h("div", { class: "track", role: "img", "aria-label": `${phase.name}: ${words}`,
      "data-current": phase.number === current },
    FILLS.map((k) => h("div", { class: `fill ${k}`,
      style: null, "data-share": 100 * (groups[k] || 0) / total }))));
}

// The state of a rollout for people: one whose release nobody has any more was
// taken back, whatever it once completed.
export function rolloutState(one) {
  return one.state === "completed" && one.holders === 0 ? "taken-back" : one.state;
}

// The cause first, then what happened to how many.
function notice(one) {
  const held = (one.phases || []).some((p) => p.state === "held");
  if (!["halted", "rolled-back", "rolling-back"].includes(one.state) && !held
      && (one.causes || []).length === 0) {
    return null;
  }
  const back = one.state.startsWith("roll");
  const touched = (one.phases || []).filter((p) => p.state !== "waiting")
    .reduce((n, p) => n + p.devices, 0);
  return h("div", { class: `notice ${held ? "held" : back ? "back" : ""}` },
    (one.causes || []).map((c) => h("p", {}, h("b", { class: "mono" }, c.id),
      ` on ${c.devices} of ${touched} devices${c.meaning ? `: ${c.meaning}` : ""}`,
      c.fix ? h("span", { class: "soft" }, ` · ${c.fix}`) : null)),
    h("p", { class: "soft" }, one.reason || "", ` · ${one.holders} have ${one.release} now, `
      + `${one.members - touched} of ${one.members} never touched`));
}

function buttons(one, act) {
  const button = (action, text) => h("button", { type: "button",
    class: action === "rollback" ? "danger" : null, onclick: () => act(one, action) }, text);
  const open = ["running", "paused"].includes(one.state);
  const goesBack = open || ["completed", "halted", "aborting", "aborted"].includes(one.state);
  return [
    one.state === "running" ? button("pause", "Pause") : null,
    one.state === "paused" ? button("resume", "Resume") : null,
    open ? button("promote", "Promote phase…") : null,
    open ? button("abort", "Abort…") : null,
    one.state === "halted" ? button("yank", `Yank ${one.release}…`) : null,
    goesBack && one.holders > 0
      ? button("rollback", `Roll back ${one.holders}…`) : null,
  ];
}

function gates(one) {
  const interval = (g) => g.limit > 0 && Array.isArray(g.interval)
    ? ` (95 % CI ${g.interval[0].toFixed(1)} to ${g.interval[1].toFixed(1)})` : "";
  return table(["gate", "phase", "value", "limit", "verdict"], one.gates.map((g) => [
    g.name, String(g.phase ?? "–"),
    g.updated || g.statistical ? `${g.text}${g.look ? `, look ${g.look} of 4` : ""}`
      : `${g.bad} of ${g.ended} ended = ${Number(g.value).toPrecision(3)} ${g.unit}${interval(g)}`,
    `${g.limit} ${g.unit}`, state(g.verdict)]));
}

function deviceState(d) {
  const beside = ["away", "silent", "overdue"].find((w) => d[w]);
  return h("span", {}, state(d.state), beside ? [" ", state(beside)] : null);
}

export function rollout(one, act) {
  if (!one) {
    return h("section", { class: "card wide" }, h("h2", {}, "Rollout"),
      h("p", { class: "soft" }, "None yet. Start one: ",
        h("code", { class: "mono" }, "flotilla rollout start MODEL@VERSION --group all")));
  }
  const why = one.spec?.reason ? `${text(one.spec.reason)} · ` : "";
  const card = h("section", { class: "card wide", "aria-label": "Rollout" },
    h("div", { class: "row" }, h("h2", {}, `${one.id}  ${one.release}`), state(rolloutState(one)),
      h("span", { class: "soft" }, `${why}${one.group}, by ${text(one.by)}, `
        + `phase ${one.phase} of ${(one.phases || []).length}`),
      h("span", { class: "space" }), buttons(one, act)),
    notice(one) || h("p", { class: "soft" }, one.reason || ""),
    (one.overlaps || []).map((o) => h("p", { class: "soft" }, `Overlap: ${o.rollout} (${o.release}, `
      + `${o.state}) held ${o.devices} of these devices; they read superseded there.`)),
    (one.phases || []).map((p) => phaseBar(p, one.phase)),
    (one.gates || []).length > 0 ? gates(one) : null,
    (one.devices || []).length > 0 ? table(
      ["device", "phase", "state", "by", "bytes", "took", "why"],
      one.devices.map((d) => [d.name || d.id, d.phase > 0 ? String(d.phase) : "–",
        deviceState(d), d.codec, bytes(d.bytes ?? null), duration(d.took_ms ?? null),
        d.error ? `${text(d.error.id)}: ${text(d.error.what || "")}` : ""])) : null);
  // Widths by script: the content security policy allows no inline style.
  card.querySelectorAll(".fill").forEach((fill) => {
    fill.style.width = `${fill.dataset.share}%`;
  });
  return card;
}

export function rollouts(list, show) {
  return h("section", { class: "card third", "aria-label": "Rollouts" }, h("h2", {}, "Rollouts"),
    list.length === 0 ? h("p", { class: "soft" }, "None yet.")
      : table(["id", "release", "state", "have it", "age"], list.slice(0, 12).map((r) => [
        h("button", { type: "button", onclick: () => show(r.id) }, r.id), r.release,
        h("span", { title: r.reason }, state(rolloutState(r))),
        `${r.holders} of ${r.members}`, duration(Date.now() - r.created_at_ms)])));
}

// A line for each model: who serves it, who lacks room, and what can be done.
export function modelsCard(devices, chosen, choose, remove) {
  const all = new Map();
  for (const device of devices) {
    for (const m of models(device)) {
      const name = text(m.model ?? m.serving?.model);
      const one = all.get(name) || { devices: 0, drifting: 0, versions: new Map() };
      one.devices += 1;
      one.drifting += m.drift ? 1 : 0;
      const version = text(m.serving?.version);
      one.versions.set(version, (one.versions.get(version) || 0) + 1);
      all.set(name, one);
    }
  }
  const rows = [...all].sort(([a], [b]) => a < b ? -1 : 1);
  return h("section", { class: "card", "aria-label": "Models" }, h("h2", {}, "Models"),
    rows.length === 0 ? h("p", { class: "soft" }, "No device has one yet.")
      : table(["model", "devices", "drift", "", "versions"], rows.map(([name, one]) => [
        h("button", { type: "button", "aria-pressed": String(name === chosen),
          title: "numbers of this model alone",
          onclick: () => choose(name === chosen ? null : name) }, name),
        String(one.devices),
        one.drifting > 0 ? h("span", { class: "state warn" }, String(one.drifting)) : "–",
        h("button", { type: "button", class: "danger", onclick: () => remove(name) },
          `Remove ${name}…`),
        [...one.versions].sort((a, b) => b[1] - a[1]).slice(0, 4)
          .map(([v, n]) => `${n} serve ${v}`).join(", ")])));
}

const SPAN_MS = 600000;
const STEP_MS = 5000;

function query(metric, model) {
  return call("POST", "/v1/telemetry/query", { metric, by: ["release"],
    since_ms: SPAN_MS, step_ms: STEP_MS, quantiles: [0.5, 0.95],
    ...(model ? { model } : {}) });
}

const CHARTS = [
  ["ttft_us", "Time to first token, p50 / p95", (v) => duration(v / 1000)],
  ["token_us", "Time per token, p50 / p95", (v) => `${(v / 1000).toFixed(2)} ms`],
  ["engine_rss_bytes", "Engine memory, mean / most", bytes],
];

const per = (v) => `${v.toPrecision(2)} %`;

// Errors alone say nothing: of how many requests, point by point (low and high
// are the same line), in one minute's steps so that few requests do not jump.
async function errorRates(name, model) {
  const [errors, requests] = await Promise.all([query("errors", model),
    query("requests", model)]);
  const failed = new Map((errors.series || []).map((s) => [s.key.release,
    new Map(s.points.map((p) => [p[0], p[2] ?? p[1]]))]));
  return (requests.series || []).map((s) => {
    const minutes = new Map();
    for (const p of s.points) {
      const at = Math.floor(p[0] / 60000) * 60000;
      const sums = minutes.get(at) || [0, 0];
      sums[0] += failed.get(s.key.release)?.get(p[0]) || 0;
      sums[1] += p[2] ?? p[1];
      minutes.set(at, sums);
    }
    return { name: name(s.key.release), points: [...minutes].filter(([, [, all]]) => all > 0)
      .map(([at, [bad, all]]) => [at, 100 * bad / all, 100 * bad / all]) };
  });
}

// Series of releases by their names, points without values left out.  model:
// of this one alone; null: of all.
export async function telemetry(releases, model) {
  const names = new Map(releases.map((r) => [r.digest, `${r.model}@${r.version}`]));
  const name = (digest) => names.get(digest) || (digest || "").slice(7, 15);
  const card = (what, series, format) => {
    const title = model ? `${model}: ${what}` : what;
    return h("section", { class: "card quarter" }, h("h2", {}, title),
      chart(series, format, title));
  };
  const charts = CHARTS.map(async ([metric, title, format]) => {
    const answer = await query(metric, model);
    const isGauge = metric === "engine_rss_bytes";
    return card(title, (answer.series || []).map((s) => ({
      name: name(s.key.release),
      points: s.points.filter((p) => p[1] > 0)
        .map((p) => isGauge ? [p[0], p[3], p[4]] : [p[0], p[2], p[3]]),
    })), format);
  });
  charts.push(errorRates(name, model).then((series) =>
    card("Errors, per cent of requests", series, per)));
  return Promise.all(charts);
}

export function releases(list, start) {
  return h("section", { class: "card half", "aria-label": "Releases" }, h("h2", {}, "Releases"),
    table(["release", "", "number", "state", "digest"], list.map((r) => [
      `${r.model}@${r.version}`, r.state === "published" ? h("button", { type: "button",
        "aria-label": `Roll out ${r.model}@${r.version}`,
        onclick: () => start(`${r.model}@${r.version}`) }, "Roll out…") : "",
      String(r.number), state(r.state),
      h("span", { class: "mono" }, (r.digest || "").slice(0, 23) + "…")])));
}

export function activity(list) {
  return h("section", { class: "card half", "aria-label": "Audit" }, h("h2", {}, "Audit, newest first"),
    table(["when", "who", "what", "object", "result"], list.slice(0, 12).map((a) => [
      ago(a.at_ms), a.who, a.what, a.object, a.result])));
}
