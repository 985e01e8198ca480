// One request and its whole answer.  Each ends: by its answer, or when the
// other side has said nothing for too long.

import { Problem } from "/app/data/problem.js";
import { time } from "/app/data/time.js";

const READ_MS = 15000; // without a byte
const ACT_MS = 30000;  // an action waits for the disk, a plan for all devices
const PROBE_MS = 2000; // to the first byte on a connection that may be dead
const DOUBT_MS = 30000;
const CONNECTIONS = 5; // that a browser keeps, next to that of the stream
// Requests without an answer yet: { since, abandon() of those that only read }.
export const underway = new Set();
let doubtUntil = 0;

const AWAY = { READ: "the page asks again by itself", ACT: "it may have been done: look before you press again" };

function problem(code, detail, isRead) {
  return new Problem(0, { code, detail, fix: isRead ? AWAY.READ : AWAY.ACT });
}

async function once(path, options, firstMs, thenMs) {
  const isRead = options.method === "GET";
  const abort = new AbortController();
  const one = { since: time.now(), abandon: isRead ? () => { one.isAbandoned = true; abort.abort(); } : null };
  let timer = null, late = 0;
  const wait = (ms) => {
    time.stop(timer);
    timer = time.after(ms, () => { late = ms; abort.abort(); });
  };
  wait(firstMs);
  underway.add(one);
  try {
    const answer = await fetch(path, { ...options, cache: "no-store", signal: abort.signal });
    return { answer, text: await textOf(answer, () => wait(thenMs)) };
  } catch (error) {
    const gone = late ? problem("net.timeout", `the controller said nothing for ${late / 1000} s`, isRead)
      : problem("net.unreachable", `the controller cannot be reached (${error.message})`, isRead);
    gone.isAbandoned = one.isAbandoned;
    throw gone;
  } finally {
    time.stop(timer);
    underway.delete(one);
  }
}

export async function exchange(path, options) {
  if (options.method !== "GET") {
    return once(path, options, ACT_MS, ACT_MS);
  }
  if (time.now() < doubtUntil) {
    try {
      return await once(path, options, PROBE_MS, READ_MS);
    } catch (error) {
      if (error.code !== "net.timeout") {
        throw error;
      }
    }
  }
  return once(path, options, READ_MS, READ_MS);
}

// Each byte is a sign of life.
async function textOf(answer, heard) {
  const reader = answer.body?.getReader(), decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = reader ? await reader.read() : { done: true };
    heard();
    if (done) {
      return text + decoder.decode();
    }
    text += decoder.decode(value, { stream: true });
  }
}

// Reads on a connection that is no more: who wants them asks again.
export const abandonReads = () => [...underway].forEach((one) => one.abandon?.());

// After a silence.  A browser takes up connections that it kept, and does not
// know which are dead: one that does not answer a small read is dropped, before
// an action goes into it.
export function doubt() {
  abandonReads();
  doubtUntil = time.now() + DOUBT_MS;
  for (let i = 0; i < CONNECTIONS; i += 1) {
    once("/healthz", { method: "GET" }, PROBE_MS, PROBE_MS).catch(() => {});
  }
}
