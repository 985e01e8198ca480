// One device: its models, hardware and benchmark, and reports from afar (log,
// doctor) that are asked for and read here.

import { call } from "/app/api.js";
import { openRemove } from "/app/remove.js";
import { ago, bytes, h, models, state, table, text, title } from "/app/dom.js";

const number = (value) => typeof value === "number" ? value : null;
const rate = (value) => number(value) === null ? "–" : `${bytes(value)}/s`;

function factRows(d) {
  const p = d.profile || {};
  const bench = p.bench || {};
  const power = p.power || {};
  return [
    ["class", [p.arch, p.kernel].filter((w) => typeof w === "string").join(" ") || null],
    ["processors", number(p.cpus) && String(p.cpus)],
    ["memory for models", number(p.memory_bytes) && bytes(p.memory_bytes)],
    ["planned of it", number(d.memory?.planned) !== null
      ? `${bytes(d.memory.planned)} (rung ${text(d.memory.rung ?? 0)}`
        + `${d.memory.why ? `, ${text(d.memory.why)}` : ""})` : null],
    ["free disk", number(p.disk_free_bytes) && bytes(p.disk_free_bytes)],
    ["reads from memory", number(bench.memory_bytes_per_s) && rate(bench.memory_bytes_per_s)],
    ["reads from files", number(bench.read_bytes_per_s) && rate(bench.read_bytes_per_s)],
    ["int8 operations", number(bench.int8_ops_per_s)
      && `${(bench.int8_ops_per_s / 1e9).toPrecision(3)} G/s`],
    ["benchmark", number(bench.at_ms) && ago(bench.at_ms)],
    ["power", typeof power.mains !== "boolean" ? null
      : `${power.mains ? "mains" : "battery"}${power.battery_pct > 0 || !power.mains
        ? `, ${text(power.battery_pct)} %` : ""}`],
    ["temperature", number(p.temperature_mc) && `${(p.temperature_mc / 1000).toFixed(1)} °C`],
    ["agent", typeof d.agent === "string" ? d.agent : null],
    ["seen", ago(d.last_seen_at_ms)],
  ].filter(([, value]) => value !== null && value !== 0 && value !== undefined);
}

function modelRow(m, device) {
  const remove = h("button", { type: "button", class: "danger",
    onclick: () => openRemove(text(m.model), device) }, `Remove ${text(m.model)}…`);
  return [title(m.serving), m.state ? state(text(m.state)) : "–", m.instead_of ? `${text(m.rung)}: ${text(m.variant)} for ${text(m.instead_of)}` : text(m.rung ?? "–"),
    m.slots?.previous?.version, m.drift ? h("span", { class: "state warn" }, text(m.drift.kind)) : "–", remove];
}

const wanting = (d) => models(d).filter((m) => m.drift?.kind === "no-memory").map((m) =>
  h("p", { class: "notice" }, h("b", {}, `${text(m.model)} has no memory. `),
    text(m.drift.why), h("br"),
    "Ship a smaller variant, remove a model here, unpin one, or raise memory_budget."));

// ---- reports ----

function reportBody(report) {
  const facts = Object.entries(report.facts || {});
  const findings = report.findings || [];
  const lines = report.lines || [];
  const nothing = findings.length + facts.length + lines.length === 0;
  return h("div", { class: "report" },
    findings.length > 0 ? table(["level", "found", "measured", "expected", "do"],
      findings.map((f) => [state(text(f.level)), f.what,
        number(f.measured) === null ? "–" : `${Number(f.measured).toPrecision(4)} ${text(f.unit ?? "")}`,
        number(f.expected) === null ? "–" : Number(f.expected).toPrecision(4), f.fix])) : null,
    facts.length > 0 ? table(["fact", "value"], facts.map(([name, value]) => [name,
      typeof value === "boolean" ? (value ? "yes" : "no") : text(value)])) : null,
    report.cut_lines > 0 ? h("p", { class: "soft" },
      `${report.cut_lines} older lines are left out`) : null,
    lines.length > 0 ? h("pre", { class: "log mono", tabindex: "0" }, lines.map(text).join("\n"))
      : nothing ? h("p", { class: "soft" }, "It holds nothing.") : null);
}

