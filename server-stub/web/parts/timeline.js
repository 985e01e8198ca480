// A device's timeline: each event with its word, its release by name, its cost.

import { bytes, clock, digest, duration, kind, text } from "/app/data/words.js";
import { html } from "/app/parts/html.js";
import { Card, Table } from "/app/parts/parts.js";

const num = (value) => typeof value === "number" ? value : null;
const given = (word) => typeof word === "string" && word;

// Word and class of an event that is no step of an execution: each is over.
const SERVING = { ready: ["serves", "ok"], down: ["down", "bad"], restarted: ["restarted", "warn"], "rolled-back": ["rolled-back", "back"] };
const WORDS = {
  serving: (e) => SERVING[e.serving] || [text(e.serving), "off"],
  drift: (e) => e.kind === "none" ? ["no drift", "ok"] : [`drift: ${text(e.kind)}`, "warn"],
  security: () => ["security", "bad"],
  note: () => ["note", "warn"],
  certificate: () => ["certificate", "off"],
  trust: () => ["trust", "off"],
};

function release(e) {
  return given(e.model) && given(e.version) ? `${e.model}@${e.version}`
    : [given(e.model), given(e.release) && digest(e.release)].filter((w) => w).join(" ");
}

function line(e) {
  const step = text(e.state ?? e.outcome ?? e.kind ?? e.event ?? e.type ?? "");
  const [word, tone] = (Object.hasOwn(WORDS, e.type) ? WORDS[e.type] : () => [step, kind(step)])(e);
  const error = e.error?.id ? `${text(e.error.id)} ${text(e.error.what ?? "")}` : "";
  const detail = e.detail || {};
  return { word, tone, at: e.at_ms ?? e.received_at_ms ?? e.since_at_ms,
    words: [release(e), e.rollout || e.execution, e.reason, e.what, e.why, error,
      num(e.number) !== null && `number ${e.number}`, num(e.until_ms) && `until ${clock(e.until_ms)}`,
      num(e.more) && `${e.more} more since without being told`].filter(given).join(" · "),
    cost: [num(detail.bytes) && bytes(detail.bytes), num(detail.took_ms) && duration(detail.took_ms),
      num(e.first_answer_ms) !== null && `first answer after ${duration(e.first_answer_ms)}`].filter((w) => w).join(", ") };
}

export function Timeline({ events }) {
  return html`<${Card} title="Timeline, newest first" label="Timeline">${events.length === 0 ? html`<p class="soft">Nothing was reported yet.</p>`
    : html`<${Table} label="Timeline" heads=${["when", "what", "more", "+#cost"]} rows=${events.map(line).map((e) => ({ hit: e.tone === "bad",
      cells: [clock(e.at), html`<span class="st ${e.tone}">${e.word}</span>`, e.words, e.cost] }))} />`}<//>`;
}
