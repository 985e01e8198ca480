// The controller's live events, read by fetch (EventSource cannot send the
// token).  A connection that is silent is dead for the page, whatever the
// network says: it is closed, and new ones are tried until one answers.

import { session } from "/app/data/api.js";
import { underway } from "/app/data/exchange.js";
import { Problem } from "/app/data/problem.js";
import { time } from "/app/data/time.js";

const SILENT_MS = 15000; // the controller says something every 5 s
const LOOK_MS = 1000;
const AGAIN_MS = 2000;   // to the next try; it does not wait for the last one
const PATIENCE_MS = 10000;
const TRIES_MAX = 3;     // at the same time: a browser has six connections

// on.event(name, data), on.open(), on.alive() at any byte, on.closed(why).
export function follow(on) {
  const tries = new Set();
  let current = null, lastId = null, heard = 0, nextAt = 0, stopped = false;

  function end(one) {
    tries.delete(one);
    underway.delete(one);
    one.abort.abort();
  }

  // The first try that answers holds; the others end.
  function hold(one) {
    current = one;
    underway.delete(one);
    [...tries].filter((other) => other !== one).forEach(end);
    tries.clear();
    on.open();
  }

  function lose(why) {
    current?.abort.abort();
    current = null;
    on.closed(why);
    look();
  }

  async function attempt() {
    const one = { abort: new AbortController(), since: time.now() };
    tries.add(one);
    underway.add(one);
    nextAt = time.now() + AGAIN_MS * (0.5 + Math.random() / 2);
    try {
      await read(one);
      if (current === one) {
        lose("the controller closed the stream");
      }
    } catch (error) {
      if (stopped) {
        return;
      }
      if (current === one) {
        lose(error.message);
      } else if (tries.delete(one)) { // nobody ended it
        on.closed(error.message);
      }
    } finally {
      underway.delete(one);
    }
  }

  async function read(one) {
    const headers = { Authorization: `Bearer ${session.token}` };
    if (lastId !== null) {
      headers["Last-Event-ID"] = lastId;
    }
    const answer = await fetch("/v1/events", { headers, signal: one.abort.signal, cache: "no-store" });
    if (!answer.ok) {
      throw new Problem(answer.status, {});
    }
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || stopped || (current && current !== one)) {
        one.abort.abort();
        return;
      }
      heard = time.now();
      if (!current) {
        hold(one);
      }
      on.alive?.();
      text += decoder.decode(value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop();
      blocks.forEach(deliver);
    }
  }

  function deliver(block) {
    let name = "message";
    const data = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("event:")) {
        name = line.slice(6).trim();
      } else if (line.startsWith("data:")) {
        data.push(line.slice(5).trim());
      } else if (line.startsWith("id:")) {
        lastId = line.slice(3).trim();
      }
    }
    if (data.length > 0 || name !== "message") {
      let value = null;
      try {
        value = JSON.parse(data.join("\n"));
      } catch { /* a heartbeat or a resync without data */ }
      on.event(name, value);
    }
  }

  function look() {
    const now = time.now();
    heard = Math.min(heard, now); // a clock may be set back
    nextAt = nextAt > now + AGAIN_MS ? now : nextAt;
    tries.forEach((one) => { one.since = Math.min(one.since, now); });
    if (stopped) {
      return;
    }
    if (current && now - heard > SILENT_MS) {
      nextAt = 0;
      lose(`nothing was heard for ${Math.round((now - heard) / 1000)} s`);
      return;
    }
    [...tries].filter((one) => now - one.since > PATIENCE_MS).forEach(end);
    if (!current && now >= nextAt && tries.size < TRIES_MAX) {
      attempt();
    }
  }

  // Timers rest while a tab is frozen or a machine sleeps: both say when it ends.
  function wake() {
    nextAt = 0;
    look();
  }

  const timer = time.each(LOOK_MS, look);
  const wakes = [[document, "resume"], [document, "visibilitychange"], [window, "pageshow"], [window, "online"]];
  wakes.forEach(([place, name]) => place.addEventListener(name, wake));
  look();
  return () => {
    stopped = true;
    time.stop(timer);
    wakes.forEach(([place, name]) => place.removeEventListener(name, wake));
    current?.abort.abort();
    [...tries].forEach(end);
  };
}
