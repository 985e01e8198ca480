// Small things that all screens show: a state, a table, a card, counts.

import { kind, text } from "/app/data/words.js";
import { Component, html } from "/app/parts/html.js";

export const State = ({ word, more }) => html`<span class="st ${kind(word)}">${text(word || "–")}</span>${
  more ? html` <span class="soft">${more}</span>` : null}`;

export const Card = ({ title, label, at, head, children }) => html`<section
  class="card ${at || ""}" aria-label=${label || title}>
  ${title ? html`<div class="head mid"><h2>${title}</h2>${head || null}</div>` : null}${children}</section>`;

// heads: words; one that begins with # is a column of numbers, with + not shown
// on a phone.  rows: arrays of cells, or { cells, hit }.
export function Table({ heads, rows, label }) {
  const number = heads.map((word) => word.includes("#"));
  const narrow = heads.map((word) => word.includes("+"));
  const cls = (i) => `${number[i] ? "n" : ""} ${narrow[i] ? "w" : ""}`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${label}><table>
    <thead><tr>${heads.map((word, i) => html`<th scope="col" class=${cls(i)}>${
  word.replace(/[#+]/g, "") || html`<span class="vh">act</span>`}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr class=${row.hit ? "hit" : ""} data-row>${
  (row.cells || row).map((cell, i) => html`<td class=${cls(i)}>${cell ?? "–"}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

export const Counts = ({ items }) => html`<ul class="counts">${items.filter((i) => i).map((i) => html`<li>
  <${i.href ? "a" : "span"} href=${i.href}><b>${i.n}</b><span class=${i.kind ? `st ${i.kind}` : "soft"}>${
  i.word}</span><//></li>`)}</ul>`;

export const Chips = ({ items, label }) => html`<nav class="chips" aria-label=${label}>${items.map((i) =>
  html`<a href=${i.href} aria-current=${i.on ? "true" : null}>${i.word}</a>`)}</nav>`;

export const Facts = ({ rows }) => html`<dl class="kv">${rows.filter(([, value]) =>
  value !== null && value !== undefined && value !== "").map(([name, value]) =>
  html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;

// The same by the command line and by REST.
export const Same = ({ command, call }) => html`<footer>
  <span>As a command: <code>${command}</code></span><span>As a call: <code>${call}</code></span>
  <span><kbd>?</kbd> all keys</span></footer>`;

// A bar of parts: [[kind, n]], of n in all.
export const Meter = ({ parts, of, label }) => {
  let from = 0;
  return html`<svg class="meter" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label=${label}>${
    parts.map(([what, n]) => {
      const at = from;
      from += 100 * n / Math.max(of, 1);
      return html`<rect class="f-${what}" x=${at} y="0" width=${from - at} height="10" />`;
    })}</svg>`;
};

export class Dialog extends Component {
  componentDidMount() {
    this.base.showModal();
    this.base.querySelector("[autofocus]")?.focus();
  }

  render({ title, close, children, large }) {
    return html`<dialog class=${large ? "large" : ""} aria-label=${title} onclose=${close}>
      <h2>${title}</h2>${children}</dialog>`;
  }
}
