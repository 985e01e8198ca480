// The fleet: the failing thing first, where it is, what runs, who needs a look.

import { call } from "/app/data/api.js";
import { maySomewhere } from "/app/data/access.js";
import { condition, hardware, mapKind, overview, RANK, why } from "/app/data/fleet.js";
import { time } from "/app/data/time.js";
import { ago, bytes, clock, isOpen, many, models, number, rolloutOrder, rolloutState, text, title } from "/app/data/words.js";
import { link, read, set } from "/app/data/url.js";
import { Alerts } from "/app/parts/alerts.js";
import { html } from "/app/parts/html.js";
import { Card, Chips, Counts, Meter, Same, State, Table } from "/app/parts/parts.js";
import { Problems } from "/app/parts/problems.js";
import { Screen } from "/app/parts/screen.js";

const LOOK = "condition in (failed, degraded, drift, offline)";
const CHIPS = [["needs a look", LOOK], ["all", ""], ["failed", "condition = failed"], ["drift", "condition = drift"], ["offline", "condition = offline"],
  ["disk < 1 GiB", "disk_free < 1GiB"], ["hot", "temperature > 80"], ["maintenance", "condition = maintenance"]];
const SHOWN = 25;
const ROWS = { site: "no site", hardware: "unknown", release: "no release" }; // and who has none
const DETAIL = "id,name,state,condition,labels,maintenance,degraded,profile.arch,profile.class,profile.temperature_mc,models,rss_bytes,last_seen_at_ms";

const WORST_ROWS = 12;
const RENEW_MS = 1000; // between two drawings of the counts

// Cells to a line: as many as the largest row has, so that small sites are seen.
const perLine = (rows) => Math.min(100, Math.max(24, ...rows.map((r) => r.devices)));

// A row of the map: one cell is one device, the worst first.
function Cells({ conditions, label, line }) {
  const runs = [];
  let at = 0;
  for (const word of RANK) {
    let left = Math.min(conditions[word] || 0, 4 * line - at);
    while (left > 0) { // a run ends with its line
      const x = at % line, n = Math.min(left, line - x);
      runs.push({ kind: mapKind(word), x, y: Math.floor(at / line), n });
      at += n;
      left -= n;
    }
  }
  const lines = Math.ceil(at / line);
  return html`<svg class="map" viewBox=${`0 0 ${line * 6} ${lines * 10}`} width="100%" role="img" aria-label=${label}>${
    runs.map((r) => html`<path class="k-${r.kind}" d=${`M${r.x * 6} ${r.y * 10 + 5}h${r.n * 6 - 1}`} />`)}</svg>`;
}

function Where({ counts, rows }) {
  const word = ROWS[rows] ? rows : "site";
  const shown = counts.rows.slice(0, WORST_ROWS), rest = counts.rows.slice(WORST_ROWS);
  const more = (key) => counts.more[key] + rest.reduce((n, r) => n + r[key], 0);
  const left = counts.more.rows + rest.length;
  const line = perLine(shown);
  const field = { site: "site", hardware: "class", release: "release" }[word];
  const filter = (name) => name === null ? "" : `${field} = '${name.replace(/'/g, "")}'`;
  return html`<${Card} title="Where" at="c8" head=${html`<${Chips} label="Rows of the map" items=${Object.keys(ROWS).map((one) =>
    ({ word: one, on: one === word, href: link(["fleet"], { ...read().query, rows: one }) }))} />
    <span class="soft">one cell is one device, the worst first</span>`}>
    <p class="legend"><${State} word="failed" /><${State} word="degraded" /><span class="st warn">drift</span><span class="st off">offline</span>
      <span class="st hold">maintenance</span><span class="st busy">updating</span></p>
    <${Table} label="Devices by place" heads=${["", "needs a look", "devices", "#all"]} rows=${
  shown.map(({ name, devices, look, conditions }) => [
    filter(name) ? html`<a class="nb" href=${link(["fleet"], { where: filter(name), rows: word })}>${text(name)}</a>` : ROWS[word],
    look > 0 ? html`<b>${number(look)}</b> of ${number(devices)}` : "–",
    html`<${Cells} conditions=${conditions} line=${line} label=${`${name ?? ROWS[word]}: ${look} of ${devices} need a look`} />`, number(devices)])} />
    ${left > 0 ? html`<p class="soft">${number(left)} more with ${many(more("devices"), "device")}, ${number(more("look"))} of them need a look.</p>` : null}<//>`;
}

