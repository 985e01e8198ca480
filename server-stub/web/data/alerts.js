// Alerts that fire, shared by the frame's count and the fleet's list.  No event
// tells of them: they are asked for now and then, while somebody looks.

import { call } from "/app/data/api.js";
import { live } from "/app/data/live.js";
import { time } from "/app/data/time.js";

const EVERY_MS = 10000;
const listeners = new Set();
export const alerts = { items: [], rules: new Map() };
let timer = null;

export async function readAlerts() {
  const { items } = await call("GET", "/v1/alerts");
  if (items.length > 0) {
    alerts.rules = new Map((await call("GET", "/v1/alert-rules")).items.map((r) => [r.name, r]));
  }
  const rank = (a) => (a.acked || a.silenced ? 2 : 0) + (a.severity === "page" ? 0 : 1);
  alerts.items = items.sort((a, b) => rank(a) - rank(b) || b.id - a.id);
  [...listeners].forEach((listener) => listener());
}

export function onAlerts(listener) {
  listeners.add(listener);
  if (!timer) {
    const again = () => document.hidden || live.state === "stale" || readAlerts().catch(() => {}); // the frame says that the controller is away
    timer = time.each(EVERY_MS, again);
    again();
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      time.stop(timer);
      timer = null;
    }
  };
}
