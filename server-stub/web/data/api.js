// Calls to the controller, with the pasted token.

import { exchange } from "/app/data/exchange.js";
import { Problem } from "/app/data/problem.js";

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
  const { answer, text } = await exchange(path, {
    method, headers, body: body === undefined || typeof body === "string" ? body : JSON.stringify(body) });
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
