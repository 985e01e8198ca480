// The fleet in counts: one call, however many devices there are.

import { call } from "/app/data/api.js";
import { models, text } from "/app/data/words.js";

export const overview = (by) => call("GET", `/v1/overview?by=${encodeURIComponent(by)}`);

// The controller decides the one word for a device (core/device/conditions.def);
// the worst stands first.
export const condition = (device) => text(device.condition);
export const RANK = ["failed", "degraded", "drift", "offline", "maintenance", "updating", "ok"];
const MAP_KINDS = { failed: "bad", degraded: "warn", drift: "warn", offline: "off", maintenance: "hold", updating: "busy", ok: "ok" };
export const mapKind = (word) => MAP_KINDS[word];

// The meaning of the words of agent/core/drift.c, for people.
const DRIFTS = { behind: "it runs another release than the assigned one", ahead: "it runs a newer release than the assigned one",
  denied: "the assigned release failed or was taken back here", "below-floor": "a newer release ran here before",
  frozen: "the fleet is frozen", paused: "its rollout is paused" };

// Why it needs a look, as a sentence.
export function why(device) {
  if (device.degraded) {
    return `${text(device.degraded.text)} (${text(device.degraded.id)})`;
  }
  const down = models(device).find((m) => m.serving && ["down", "failed"].includes(m.state));
  if (down) {
    return `${text(down.model)} does not answer`;
  }
  const failed = condition(device) === "failed" && models(device).find((m) => m.execution);
  if (failed) {
    const cause = failed.execution.error;
    return `${text(failed.model)}: ${text(failed.execution.state)}${cause ? `, ${text(cause.what || cause.id)}` : ""}`;
  }
  const drift = models(device).find((m) => m.drift);
  if (drift) {
    const said = drift.drift.why || DRIFTS[drift.drift.kind];
    return `${text(drift.model)}: ${text(drift.drift.kind)}${said ? `, ${text(said)}` : ""}`;
  }
  return condition(device) === "maintenance" ? text(device.maintenance)
    : device.state === "online" ? "" : "not heard; it follows at contact";
}

export const hardware = (d) => text(d.profile?.class ?? d.profile?.arch ?? "unknown");
