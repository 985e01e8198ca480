// Names, times and states for people.

import { time } from "/app/data/time.js";
import { duration, text } from "/app/data/units.js";

export * from "/app/data/units.js";

export function ago(at) {
  return at ? `${duration(Math.max(0, time.now() - at))} ago` : "never";
}

const two = (n) => String(n).padStart(2, "0");

// Today's times without a day.
export function clock(at) {
  if (!at) {
    return "–";
  }
  const then = new Date(at);
  const hours = `${two(then.getHours())}:${two(then.getMinutes())}:${two(then.getSeconds())}`;
  return then.toDateString() === new Date(time.now()).toDateString() ? hours
    : `${two(then.getMonth() + 1)}-${two(then.getDate())} ${hours.slice(0, 5)}`;
}

export function title(serving) {
  return serving?.version ? `${text(serving.model)}@${text(serving.version)}` : "–";
}

// A release by its digest, where no name is known.
export const digest = (value) => /^sha256:0+$/.test(value || "") || !value ? "no release" : value.slice(7, 15);

// The models that a device has; one that was removed is no model of it.
export function models(device) {
  return (device.models || []).filter((m) => m && m.state !== "removed");
}

// The class and shape of a state word.  A release that was taken back is never
// green, and neither is a state that asks for a hand.
const KINDS = {
  ok: ["succeeded", "already-installed", "online", "completed", "passed", "pass", "holds",
    "ready", "published", "done", "ok", "kept", "has", "leads"],
  bad: ["failed", "rejected", "timed-out", "halted", "fail", "down", "yanked", "silent",
    "overdue", "cannot", "denied", "refused", "all"],
  warn: ["held", "paused", "partly", "partly-back", "warn", "drift", "degraded", "download", "awaiting-approval", "waits", "unclear"],
  back: ["rolled-back", "rolling-back", "taken-back", "back"],
  hold: ["maintenance", "quarantined", "frozen"],
  off: ["offline", "queued", "waiting", "cancelled", "superseded", "removed", "on-demand",
    "draft", "aborted", "inconclusive", "away", "info", "open", "scheduled", "notified", "stands-by", "changed"],
};
const BY_WORD = new Map(Object.entries(KINDS).flatMap(([kind, words]) =>
  words.map((word) => [word, kind])));

export const kind = (word) => BY_WORD.get(word) || "busy";

// The state of a rollout for people: one whose release nobody has any more was
// taken back, whatever it once completed.
export function rolloutState(one) {
  return one.state === "completed" && one.holders + (one.overtaken || 0) === 0 ? "taken-back" : one.state;
}

export const isOpen = (one) => ["running", "paused", "rolling-back", "aborting",
  "awaiting-approval", "scheduled"].includes(one.state);

// Names as people count: gw-2 before gw-10, r-9999 before r-10000.
const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
export const byName = (a, b) => order.compare(a.name || a.id, b.name || b.id);

// Failing ones stand first, then those under way, then the newest.
export function rolloutOrder(a, b) {
  const rank = (r) => r.state === "halted" && r.holders > 0 ? 0 : isOpen(r) ? 1 : 2;
  return rank(a) - rank(b) || order.compare(b.id, a.id);
}
