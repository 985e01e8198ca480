// The stream of changes, shared by all screens, and since when it is silent.

import { follow } from "/app/data/api.js";
import { time } from "/app/data/time.js";

const SILENT_MS = 40000; // the controller says something every 15 s
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
    live.since = state === "live" ? time.now() : live.heard || time.now();
  }
  live.why = why;
  tell("live", null);
}

export function connect() {
  stop = follow({
    open() {
      live.heard = time.now();
      become("live", "");
      tell("resync", null);
    },
    closed(why) { become("stale", why); },
    alive() {
      live.heard = time.now();
      if (live.state === "stale") { // it was silent, and is not any more
        become("live", "");
      }
    },
    event: tell,
  });
}

export function disconnect() {
  stop?.();
  stop = null;
  live.state = "off";
}

time.each(1000, () => {
  if (live.state === "live" && time.now() - live.heard > SILENT_MS) {
    become("stale", `nothing was heard for ${SILENT_MS / 1000} s`);
  }
});
