// Reports from afar (log, doctor): asked for by an order, read here.

import { call } from "/app/data/api.js";
import { ago, text } from "/app/data/words.js";
import { listen } from "/app/data/live.js";
import { time } from "/app/data/time.js";
import { Component, html } from "/app/parts/html.js";
import { Card, State, Table } from "/app/parts/parts.js";
import { Problems, Prose } from "/app/parts/problems.js";

const figure = (value, unit) => typeof value === "number" ? `${Number(value).toPrecision(4)} ${text(unit ?? "")}` : "–";

function Body({ report }) {
  const facts = Object.entries(report.facts || {});
  return html`<h3>${text(report.op)}, ${report.id}</h3>
    ${(report.findings || []).length > 0 ? html`<${Table} label="Findings" heads=${["level", "found", "measured", "expected", "do"]} rows=${
  report.findings.map((f) => [html`<${State} word=${f.level} />`, text(f.what), figure(f.measured, f.unit), figure(f.expected), html`<${Prose} words=${f.fix} />`])} />` : null}
    ${facts.length > 0 ? html`<${Table} label="Facts" heads=${["fact", "value"]} rows=${facts.map(([name, value]) =>
    [name, typeof value === "boolean" ? (value ? "yes" : "no") : text(value)])} />` : null}
    ${(report.lines || []).length > 0 ? html`<pre class="code log" tabindex="0">${report.lines.map(text).join("\n")}</pre>` : null}`;
}

export class Reports extends Component {
  componentDidMount() {
    this.off = listen((name) => name === "order" && this.asked && this.fill());
    this.fill();
  }

  componentWillUnmount() {
    this.off();
    time.stop(this.timer);
  }

  async fill() {
    try {
      const items = (await call("GET", `/v1/devices/${encodeURIComponent(this.props.device.id)}/reports`)).items;
      this.setState({ items });
      if (this.asked && items.some((r) => r.id === this.asked)) {
        this.show(this.asked);
        this.asked = null;
        this.setState({ say: "" });
      } else if (this.asked) {
        time.stop(this.timer);
        this.timer = time.after(2000, () => this.fill());
      }
    } catch (problem) {
      this.setState({ problem });
    }
  }

  async ask(op) {
    const { device } = this.props;
    try {
      const order = await call("POST", "/v1/orders", { op, device: device.name, reason: "asked on the page" });
      this.asked = order.id;
      this.setState({ problem: null, say: device.state === "online" ? `${order.id} is on its way…`
        : `${order.id}: ${device.name} is offline and answers when it is back` });
      this.timer = time.after(500, () => this.fill());
    } catch (problem) {
      this.setState({ problem });
    }
  }

  async show(id) {
    this.setState({ shown: await call("GET", `/v1/reports/${encodeURIComponent(id)}`) });
  }

  render(props, { items, shown, say, problem }) {
    return html`<${Card} title="Reports"><p class="soft">Asked for by an order, which the audit names. A report holds no prompt, no answer and no key.</p>
      <div class="row"><button type="button" onclick=${() => this.ask("doctor")}>Ask for doctor</button>
      <button type="button" onclick=${() => this.ask("logs")}>Ask for the log</button></div>
      <p role="status" class="soft">${say || ""}</p><${Problems} problem=${problem} />
      ${(items || []).length > 0 ? html`<${Table} label="Reports" heads=${["report", "what", "came", ""]} rows=${items.map((r) => [r.id, text(r.op), ago(r.received_at_ms),
    html`<button type="button" onclick=${() => this.show(r.id)}>Read ${r.id}</button>`])} />` : null}
      ${shown ? html`<${Body} report=${shown} />` : null}<//>`;
  }
}