// Counts of what fits; a value of a label narrows it further.
const Facets = ({ facets, query, where }) => facets.filter((f) => f.values.length > 1).map(({ by, values, more }) => html`<p class="soft" aria-label=${`Counts by ${by}`}>
  <b>${by.replace(/^label\./, "")}</b>${" "}${values.map(({ name, devices }, i) => {
  const words = `${text(name ?? "none")} ${number(devices)}`;
  return html`${i > 0 ? " · " : ""}${by === "hardware" || name === null ? words
    : html`<a href=${link(["fleet"], { ...query, where: `${where ? `${where} and ` : ""}${by} = '${name.replace(/'/g, "")}'` })}>${words}</a>`}`;
})}${more > 0 ? ` · ${number(more)} more` : ""}</p>`);

function Notices({ rollouts, total, offline, frozen, freezes }) {
  const bad = rollouts.filter((r) => r.state === "halted" && !r.over
    || isOpen(r) && (r.causes || []).length > 0 || r.state === "paused");
  return html`<ul class="alerts" aria-label="What fails">
    ${bad.slice(0, 5).map((r) => html`<li class=${r.state === "halted" ? "a-bad" : ""}><${State} word=${rolloutState(r)} />
      <span><b>${r.causes?.[0] ? `${r.causes[0].meaning || r.causes[0].id} on ${many(r.causes[0].devices, "device")}` : r.reason || "paused"}.</b>
        ${" "}${r.release} by ${r.id}; ${number(r.holders)} of ${number(r.members)} have it.</span>
      <a class="btn" href=${link(["rollouts", r.id])}>Open ${r.id}</a></li>`)}
    ${frozen ? html`<li><${State} word="frozen" /><span><b>The fleet is frozen.</b> Nothing starts until it is unfrozen.</span>
      <a class="btn" href=${link(["emergency"])}>Emergency</a></li>` : null}
    ${freezes.map((f) => html`<li><${State} word="frozen" /><span><b>Change freeze ${f.name} for ${text(f.group || "all")}${f.ends_at_ms ? ` until ${clock(f.ends_at_ms)}` : ""}.</b>
        ${" "}${text(f.reason || "no reason given")}, by ${text(f.by)}. Emergencies go through.</span><a class="btn" href=${link(["rollouts"])}>All freezes</a></li>`)}
    ${total > 0 && offline * 4 > total ? html`<li><${State} word="offline" /><span><b>${number(offline)} of ${many(total, "device")} are offline.</b></span>
      <a class="btn" href=${link(["fleet"], { where: "state = offline" })}>Show ${number(offline)}</a></li>` : null}</ul>`;
}

const Empty = () => html`<${Card} title="No device yet"><p>Make a token, then run one line on the device:</p>
  <pre class="code wrap" tabindex="0">flotilla token create --kind enroll --uses 1 --to enroll.token
flotilla-agent enroll --controller https://HOST:PORT --token-file enroll.token</pre>
  <p class="soft">The device appears here by itself.</p><//>`;

export class Fleet extends Screen {
  topics = ["device", "rollout", "order", "release"];
  every = 10000;

  async read({ query }) {
    const where = query.where ?? LOOK;
    const at = where ? `&where=${encodeURIComponent(where)}` : "";
    const [version, list, rollouts, counts, freezes, fits] = await Promise.all([
      call("GET", "/v1/version"),
      call("GET", `/v1/devices?limit=${Math.min(Number(query.limit) || SHOWN, 1000)}&sort=${encodeURIComponent(query.sort || "condition,name")}&fields=${DETAIL}${at}`)
        .catch((problem) => ({ items: [], total: 0, problem })),
      call("GET", "/v1/rollouts"), overview(ROWS[query.rows] ? query.rows : "site"), call("GET", "/v1/change-freezes"),
      call("GET", `/v1/overview?facets=true${at}`).catch(() => ({ facets: [] }))]);
    return { version, list, facets: fits.facets, rollouts: rollouts.items.sort(rolloutOrder), counts, freezes: freezes.items.filter((f) => f.on) };
  }

  fresh = new Map();

  // Events bring their devices; the counts are asked for again.
  hear(name, value) {
    if (name === "device" && value?.id) {
      this.fresh.set(value.id, value);
      this.renewal ||= time.after(RENEW_MS, () => this.renew());
    }
    if (name === "order" || name === "rollout") { // few, and somebody waits for them
      this.next = Math.min(this.next, time.now() + 1000);
    }
  }

  renew() {
    const { rows } = this.props.query, fresh = this.fresh;
    this.renewal = null;
    this.fresh = new Map();
    overview(ROWS[rows] ? rows : "site").then((counts) => {
      const { data } = this.state;
      if (data) {
        data.list.items = data.list.items.map((d) => fresh.get(d.id) || d).filter((d) => d.state !== "retired");
        this.setState({ data: { ...data, counts } });
      }
    }).catch(() => {}); // the next look says why
  }

  componentWillUnmount() {
    super.componentWillUnmount();
    time.stop(this.renewal);
  }

  componentDidUpdate(before) {
    super.componentDidUpdate(before);
    if (this.state.data && performance.getEntriesByName("interactive").length === 0) {
      performance.mark("interactive"); // the list can be used
    }
  }

