// Emergency: who goes back and who cannot, before anything acts.

import { call } from "/app/data/api.js";
import { maySomewhere, may } from "/app/data/access.js";
import { overview } from "/app/data/fleet.js";
import { bytes, many, number, text } from "/app/data/words.js";
import { go, link, set } from "/app/data/url.js";
import { Armed } from "/app/parts/armed.js";
import { Component, html } from "/app/parts/html.js";
import { Card, Same, State, Table } from "/app/parts/parts.js";
import { Problems } from "/app/parts/problems.js";
import { Screen } from "/app/parts/screen.js";

const WAYS = { kept: "≈ 1 s, no download", download: "downloads it again", cannot: "nothing before it", first: "no release before it: it keeps this one" };
const STAYS = ["cannot", "first"];

// The routes of the devices' owners: an order switches them off, or gives them back.
class Prompts extends Component {
  render({ stay, fleet, done }, { open }) {
    const close = () => this.setState({ open: false });
    return html`<${Card} title=${stay ? "Prompts stay on the devices" : "Keep prompts on the devices"}>
      <p>${stay ? "No route of a device's owner sends a prompt away." : "Routes of devices' owners may send prompts to other devices or to servers. An order keeps each prompt on its device until you lift it."}</p>
      <p><button type="button" id="prompts" class="danger" onclick=${() => this.setState({ open: true })}>${stay ? "Let them go" : "Keep prompts"}…</button></p>
      ${open ? html`<${Armed} title=${stay ? "Let prompts go where their owners' routes lead" : "Keep prompts on the devices"} typed=${fleet}
        button=${stay ? `Let prompts of ${fleet} go` : `■ Keep prompts of ${fleet}`} command=${`flotilla prompts ${stay ? "go" : "stay"}`} close=${close} done=${() => { close(); done(); }}
        act=${(reason, typed) => call("POST", "/v1/orders", { op: "prompts", everywhere: true, stay: stay ? 0 : 1, confirm: typed, ...(reason ? { reason } : {}) })}>
        <p>${stay ? "Routes of devices' owners work again, as their files say." : "Models answer on. A request that needs another device or a server gets its own model's answer, or that model's error."}</p><//>` : null}<//>`;
  }
}

export class Emergency extends Screen {
  topics = ["order"];
  state = { typed: "", reason: "", yank: true };

  scope(query) {
    return query.scope === "group" || query.scope === "device" ? { [query.scope]: query.which || "" } : { everywhere: true };
  }

  body(query, more) {
    return { op: "rollback", release: query.release, ...(query.to ? { to: query.to } : {}), ...this.scope(query),
      yank: this.state.yank && !query.scope, ...more };
  }

  async read({ query }) {
    if (!this.served) {
      this.served = (await overview("release")).releases.filter((r) => r.release);
    }
    const [version, releases] = await Promise.all([call("GET", "/v1/version"), call("GET", "/v1/releases")]);
    const chosen = query.release || this.served[0]?.release;
    let plan = null, problem = null;
    if (chosen && (!query.scope || query.which)) {
      plan = await call("POST", "/v1/orders?dry_run=true", this.body({ ...query, release: chosen }, {}))
        .catch((p) => { problem = p; return null; });
    }
    return { version, releases: releases.items, served: this.served, chosen, plan, problem };
  }

  async act(event, chosen) {
    event.preventDefault();
    this.setState({ busy: true, failed: null });
    try {
      const order = await call("POST", "/v1/orders", this.body({ ...this.props.query, release: chosen },
        { confirm: this.state.typed, reason: this.state.reason || "emergency rollback" }));
      go(["orders", order.id]);
    } catch (failed) {
      this.setState({ failed, busy: false });
    }
  }

