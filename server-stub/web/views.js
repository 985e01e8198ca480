// The cards of the page.  Each takes plain data and gives an element.

import { call } from "/app/api.js";
import { chart } from "/app/chart.js";
import { ago, bytes, duration, h, kind, state, table, text, title } from "/app/dom.js";

export function summary(devices, rollouts, frozen) {
  const online = devices.filter((d) => d.state === "online").length;
  const updating = devices.filter((d) => d.execution
    && kind(d.execution.state) === "busy").length;
  const running = rollouts.filter((r) => r.state === "running").length;
  const tile = (n, text) => h("div", { class: "tile" }, h("b", {}, String(n)), h("span", {}, text));
  const served = new Map();
  devices.forEach((d) => served.set(title(d.serving), (served.get(title(d.serving)) || 0) + 1));
  return h("section", { class: "card", "aria-label": "Summary" },
    h("div", { class: "tiles" }, tile(devices.length, "devices"),
      tile(online, "online"), tile(updating, "updating"),
      tile(running, "rollouts running"),
      frozen ? tile("frozen", "nothing starts until it is unfrozen") : null,
      [...served].map(([name, n]) => tile(n, `serve ${name}`))));
}

export function fleet(devices) {
  const many = devices.length > 120;
  const cells = devices.map((d) => h("div", {
    class: `cell ${many ? "many" : ""}`,
    title: `${d.name}: ${d.state}, ${title(d.serving)}, seen ${ago(d.last_seen_at_ms)}` },
  many ? state(d.state).cloneNode(false) : [
    h("b", {}, d.name), state(d.state), h("div", {}, title(d.serving)),
    d.execution && kind(d.execution.state) === "busy" ? state(d.execution.state) : null]));
  return h("section", { class: "card", "aria-label": "Fleet" }, h("h2", {}, "Fleet"),
    devices.length === 0
      ? h("p", {}, "No device yet. Enrol one: ",
        h("code", { class: "mono" }, "flotilla token create --kind enroll"))
      : h("div", { class: "cells" }, cells),
    h("details", {}, h("summary", { class: "soft" }, "as a table"),
      table(["device", "state", "serving", "previous", "execution", "engine memory", "seen"],
        devices.slice(0, 500).map((d) => [d.name, state(d.state), title(d.serving),
          d.slots?.previous?.version, d.execution ? state(d.execution.state) : "–",
          bytes(d.rss_bytes), ago(d.last_seen_at_ms)]))));
}

function phaseBar(phase, index, current) {
  const groups = { good: 0, busy: 0, bad: 0, off: 0 };
  for (const [word, n] of Object.entries(phase.counts || {})) {
    groups[kind(word)] += n;
  }
  const total = Math.max(phase.devices, 1);
  const words = Object.entries(phase.counts || {}).map(([w, n]) => `${n} ${w}`).join(" · ");
  return h("div", { class: "phase" },
    h("div", { class: "row" }, h("b", {}, `${index + 1} ${phase.name}`),
      h("span", { class: "soft" }, `${phase.devices} devices`), state(phase.state),
      h("span", { class: "soft" }, words)),
    h("div", { class: "track", role: "img", "aria-label": `${phase.name}: ${words}`,
      "data-current": index === current },
    ["good", "busy", "bad"].map((k) => h("div", { class: `fill ${k}`,
      style: null, "data-share": 100 * groups[k] / total }))));
}

export function rollout(one, act) {
  if (!one) {
    return h("section", { class: "card wide" }, h("h2", {}, "Rollout"),
      h("p", { class: "soft" }, "None yet. Start one: ",
        h("code", { class: "mono" }, "flotilla rollout start MODEL@VERSION --group all")));
  }
  const open = ["running", "paused"].includes(one.state);
  const button = (action, text) => h("button", { type: "button",
    class: action === "rollback" ? "danger" : null, onclick: () => act(one, action) }, text);
  const card = h("section", { class: "card wide", "aria-label": "Rollout" },
    h("div", { class: "row" }, h("h2", {}, `${one.id}  ${one.release}`), state(one.state),
      h("span", { class: "soft" }, one.reason || ""),
      h("span", { class: "space" }),
      open && one.state === "running" ? button("pause", "Pause") : null,
      open && one.state === "paused" ? button("resume", "Resume") : null,
      open ? button("abort", "Abort…") : null,
      open || one.state === "completed" ? button("rollback", "Roll back…") : null),
    (one.phases || []).map((p, i) => phaseBar(p, i, one.phase)),
    (one.gates || []).length > 0 ? table(["gate", "value", "limit", "verdict"],
      one.gates.map((g) => [g.name, String(g.value ?? "–"), String(g.limit ?? "–"),
        state(g.verdict)])) : null,
    (one.devices || []).length > 0 ? table(
      ["device", "phase", "state", "by", "bytes", "took", "why"],
      one.devices.map((d) => [d.name || d.id, String((d.phase ?? 0) + 1),
        state(d.state), d.codec, bytes(d.bytes ?? null), duration(d.took_ms ?? null),
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
      : table(["id", "release", "state", "begun"], list.slice(0, 12).map((r) => [
        h("button", { type: "button", onclick: () => show(r.id) }, r.id), r.release,
        state(r.state), ago(r.created_at_ms)])));
}

const CHARTS = [
  ["ttft_us", "Time to first token, p50 / p95", (v) => duration(v / 1000)],
  ["token_us", "Time per token, p50 / p95", (v) => `${(v / 1000).toFixed(2)} ms`],
  ["engine_rss_bytes", "Engine memory, mean / most", bytes],
];

// Series of releases by their names, points without values left out.
export async function telemetry(releases) {
  const names = new Map(releases.map((r) => [r.digest, `${r.model}@${r.version}`]));
  return Promise.all(CHARTS.map(async ([metric, text, format]) => {
    const answer = await call("POST", "/v1/telemetry/query", { metric,
      by: ["release"], since_ms: 600000, step_ms: 5000, quantiles: [0.5, 0.95] });
    const isGauge = metric === "engine_rss_bytes";
    const series = (answer.series || []).map((s) => ({
      name: names.get(s.key.release) || (s.key.release || "").slice(7, 15),
      points: s.points.filter((p) => p[1] > 0)
        .map((p) => isGauge ? [p[0], p[3], p[4]] : [p[0], p[2], p[3]]),
    }));
    return h("section", { class: "card third" }, h("h2", {}, text), chart(series, format, text));
  }));
}

export function releases(list) {
  return h("section", { class: "card half", "aria-label": "Releases" }, h("h2", {}, "Releases"),
    table(["release", "number", "state", "digest"], list.map((r) => [
      `${r.model}@${r.version}`, String(r.number), state(r.state),
      h("span", { class: "mono" }, (r.digest || "").slice(0, 23) + "…")])));
}

export function activity(list) {
  return h("section", { class: "card half", "aria-label": "Audit" }, h("h2", {}, "Audit, newest first"),
    table(["when", "who", "what", "object", "result"], list.slice(0, 12).map((a) => [
      ago(a.at_ms), a.who, a.what, a.object, a.result])));
}