// The answer of an order, once it came; a device that is away answers later.
async function await_(order, device, dialog, say) {
  for (let i = 0; dialog.open; i += 1) {
    const report = await call("GET", `/v1/reports/${encodeURIComponent(order)}`)
      .catch((problem) => {
        if (problem.status !== 404) {
          throw problem;
        }
        return null;
      });
    if (report) {
      return report;
    }
    const now = await call("GET", `/v1/orders/${encodeURIComponent(order)}?devices=1`);
    if (now.failed > 0) {
      throw new Error(text(now.devices?.[0]?.error?.what || "the device refused"));
    }
    say(device.state === "online" ? `${order} is on its way…`
      : `${order}: ${device.name} is offline and answers when it is back`);
    await new Promise((wait) => setTimeout(wait, Math.min(300 * (i + 1), 2000)));
  }
  return null;
}

function reports(device, dialog) {
  const say = h("p", { class: "soft", role: "status" });
  const list = h("div");
  const shown = h("div");

  async function fill() {
    const items = (await call("GET",
      `/v1/devices/${encodeURIComponent(device.id)}/reports`)).items || [];
    list.replaceChildren(items.length === 0 ? "" : table(["report", "what", "came", ""],
      items.map((r) => [r.id, r.op, ago(r.received_at_ms), h("button", { type: "button",
        onclick: () => show(r.id) }, `Read ${r.id}`)])));
  }

  async function show(id) {
    const report = await call("GET", `/v1/reports/${encodeURIComponent(id)}`);
    shown.replaceChildren(h("h2", {}, `${text(report.op)} of ${device.name}, ${id}`),
      reportBody(report));
    shown.scrollIntoView({ block: "nearest" });
  }

  async function ask(op) {
    try {
      const order = await call("POST", "/v1/orders", { op, device: device.name,
        reason: "asked on the page" });
      say.textContent = `${order.id} is on its way…`;
      if (await await_(order.id, device, dialog, (words) => { say.textContent = words; })) {
        say.textContent = "";
        await fill();
        await show(order.id);
      }
    } catch (problem) {
      say.textContent = `${problem.code || "error"}: ${problem.message} ${problem.fix || ""}`;
    }
  }

  const element = h("section", { "aria-label": "Reports" }, h("h2", {}, "Reports"),
    h("p", { class: "soft" }, "Asked for by an order, which the audit names. A report holds no "
      + "prompt, no answer and no key."),
    h("div", { class: "row left" },
      h("button", { type: "button", onclick: () => ask("doctor") }, "Ask for doctor"),
      h("button", { type: "button", onclick: () => ask("logs") }, "Ask for the log")),
    say, list, shown);
  fill().catch((problem) => { // a viewer reads none
    say.textContent = `${problem.code || "error"}: ${problem.message}`;
  });
  return element;
}

export function openDevice(device) {
  const dialog = h("dialog", { class: "plain large", "aria-labelledby": "device-title" });
  const list = models(device);
  const runtimes = device.profile?.runtimes || [];
  const accelerators = device.profile?.accelerators || [];
  dialog.append(
    h("div", { class: "row left" }, h("h2", { id: "device-title" }, device.name), state(device.state),
      h("span", { class: "soft" }, (device.groups || []).map(text).join(", "))),
    ...wanting(device),
    h("section", { "aria-label": "Models" }, h("h2", {}, "Models"),
      list.length === 0 ? h("p", { class: "soft" }, "None.")
        : table(["serving", "state", "rung", "previous", "drift", ""],
          list.map((m) => modelRow(m, device)))),
    h("section", { "aria-label": "Hardware" }, h("h2", {}, "Hardware"),
      table(["", "as the device says"], factRows(device))),
    runtimes.length > 0 ? table(["runtime", "state", "memory", "why"], runtimes.map((r) =>
      [r.name, r.state ? state(text(r.state)) : "–", bytes(r.memory_bytes ?? null), r.why])) : "",
    accelerators.length > 0 ? table(["accelerator", "name", "memory"], accelerators.map((a) =>
      [a.kind, a.name, bytes(a.memory_bytes ?? null)])) : "",
    reports(device, dialog),
    h("p", { class: "soft mono" }, `flotilla device get ${device.name} --profile`),
    h("div", { class: "row" }, h("button", { type: "button", autofocus: true,
      onclick: () => dialog.close() }, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
