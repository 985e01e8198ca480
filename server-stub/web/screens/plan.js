// A new rollout: its plan (who gets it by which way, who not and why), then the
// start.

import { call } from "/app/data/api.js";
import { maySomewhere } from "/app/data/access.js";
import { many, number } from "/app/data/words.js";
import { go, link, set } from "/app/data/url.js";
import { announce } from "/app/parts/announce.js";
import { Forecast } from "/app/parts/forecast.js";
import { html } from "/app/parts/html.js";
import { Card, Same } from "/app/parts/parts.js";
import { Problems } from "/app/parts/problems.js";
import { Screen } from "/app/parts/screen.js";

// Fields of the address, as the specification of a rollout writes them.
const FIELDS = [["phases", "phases up to", "1, 10%, 100%"], ["soak", "soak on each device", "15m"],
  ["failed", "halt above failed %", "2"], ["pace", "begin at most", "1200/min"]];
const FLAGS = (query) => [...String(query.phases || "").split(",").map((word) => word.trim()).filter((word) => word).map((word) => ` --phase ${word}`),
  query.soak ? ` --soak ${query.soak}` : "", query.failed ? ` --max-failed ${query.failed}` : "", query.pace ? ` --pace ${query.pace}` : ""].join("");

async function allGroups() {
  const names = new Set(["all"]);
  let next = "";
  do {
    const page = await call("GET", `/v1/groups?limit=1000${next}`);
    page.items.forEach((g) => names.add(g.name));
    next = page.next ? `&cursor=${encodeURIComponent(page.next)}` : "";
  } while (next);
  return [...names].sort();
}

export class Plan extends Screen {
  topics = ["release", "rollout", "order"]; // a freeze may end meanwhile

  // The file as a person left it, else the form.
  body({ query }) {
    if (this.state.file) {
      return this.state.file;
    }
    const sizes = String(query.phases || "").split(",").map((word) => word.trim()).filter((word) => word)
      .map((word) => ({ size: /^\d+$/.test(word) ? Number(word) : word }));
    return { release: query.release, group: query.group || "all", ...(query.soak ? { soak: query.soak } : {}),
      ...(sizes.length > 0 ? { phases: sizes } : {}), ...(query.pace ? { rate: query.pace } : {}),
      ...(query.failed ? { gates: { failed: { max_pct: Number(query.failed) } } } : {}) };
  }

  async read(props) {
    const releases = (await call("GET", "/v1/releases")).items.filter((r) => r.state === "published");
    const groups = await allGroups();
    const asked = this.body(props);
    let answer = null, problem = null;
    if ((props.query.release || this.state.file) && maySomewhere("operator")) {
      answer = await call("POST", "/v1/rollouts?dry_run=true", asked).catch((p) => { problem = p; return null; });
    }
    return { releases, groups, answer, problem, asked };
  }

  async start(event) {
    event.preventDefault();
    const reason = event.target.elements.reason?.value;
    const body = this.state.data.asked; // its plan is what the page shows
    this.setState({ busy: true, failed: null });
    try {
      const made = await call("POST", "/v1/rollouts", reason ? { ...body, reason } : body);
      announce(`${made.id} started`);
      go(["rollouts", made.id]);
    } catch (failed) {
      this.setState({ failed, busy: false });
    }
  }

  // An empty file is the form again.
  edit(text) {
    this.setState({ file: text.trim() ? text : null, failed: null }, () => this.readNow());
  }

  draw({ releases, groups, answer, problem }, { query }, { busy, failed, file }) {
    const p = answer?.plan;
    const held = Boolean(file);
    const pick = (name) => (event) => set({ [name]: event.target.value });
    const release = held ? answer?.release : query.release;
    return html`<h1>New rollout${release ? `: ${release} to ${held ? answer.group : query.group || "all"}` : ""}</h1>
    <${Card} label="What and for whom" at="c8"><fieldset disabled=${held}><div class="row mid">
      <label>release <select id="release" onchange=${pick("release")}><option value="">choose…</option>${releases.map((r) => {
  const name = `${r.model}@${r.version}`;
  return html`<option value=${name} selected=${name === query.release}>${name}</option>`;
})}</select></label>
      <label>group <select id="group" onchange=${pick("group")}>${groups.map((g) => html`<option value=${g} selected=${g === (query.group || "all")}>${g}</option>`)}</select></label></div>
      <div class="row mid">${FIELDS.map(([name, word, say]) => html`<label>${word} <input id=${name} autocomplete="off" spellcheck="false" size="14"
        placeholder=${say} value=${query[name] || ""} onchange=${pick(name)} /></label>`)}</div>
      <p class="soft">An empty field takes the standard for a group of this size.</p></fieldset><//>
    <${Card} title="rollout.yaml" at="c4"><textarea id="file" class="mono" rows="8" spellcheck="false" aria-label="rollout.yaml"
      placeholder="choose a release, or paste a file" disabled=${!maySomewhere("operator")}
      value=${held ? file : answer?.file || ""} onchange=${(e) => this.edit(e.target.value)}></textarea>
      <p class="soft">${held ? html`The file holds, the form rests. <button type="button" id="form" onclick=${() => this.edit("")}>Back to the form</button>`
    : html`Edit it, and the file holds. All fields: <code>flotilla rollout init</code>`}</p><//>
    <${Problems} problem=${problem} />
    ${!p ? html`<p class="soft">${maySomewhere("operator") ? query.release ? problem ? "" : "Reading the plan…" : "Choose a release: the plan stands here before anything starts."
    : "This token may look, not plan or start. Ask an operator."}</p>` : html`
    <${Forecast} answer=${answer} />
    <div class="col c4">${(answer.overlaps || []).map((o) => html`<div class="notice n-warn"><b>Overlap.</b> <a href=${link(["rollouts", o.rollout])}>${o.rollout}</a> ${o.release}, ${o.state}, holds ${
    many(o.devices, "device")} of these. ${o.ends ? "It is aborted when this one begins." : "The newest wins: they read superseded there."}</div>`)}
    <${Card} title="Start"><form onsubmit=${(e) => this.start(e)}>
      ${held ? null : html`<label class="field"><span>Why (goes to the audit)</span><input name="reason" maxlength="120" autocomplete="off" /></label>`}
      <${Problems} problem=${failed} />
      <button type="submit" id="start" class="primary" disabled=${busy || p.takes + p.silent === 0 || p.refusals.length > 0}>Start on ${number(p.takes)} of ${many(p.devices, "device")}</button></form><//></div>`}
    <${Same} command=${held ? "flotilla rollout start --file rollout.yaml --dry-run"
    : `flotilla rollout start ${query.release || "MODEL@VERSION"} --group ${query.group || "all"}${FLAGS(query)} --dry-run`} call="POST /v1/rollouts?dry_run=true" />`;
  }
}
