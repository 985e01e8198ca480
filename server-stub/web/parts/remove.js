// Take a model off a device or everywhere: the plan, the typed name, the order.

import { call } from "/app/data/api.js";
import { many, number } from "/app/data/words.js";
import { Armed } from "/app/parts/armed.js";
import { Component, html } from "/app/parts/html.js";
import { Table } from "/app/parts/parts.js";
import { Problems } from "/app/parts/problems.js";

export class Remove extends Component {
  state = { scope: this.props.device ? "device" : "everywhere" };

  componentDidMount() {
    this.plan(this.state.scope);
  }

  body(scope, more) {
    return { op: "remove", model: this.props.model, keep: "none",
      ...(scope === "everywhere" ? { everywhere: true } : scope === "group" ? { group: this.group }
        : { device: this.props.device }), ...more };
  }

  async plan(scope) {
    this.setState({ scope, plan: null, problem: null });
    if (scope === "group" && !this.group) {
      return;
    }
    try {
      this.setState({ plan: await call("POST", "/v1/orders?dry_run=true", this.body(scope, {})) });
    } catch (problem) {
      this.setState({ problem });
    }
  }

  render({ model, device, close, done }, { scope, plan, problem }) {
    return html`<${Armed} title=${`Remove the model ${model}`} typed=${model} ready=${!!plan} close=${close} done=${done}
      button=${`■ Remove ${model} from ${plan ? many(plan.devices + plan.assigned, "device") : "…"}`} command=${`flotilla model remove ${model} --everywhere --dry-run`}
      act=${(reason, typed) => call("POST", "/v1/orders", this.body(scope, { confirm: typed, ...(reason ? { reason } : {}) }))}>
      ${device ? html`<label class="field"><span>Where</span><select onchange=${(e) => this.plan(e.target.value)}>${["device", "group", "everywhere"].map((w) =>
    html`<option value=${w} selected=${w === scope}>${w === "device" ? device : w}</option>`)}</select></label>` : null}
      ${scope === "group" ? html`<label class="field"><span>Group</span><input autocomplete="off" spellcheck="false"
        onchange=${(e) => { this.group = e.target.value; this.plan("group"); }} /></label>` : null}
      <${Problems} problem=${problem} />
      ${plan ? html`<p id="remove-say">${number(plan.devices)} of ${many(plan.scope_devices, "device")} have ${model}${
    plan.assigned > 0 ? `, ${number(plan.assigned)} more are only told of it` : ""}. Their other models serve on.${
    plan.rollouts.length > 0 ? ` Ended: ${plan.rollouts.join(", ")}.` : ""}</p>
      <${Table} label="What is removed" heads=${["what", "release", "#devices", "#online", "#offline"]} rows=${plan.targets.map((t) =>
    [t.way, t.to || "–", number(t.devices), number(t.online), number(t.offline)])} />` : null}<//>`;
  }
}
