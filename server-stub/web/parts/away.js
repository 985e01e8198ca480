// Requests that another device or a server answered: their share, and why.

import { number } from "/app/data/words.js";
import { html } from "/app/parts/html.js";
import { Card, Meter, Table } from "/app/parts/parts.js";

const percent = (n, all) => `${(100 * n / Math.max(all, 1)).toPrecision(2)} %`;

// rows: of awayBy(), with names: the first cells of a row.
export function Away({ rows, heads }) {
  return rows.length === 0 ? null : html`<${Card} title="Requests that left the device"
    head=${html`<span class="soft">by a route of the device's owner; a share of the release's requests</span>`}>
    <${Table} label="Requests that left" heads=${[...heads, "#requests", "#left", "share", "why", "+#failed elsewhere"]} rows=${rows.map((r) => [...r.names, number(r.all), number(r.left),
  html`<${Meter} of=${r.all} label=${`${percent(r.left, r.all)} of ${r.names.join(" ")} left`} parts=${[["busy", r.left]]} />`,
  r.why.length > 0 ? r.why.map(([word, n]) => `${word} ${percent(n, r.all)}`).join(", ") : "–", number(r.failed)])} /><//>`;
}
