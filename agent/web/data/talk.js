// Calls to the local API of the device that gave this page.

import { Events } from "/app/data/events.js";
import { Problem } from "/app/data/problem.js";

const KEY = "flotilla.token";

// The token of this tab, which ends with it.
export const session = {
  get token() { return sessionStorage.getItem(KEY); },
  open(token) { sessionStorage.setItem(KEY, token.trim()); },
  close() { sessionStorage.removeItem(KEY); },
};

// A link may bring the token behind #token=.  It belongs in no address bar and
// in no bookmark.
export function takeToken() {
  const [, token] = /^#token=(.+)$/.exec(location.hash) || [];
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      session.open(decodeURIComponent(token));
    } catch {
      session.open(token); // a % of its own
    }
  }
  return Boolean(token);
}

const told = (error) => ({ detail: error?.message, code: error?.code, fix: error?.fix });

async function ask(path, options = {}) {
  const headers = {};
  if (session.token) {
    headers.Authorization = `Bearer ${session.token}`;
  }
  if (options.body) {
    headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (options.signal?.aborted) {
      throw error;
    }
    throw new Problem(0, { code: "net.unreachable", detail: `the device cannot be reached (${error.message})`,
      fix: "look whether `flotilla-agent` runs, then try again" });
  }
  if (!answer.ok) {
    throw new Problem(answer.status, told((await answer.json().catch(() => ({}))).error));
  }
  return answer;
}

// Those that answer in a chat; an adapter once, by its whole name.
export async function models() {
  const { data } = await (await ask("/v1/models")).json();
  return data.filter((one) => !one.pipeline && (!one.parent || one.id.includes(":")));
}

// Ask for an answer and give each part of it to on(), until it is whole.
export async function say(request, signal, on) {
  const answer = await ask("/v1/chat/completions", { method: "POST", signal, body: JSON.stringify({
    ...request, stream: true, stream_options: { include_usage: true } }) });
  const reader = answer.body.getReader(), decoder = new TextDecoder(), events = new Events();
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (signal.aborted) {
        throw error;
      }
      return { done: true };
    });
    for (const data of done ? [] : events.take(decoder.decode(value, { stream: true }))) {
      if (data === "[DONE]") {
        return;
      }
      const part = JSON.parse(data);
      if (part.error) {
        throw new Problem(503, told(part.error));
      }
      on(part);
    }
    if (done) {
      throw new Problem(0, { code: "net.cut", detail: "the answer was cut off", fix: "try again" });
    }
  }
}
