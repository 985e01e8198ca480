// Calls to the controller and its live events, with the pasted token.

import { time } from "/app/data/time.js";

const KEY = "flotilla.token";

export const session = {
  get token() { return sessionStorage.getItem(KEY); },
  open(token) { sessionStorage.setItem(KEY, token.trim()); },
  close() { sessionStorage.removeItem(KEY); },
  // A session ends at the controller too; a pasted token stays valid.
  async end() {
    await call("POST", "/v1/logout").catch(() => {});
    this.close();
  },
};

// An error of the controller: id, sentence and what to do.
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.code = body.code || "net.status";
    this.fix = body.fix || "";
  }
}

// `body`: an object, or a text of YAML.  `etag`: of the record as the page shows
// it; another one is refused.
export async function call(method, path, body, etag) {
  const headers = { Authorization: `Bearer ${session.token}` };
  if (etag) {
    headers["If-Match"] = etag;
  }
  if (method === "POST") {
    headers["Idempotency-Key"] = randomId();
  }
  if (body !== undefined) {
    headers["Content-Type"] = typeof body === "string" ? "application/yaml" : "application/json";
  }
  const answer = await fetch(path, {
    method, headers, cache: "no-store",
    body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  let data = {};
  try {
    data = text ? JSON.parse(text) : {};
  } catch {
    data = { detail: text.slice(0, 200) };
  }
  if (!answer.ok) {
    throw new Problem(answer.status, data);
  }
  return data;
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

// Server-sent events read by fetch (EventSource cannot send the token).
// on.event(name, data), on.open(), on.alive() at any byte, on.closed(why);
// it reconnects by itself.
export function follow(on) {
  let stopped = false;
  let lastId = null;
  let abort = null;

  async function read() {
    abort = new AbortController();
    const headers = { Authorization: `Bearer ${session.token}` };
    if (lastId !== null) {
      headers["Last-Event-ID"] = lastId;
    }
    const answer = await fetch("/v1/events", {
      headers, signal: abort.signal, cache: "no-store" });
    if (!answer.ok) {
      throw new Problem(answer.status, {});
    }
    on.open();
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
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

  (async () => {
    let wait = 500;
    while (!stopped) {
      const began = time.now();
      try {
        await read();
        on.closed("the controller closed the stream");
      } catch (error) {
        if (!stopped) {
          on.closed(error.message);
        }
      }
      wait = time.now() - began > 10000 ? 500 : Math.min(wait * 2, 10000);
      await new Promise((go) => time.after(wait * (0.5 + Math.random()), go));
    }
  })();
  return () => { stopped = true; abort?.abort(); };
}
