// Small helpers: elements, numbers for people.  Text only ever enters the page
// as text nodes, so nothing that a device says is ever read as markup.

// A device may say anything: an object can refuse to become text.
export function text(value) {
  return typeof value === "string" || typeof value === "number" ? String(value) : "–";
}

export function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "g", "circle"].includes(tag);
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined)
    .map((c) => c instanceof Node ? c : text(c)));
  return element;
}

export function bytes(value) {
  if (typeof value !== "number") {
    return "–";
  }
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

export function duration(ms) {
  if (typeof ms !== "number") {
    return "–";
  }
  if (ms < 1000) {
    return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
  }
  if (ms < 60000) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  const s = Math.floor(ms / 1000);
  return s < 3600 ? `${Math.floor(s / 60)} m ${s % 60} s`
    : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} m`;
}

export function ago(at) {
  return at ? `${duration(Math.max(0, Date.now() - at))} ago` : "never";
}

export function title(serving) {
  return serving?.version ? `${text(serving.model)}@${text(serving.version)}` : "–";
}

// The models that a device has; one that was removed is no model of it.
export function models(device) {
  return (device.models || []).filter((m) => m && m.state !== "removed");
}

// The class and shape of a state word: good, busy, warn, bad, back or off.
// A release that was taken back is never green, and neither is a state that
// asks for a hand.
const GOOD = new Set(["succeeded", "already-installed", "online", "completed",
  "passed", "pass", "ready", "published", "done", "ok"]);
const BAD = new Set(["failed", "rejected", "timed-out", "halted", "fail", "down", "yanked",
  "silent", "overdue"]);
const WARN = new Set(["held", "paused", "partly", "warn"]);
const BACK = new Set(["rolled-back", "rolling-back", "taken-back"]);
const OFF = new Set(["offline", "queued", "waiting", "cancelled", "superseded",
  "removed", "on-demand", "draft", "aborted", "inconclusive", "away", "info"]);

export function kind(word) {
  return GOOD.has(word) ? "good" : BAD.has(word) ? "bad" : WARN.has(word) ? "warn"
    : BACK.has(word) ? "back" : OFF.has(word) ? "off" : "busy";
}

export function state(word) {
  return h("span", { class: `state ${kind(word)}` }, word || "–");
}

export function table(heads, rows) {
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) =>
      h("td", { class: typeof cell === "string" && cell.length > 40 ? "text" : null },
        cell ?? "–")))))));
}

export function announce(text) {
  document.getElementById("announce").textContent = text;
}
