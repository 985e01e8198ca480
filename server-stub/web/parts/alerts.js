// Alerts that fire: since when, who is affected, who has it, and what to read.

import { alerts, onAlerts, readAlerts } from "/app/data/alerts.js";
import { call } from "/app/data/api.js";
import { may } from "/app/data/access.js";
import { ago, text } from "/app/data/words.js";
import { link } from "/app/data/url.js";
import { Armed } from "/app/parts/armed.js";
import { Component, html } from "/app/parts/html.js";

const HOURS = [1, 8, 24, 72];
const round = (value) => Number(Number(value).toPrecision(3)).toLocaleString("en");

// A rule over devices means those; a series of a rollout means that one.
function Whom({ alert }) {
  const where = alerts.rules.get(alert.rule)?.where;
  return where ? html`<a href=${link(["fleet"], { where })}>show devices</a>`
    : /^r-\d+$/.test(alert.series) ? html`<a href=${link(["rollouts", alert.series])}>${alert.series}</a>` : text(alert.series || "–");
}

export class Alerts extends Component {
  state = { hours: 1 };

  componentDidMount() {
    this.off = onAlerts(() => this.setState({}));
  }

  componentWillUnmount() {
    this.off();
  }

  ask({ what, alert }, hours) {
    const close = () => this.setState({ ask: null });
    const done = () => readAlerts();
    return what === "ack" ? html`<${Armed} title=${`Take alert ${alert.id}: ${alert.rule}`} calm button="I have it" close=${close} done=${done}
      command=${`flotilla alert ack ${alert.id} --reason WHY`} act=${(reason) => call("POST", `/v1/alerts/${alert.id}/ack`, { reason: reason || "taken on the page" })}>
      <p>The others see that you have it. No reminder is sent until it is over.</p><//>`
      : html`<${Armed} title=${`Silence ${alert.rule}`} calm button=${`Silence for ${hours} h`} close=${close} done=${done}
        command=${`flotilla alert silence ${alert.rule} --for ${hours}h --reason WHY`}
        act=${(reason) => call("POST", `/v1/alert-rules/${alert.rule}/silence`, { silence_ms: hours * 3600000, reason: reason || "silenced on the page" })}>
        <p>Nobody is told of this rule meanwhile. It stays on the page.</p>
        <label class="field"><span>For how long</span><select onchange=${(e) => this.setState({ hours: Number(e.target.value) })}>${HOURS.map((h) =>
  html`<option value=${h} selected=${h === hours}>${h} h</option>`)}</select></label><//>`;
  }

  render(props, { ask, hours }) {
    const list = alerts.items, can = may("operator");
    const button = (what, word, alert) => html`<button type="button" onclick=${() => this.setState({ ask: { what, alert } })}>${word}<span class="vh"> ${alert.rule}</span>…</button>`;
    return list.length === 0 ? null : html`${ask ? this.ask(ask, hours) : null}
      <section aria-label="Alerts"><h2>Alerts</h2><ul class="alerts">${list.map((a) => {
  const calls = a.severity === "page" && !a.acked && !a.silenced;
  return html`<li class=${calls ? "a-bad" : ""}><span class="st ${calls ? "bad" : "warn"}">${text(a.severity)}</span>
        <span><b>${text(a.rule)}</b> (fired ${ago(a.fired_ms)}): <${Whom} alert=${a} />. ${round(a.value)}, limit ${round(a.limit)}: ${text(a.text)}.${a.says ? ` ${text(a.says)}.` : ""}
          ${" "}${a.acked ? `${text(a.acked_by)} has it: ${text(a.ack_reason)}.` : a.silenced ? "Silenced." : html`<b>Nobody has it yet.</b>`}
          ${a.runbook ? html`${" "}Read <code>${a.runbook}</code>.` : null}</span>
        ${can ? html`<span class="row">${a.acked ? null : button("ack", "Take", a)}${a.silenced ? null : button("silence", "Silence", a)}</span>` : null}</li>`;
})}</ul></section>`;
  }
}
