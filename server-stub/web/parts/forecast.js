// The plan of a rollout: who gets it, when, what it costs, and the way back.

import { bytes, duration, many, number, text } from "/app/data/words.js";
import { html } from "/app/parts/html.js";
import { Card, Counts, Table } from "/app/parts/parts.js";
import { Prose } from "/app/parts/problems.js";

const percent = (value) => (typeof value === "number" ? `${value} %` : "–");
const limited = (answer) => (answer.spec?.policy?.rate_bytes_per_s || 0) > 0;

// A start now would be refused, or held as long as this lasts, and what to change.
export function Refusals({ plan }) {
  const notice = (r, kind, head) => html`<div class="notice ${kind}" role="alert"><b>${head}: <${Prose} words=${r.what} /></b>
    <p><code>${r.id}</code> <b>Next:</b> <${Prose} words=${r.fix} /></p></div>`;
  return [...(plan.refusals || []).map((r) => notice(r, "n-bad", "A start now is refused")),
    ...(plan.holds || []).map((r) => notice(r, "n-warn", "It waits, and today it would not begin"))];
}

// A download without a limit of its rate is not in the time.
function time(answer) {
  const { plan } = answer;
  const zoneless = (plan.phases || []).reduce((n, f) => n + f.zoneless, 0);
  return [`At least ${duration(plan.time_ms)}${limited(answer) ? "" : "; downloads come on top"}.`,
    zoneless > 0 ? ` ${many(zoneless, "device")} without a zone never begin in a window of local time: label tz.` : ""].join("");
}

function Undo({ undo }) {
  const to = (undo.to || []).map((one) => `${text(one.version)} on ${number(one.devices)}`).join(", ");
  return html`<${Card} title="The way back">${undo.kept > 0
    ? html`<p>${many(undo.kept, "device")} ${undo.kept === 1 ? "keeps" : "keep"} the release before (${to}): ≈ 1 s each, no download.</p>` : null}
    ${undo.first > 0 ? html`<p>${many(undo.first, "device")} ${undo.first === 1 ? "has" : "have"} none before it, and nothing to go back to.</p>` : null}
    ${undo.kept + undo.first === 0 ? html`<p>No device changes.</p>` : null}<//>`;
}

export function Forecast({ answer }) {
  const p = answer.plan;
  const left = [...(p.reasons || []), ...(p.excluded || [])];
  const canary = new Set((answer.phases || []).filter((f) => f.canary).map((f) => f.number));
  return html`<${Card} label="Plan"><${Counts} items=${[{ n: number(p.takes), word: `of ${number(p.devices)} get it` },
    { n: number(p.cannot), word: "cannot", kind: p.cannot > 0 ? "warn" : null }, { n: number(p.has), word: "have it" },
    { n: number(p.silent), word: "never reported", kind: p.silent > 0 ? "off" : null },
    { n: number(p.offline), word: "of them offline", kind: p.offline > 0 ? "off" : null },
    { n: bytes(p.bytes), word: "to send" }, { n: duration(p.time_ms), word: limited(answer) ? "at least" : "at least, and downloads" }]} /><//>
  <${Refusals} plan=${p} />
  <div class="col c8">
  ${left.length > 0 ? html`<${Card} title="Who does not get it"><${Table} label="Left out" heads=${["cause", "#devices", "why", "do", "+first"]} rows=${
    left.map((r) => [html`<code>${r.id}</code>`, number(r.devices), html`<${Prose} words=${r.what} />`, html`<${Prose} words=${r.fix} />`, (r.names || []).map(text).join(", ")])} /><//>` : null}
  <${Card} title="Phases"><${Table} label="Phases" heads=${["phase", "#get it", "#of", "+#begins after", "#ends after", "+chosen by"]} rows=${(p.phases || []).map((f) =>
    [html`<b>${f.number} ${text(f.name)}</b>`, number(f.takes), number(f.devices), duration(f.begins_after_ms), duration(f.ends_after_ms),
      canary.has(f.number) ? "canary, spread over the fleet" : "stable hash"])} />
    <p class="soft">${time(answer)} Gates: ${(answer.gates || []).map((g) => g.name).join(", ") || "none"}. When one fails: ${text(answer.on_fail)}.</p><//>
  ${(p.sights || []).length > 0 || p.base ? html`<${Card} title="What the gates find">${p.base ? html`<p><${Prose} words=${p.base.text} /></p>` : null}<${Table} label="Gates" heads=${["phase", "gate", "#updated", "#controls", "finds", "+#has to prove", "#odds"]} rows=${(p.sights || []).map((s) =>
    [text(s.phase), text(s.gate), number(s.updated), number(s.controls), s.finds ? text(s.finds) : "–", percent(s.prove_pct), percent(s.odds_pct)])} />
    ${(p.unsure || []).map((line) => html`<p class="warn"><${Prose} words=${line.text} /></p>`)}
    ${(p.sites || []).map((s) => html`<p class="soft">At a site of ${number(s.members)}, with ${number(s.updated)} updated: ${text(s.gate)} from ${percent(s.finds_pct)} on.</p>`)}<//>` : null}
  <${Card} title="Bytes"><${Table} label="Ways" heads=${["way", "variant", "#devices", "#each", "#sum", "+#whole instead", "+why this variant"]} rows=${(p.ways || []).map((w) =>
    [text(w.way), text(w.variant), number(w.devices), bytes(w.bytes_each), bytes(w.bytes), bytes(w.full_bytes), text(w.why)])} /><//>
  <${Undo} undo=${p.undo} /></div>`;
}
