// The stream of changes, shared by all screens, and since when it is silent.

import { abandonReads, doubt } from "/app/data/exchange.js";
import { follow } from "/app/data/stream.js";
import { time } from "/app/data/time.js";

const listeners = new Set();
export const live = { state: "off", why: "", since: 0, heard: 0 };
let stop = null;

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(name, value) {
  [...listeners].forEach((listener) => listener(name, value));
}

function become(state, why) {
  if (live.state !== state) {
    live.state = state;
    live.since = state === "live" || !live.heard ? time.now() : Math.min(live.heard, time.now());
  }
  live.why = why;
  tell("live", null);
}

// Reads that began on a dead connection would hold the screens for long.
export function connect() {
  stop = follow({
    open() {
      live.heard = time.now();
      if (live.state === "stale") {
        abandonReads();
      }
      become("live", "");
      tell("resync", null);
    },
    closed(why) {
      if (live.state === "live") {
        doubt();
      }
      become("stale", why);
    },
    alive() { live.heard = time.now(); },
    event: tell,
  });
}

export function disconnect() {
  stop?.();
  stop = null;
  live.state = "off";
}