  draw({ version, list, facets, rollouts, counts, freezes }, { query }) {
    const where = query.where ?? LOOK;
    const open = rollouts.filter((r) => isOpen(r) || r.state === "halted").slice(0, 6);
    const { devices: total, offline, conditions, releases: runs } = counts;
    if (total === 0) {
      return html`<h1>0 devices</h1><${Empty} />`;
    }
    const tile = (word) => ({ word, n: number(conditions[word] || 0), kind: conditions[word] ? mapKind(word) : null,
      href: link(["fleet"], { where: `condition = ${word}` }) });
    return html`<div class="head mid"><h1>${many(total, "device")}</h1>
      <span class="soft">${number(total - offline)} of ${number(total)} online</span><span class="push"></span>
      ${maySomewhere("operator") ? html`<a class="btn primary" href=${link(["rollouts", "new"])}>New rollout…</a>` : null}</div>
    <${Card} label="Summary"><${Counts} items=${[...RANK.filter((word) => conditions[word] || ["drift", "offline", "ok"].includes(word)).map(tile),
  { word: "rollouts under way", n: number(rollouts.filter(isOpen).length), href: link(["rollouts"]) }]} /><//>
    <${Notices} rollouts=${rollouts} total=${total} offline=${offline} frozen=${version.frozen} freezes=${freezes} /><${Alerts} />
    <${Where} counts=${counts} rows=${query.rows} />
    <div class="col c4"><${Card} title="Rollouts under way" label="Rollouts">${open.length === 0
  ? html`<p class="soft">None. <a href=${link(["rollouts"])}>All rollouts</a></p>`
  : open.map((r) => html`<div class="block"><p><a href=${link(["rollouts", r.id])}>${r.id}</a> ${r.release} <${State} word=${rolloutState(r)} /></p>
      <${Meter} label=${`${r.holders} of ${r.members} have it`} of=${r.members} parts=${[["ok", r.holders]]} />
      <p class="soft">phase ${r.phase} of ${r.phases.length} · ${number(r.holders)} of ${number(r.members)} have it</p></div>`)}<//>
    <${Card} title="What runs" label="Models"><${Table} label="Releases in the field" heads=${["release", "#runs", "#drift", "#offline"]} rows=${
  runs.slice(0, 10).map((r) => ({ hit: r.drift > 0, cells: [r.release ? html`<a href=${link(["telemetry"], { model: r.release.split("@")[0] })}>${text(r.release)}</a>` : "no release",
    number(r.devices), r.drift > 0 ? html`<span class="st warn">${number(r.drift)}</span>` : "–", r.offline > 0 ? number(r.offline) : "–"] }))} /><//></div>
    <${Card} title=${where === LOOK ? "Devices that need a look" : "Devices"} label="Devices">
      <form class="row mid" onsubmit=${(e) => { e.preventDefault(); set({ where: e.target.elements.where.value }); }}>
        <label class="grow"><span class="vh">where</span><input class="mono" name="where" spellcheck="false" autocomplete="off"
          placeholder="all; or: site = lyon and disk_free < 1GiB" value=${where} key=${where} /></label><button type="submit">Show</button></form>
      <${Chips} label="Ready filters" items=${CHIPS.map(([word, w]) => ({ word, on: w === where, href: `${link(["fleet"], { ...query, where: null })}${
  Object.keys({ ...query, where: undefined }).some((k) => k !== "where" && query[k]) ? "&" : "?"}where=${encodeURIComponent(w)}` }))} />
      <${Problems} problem=${list.problem} /><${Facets} facets=${facets} query=${query} where=${where} />
      <${Table} label="Devices" heads=${["device", "condition", "why", "+site", "+hardware", "serves", "+#memory", "+#°C", "#seen"]} rows=${
  [...list.items].sort((a, b) => RANK.indexOf(condition(a)) - RANK.indexOf(condition(b))).map((d) => ({ hit: condition(d) === "failed", cells: [html`<a href=${link(["devices", d.name])}>${text(d.name)}</a>`,
    html`<${State} word=${condition(d)} />`, why(d), text(d.labels?.site), hardware(d),
    models(d).map((m) => title(m.serving)).join(", ") || "–", bytes(d.rss_bytes),
    typeof d.profile?.temperature_mc === "number" ? (d.profile.temperature_mc / 1000).toFixed(0) : "–", ago(d.last_seen_at_ms)] }))} />
      <p class="soft">${number(list.items.length)} of ${number(list.total)} shown.${list.total > list.items.length ? html` <a href=${link(["fleet"], { ...query, limit: list.items.length * 4 })}>Show more</a>, or narrow it by a selector.` : ""}</p><//>
    <${Same} command=${`flotilla device list${where ? ` --where '${where}'` : ""}`} call=${`GET /v1/devices${where ? `?where=${encodeURIComponent(where)}` : ""}`} />`;
  }
}