  draw({ version, releases, served, chosen, plan, problem }, { query, fleet }, state) {
    if (!maySomewhere("operator")) {
      return html`<h1>⚠ Emergency</h1><p class="notice">This token may look, not act. Ask an operator.</p>`;
    }
    const armed = plan && plan.go_back > 0 && state.typed === chosen && !state.busy;
    const model = chosen?.split("@")[0];
    const freeze = version.frozen ? "unfreeze" : "freeze";
    const pick = (name) => (event) => set({ [name]: event.target.value });
    return html`<div class="head mid"><h1>⚠ Emergency</h1><span class="soft">Nothing acts before you type the name.</span></div>
    <section class="card armbox c8" aria-label="Take a release back"><h2>Take a release back</h2>
    ${served.length === 0 ? html`<p>No device serves a release.</p>` : html`<form onsubmit=${(e) => armed ? this.act(e, chosen) : e.preventDefault()}>
      <div class="row mid"><label>release <select id="release" onchange=${pick("release")}>${served.map((r) =>
  html`<option value=${r.release} selected=${r.release === chosen}>${r.release} (${number(r.devices)} run it)</option>`)}</select></label>
      <label>where <select id="scope" onchange=${(e) => set({ scope: e.target.value === "everywhere" ? null : e.target.value })}>${["everywhere", "group", "device"].map((w) =>
  html`<option value=${w} selected=${w === (query.scope || "everywhere")}>${w}</option>`)}</select></label>
      ${query.scope ? html`<label>${query.scope} <input id="which" autocomplete="off" value=${query.which || ""} onchange=${pick("which")} /></label>` : null}
      <label>to <select id="to" onchange=${pick("to")}><option value="">what each ran before</option>${releases.filter((r) => r.state === "published"
  && r.model === model && `${r.model}@${r.version}` !== chosen).map((r) => html`<option value=${`${r.model}@${r.version}`} selected=${query.to === `${r.model}@${r.version}`}>${
  r.model}@${r.version}</option>`)}</select></label></div>
      <${Problems} problem=${problem} />
      ${plan ? html`<p class="big" id="go-back">${number(plan.go_back)} of ${many(plan.devices, "device")} go back</p>
      <${Table} label="Who goes back" heads=${["way", "to", "#devices", "+#online", "+#offline", "when"]} rows=${plan.targets.map((t) => ({ hit: STAYS.includes(t.way),
    cells: [html`<${State} word=${STAYS.includes(t.way) ? "cannot" : t.way} />`, t.to || "–", html`<b>${number(t.devices)}</b>`, number(t.online), number(t.offline),
      `${WAYS[t.way] || t.way}${t.bytes_each > 0 ? `, ${bytes(t.bytes_each)} each` : ""}${t.offline > 0 ? "; offline ones at contact" : ""}`] }))} />
      ${(plan.items || []).filter((d) => STAYS.includes(d.way)).length > 0 ? html`<p>Cannot: ${plan.items.filter((d) => STAYS.includes(d.way)).slice(0, 12).map((d) =>
    html`<a href=${link(["devices", d.name || d.id])}>${text(d.name || d.id)}</a> (${text(d.reason || WAYS[d.way])}) `)}</p>` : null}
      <p><b>With it:</b> ${plan.rollouts.length > 0 ? `${plan.rollouts.join(", ")} stopped first · ` : ""}${plan.silent > 0 ? `${number(plan.silent)} never reported and are not told · ` : ""}
      ${plan.frozen && plan.download > 0 ? `the fleet is frozen: ${plan.download} download when it is unfrozen · ` : ""}
      ${query.scope ? "the release stays published" : html`<label><input type="checkbox" checked=${state.yank} onchange=${(e) => this.setState({ yank: e.target.checked })} />
        yank ${chosen}, so that nobody takes it again (can be undone)</label>`}</p>` : html`<p class="soft">${query.scope ? `Name the ${query.scope}.` : ""}</p>`}
      <label class="field"><span>Why (goes to the audit)</span><input id="reason" maxlength="120" autocomplete="off" value=${state.reason} oninput=${(e) => this.setState({ reason: e.target.value })} /></label>
      <label class="field"><span>Type <code>${chosen}</code> to arm the button</span><input id="typed" class="mono" autocomplete="off" spellcheck="false" value=${state.typed}
        oninput=${(e) => this.setState({ typed: e.target.value })} /></label>
      <${Problems} problem=${state.failed} />
      <div class="row"><button type="submit" id="act" class="danger ${armed ? "armed" : ""}" disabled=${!armed}>■ Take ${plan ? many(plan.go_back, "device") : "devices"} back</button>
      <a class="btn" href=${link(["fleet"])}>Cancel</a></div></form>`}</section>
    <div class="col c4">
    ${may("operator") ? html`<${Card} title=${version.frozen ? "The fleet is frozen" : "Or freeze first"}><p>${version.frozen ? "No device downloads or activates anything." : "No device downloads or activates anything until you lift it. What serves, serves on. Nothing is taken back."}</p>
      <p><button type="button" id="freeze" class="danger" onclick=${() => this.setState({ freeze })}>${version.frozen ? "Unfreeze" : "Freeze"} the fleet…</button></p><//>` : null}
    ${state.freeze ? html`<${Armed} title=${`${freeze} the fleet`} typed=${fleet} button=${`${version.frozen ? "Unfreeze" : "■ Freeze"} ${fleet}`}
      command=${`flotilla rollout ${freeze}`} close=${() => this.setState({ freeze: null })} done=${() => this.readNow()}
      act=${(reason, typed) => call("POST", "/v1/orders", { op: freeze, everywhere: true, confirm: typed, ...(reason ? { reason } : {}) })}>
      <p>All devices of ${fleet} are told. What serves, serves on.</p><//>` : null}
    ${may("operator") ? html`<${Prompts} stay=${version.prompts_stay} fleet=${fleet} done=${() => this.readNow()} />` : null}
    <${Card} title="Without this page"><p class="soft">Any operator:</p><pre class="code wrap">flotilla rollout rollback --release ${chosen || "MODEL@VERSION"} --everywhere</pre>
      <p class="soft">Controller gone, by the broker and the emergency key:</p><pre class="code wrap">flotilla emergency rollback ${chosen || "MODEL@VERSION"} --key FILE</pre>
      <p class="soft">On one device, no network:</p><pre class="code wrap">flotilla-agent rollback</pre><//></div>
    <${Same} command=${`flotilla rollout rollback --release ${chosen || "MODEL@VERSION"} --everywhere --dry-run`} call="POST /v1/orders?dry_run=true" />`;
  }
}
