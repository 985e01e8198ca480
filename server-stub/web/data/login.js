// Login by an identity provider: the way there and the way back.

import { session } from "/app/data/api.js";
import { exchange } from "/app/data/exchange.js";

const KEY = "flotilla.login";
const home = () => `${location.origin}/`;

async function ask(method, path, body) {
  const { answer, text } = await exchange(path, {
    method, headers: { "Content-Type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) });
  let data = {};
  try {
    data = JSON.parse(text);
  } catch { /* the status says it */ }
  if (!answer.ok) {
    throw new Error([data.detail || `HTTP ${answer.status}`, data.fix].filter(Boolean).join(". "));
  }
  return data;
}

// {name, issuer}; both null: none is configured.
export const provider = () => ask("GET", "/v1/login");

// The browser leaves the page; this tab alone can finish the login.
export async function leave() {
  const { url, state, secret } = await ask("POST", "/v1/login/start", { redirect: home() });
  sessionStorage.setItem(KEY, JSON.stringify({ state, secret, hash: location.hash }));
  location.assign(url);
}

// Did the browser come back from the provider?  The address is made clean first:
// a code is used once, and belongs in no bookmark.
export async function comeBack() {
  const words = new URLSearchParams(location.search);
  const begun = JSON.parse(sessionStorage.getItem(KEY) || "null");
  sessionStorage.removeItem(KEY);
  if (!words.has("state")) {
    return;
  }
  history.replaceState(null, "", home() + (begun?.hash || ""));
  if (!begun || begun.state !== words.get("state")) {
    throw new Error("This login was not begun in this tab. Sign in again.");
  }
  const body = { state: begun.state, secret: begun.secret };
  for (const name of ["code", "error", "iss"]) {
    if (words.get(name)) {
      body[name] = words.get(name);
    }
  }
  session.open((await ask("POST", "/v1/login/finish", body)).token);
}
