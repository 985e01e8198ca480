// All devices, as little of each as the map and the counts need, page by page.

import { call } from "/app/data/api.js";
import { kind, models, text, title } from "/app/data/words.js";

const PAGE = 1000;
const FIELDS = "id,name,state,labels,maintenance,profile.arch,profile.class,models,last_seen_at_ms";

export async function readAll(where, some) {
  const found = [];
  let next = "";
  do {
    const page = await call("GET", `/v1/devices?limit=${PAGE}&fields=${FIELDS}${
      where ? `&where=${encodeURIComponent(where)}` : ""}${next}`);
    found.push(...page.items);
    some?.(found, page.total);
    next = page.next ? `&cursor=${encodeURIComponent(page.next)}` : "";
  } while (next);
  return found;
}

export async function count(where) {
  return (await call("GET", `/v1/devices?limit=1&fields=id${
    where ? `&where=${encodeURIComponent(where)}` : ""}`)).total;
}

// One word for a device: the worst that is true of it.
export function condition(device) {
  const list = models(device);
  return device.maintenance ? "maintenance"
    : list.some((m) => m.state === "down" || m.state === "failed") ? "failed"
      : device.state !== "online" ? "offline"
        : list.some((m) => m.drift) ? "drift"
          : list.some((m) => m.execution && kind(text(m.execution.state)) === "busy") ? "updating"
            : "ok";
}

export const RANK = ["failed", "drift", "offline", "maintenance", "updating", "ok"];
const MAP_KINDS = { failed: "bad", drift: "warn", offline: "off", maintenance: "hold", updating: "busy", ok: "ok" };
export const mapKind = (word) => MAP_KINDS[word];

// The meaning of the words of agent/core/drift.c, for people.
const DRIFTS = { behind: "it runs another release than the assigned one", ahead: "it runs a newer release than the assigned one",
  denied: "the assigned release failed here before", "below-floor": "a newer release ran here before",
  frozen: "the fleet is frozen", paused: "its rollout is paused" };

// Why it needs a look, as a sentence.
export function why(device) {
  const drift = models(device).find((m) => m.drift);
  if (drift) {
    const said = drift.drift.why || DRIFTS[drift.drift.kind];
    return `${text(drift.model)}: ${text(drift.drift.kind)}${said ? `, ${text(said)}` : ""}`;
  }
  return device.state === "online" ? "" : "not heard; it follows at contact";
}

export const hardware = (d) => text(d.profile?.class ?? d.profile?.arch ?? "unknown");

export function releasesOf(devices) {
  const all = new Map();
  for (const device of devices) {
    for (const m of models(device)) {
      const name = m.serving?.version ? title(m.serving) : "none";
      const one = all.get(name) || { name, model: text(m.model ?? m.serving?.model), devices: 0, drift: 0, offline: 0 };
      one.devices += 1;
      one.drift += m.drift ? 1 : 0;
      one.offline += device.state === "online" ? 0 : 1;
      all.set(name, one);
    }
  }
  return [...all.values()].sort((a, b) => b.devices - a.devices);
}
