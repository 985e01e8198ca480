// A record of the audit for people: who by name, a request's fields as words.

import { digest, text } from "/app/data/words.js";
import { html } from "/app/parts/html.js";

const TOKEN = /^([0-9a-f]{12}) (.+)$/;
const DIGEST = /sha256:[0-9a-f]{64}/g;
const PAIR = /"(\w+)":(?:"((?:[^"\\]|\\.)*)"|(-?[\d.]+|true|false))/g;

const split = (who) => {
  const [, id, name] = TOKEN.exec(text(who)) || [null, "", text(who)];
  return { id, name };
};

// Names that several tokens bear: only these need the token's id next to them.
export function namesakes(records, tokens) {
  const ids = new Map();
  const add = (name, id) => id && ids.set(name, (ids.get(name) || new Set()).add(id));
  records.map((r) => split(r.who)).forEach((one) => add(one.name, one.id));
  (tokens || []).filter((t) => t.kind !== "enroll").forEach((t) => add(t.user || t.name || t.id, t.id));
  return new Set([...ids].filter(([, several]) => several.size > 1).map(([name]) => name));
}

export function Who({ who, twice }) {
  const { id, name } = split(who);
  return html`<span title=${id ? `token ${id}` : ""}>${name}${twice.has(name) && id
    ? html` <span class="soft mono">${id.slice(0, 6)}</span>` : null}</span>`;
}

function value(one) {
  return Array.isArray(one) ? one.map(value).join(", ")
    : one && typeof one === "object" ? Object.entries(one).map(([key, v]) => pair(key, v)).join(" ")
      : String(one);
}

function pair(key, one) {
  const word = key.replace(/_/g, " ");
  return one === true ? word : one && typeof one === "object" ? `${word}: ${value(one)}` : `${word} ${value(one)}`;
}

// A long request is cut in the audit: its fields are read one by one.
function fields(detail) {
  try {
    return Object.entries(JSON.parse(detail)).map(([key, one]) => pair(key, one)).join(", ");
  } catch {
    const found = [...detail.matchAll(PAIR)].map(([, key, word, plain]) => pair(key, word ?? plain));
    return found.length > 0 ? `${found.join(", ")} …` : detail;
  }
}

// names: of releases by digest.
export function said(detail, names) {
  const all = text(detail || "–");
  return (all.startsWith("{") ? fields(all) : all).replace(DIGEST, (one) => names.get(one) || digest(one));
}
