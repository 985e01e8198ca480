// Settings of the chat, in a drawer at the side.

import { faultOfTools } from "/app/data/turns.js";
import { Component, html } from "/app/parts/html.js";

const EXAMPLE = `[{"type": "function",
  "function": {"name": "weather",
    "parameters": {"type": "object",
      "properties": {"city":
        {"type": "string"}}}}}]`;

export class Settings extends Component {
  componentDidMount() {
    this.base.querySelector("#system").focus();
  }

  render({ settings, set, close }) {
    const fault = faultOfTools(settings.tools);
    const change = (event) => set({ [event.target.name]: event.target.value });
    return html`<aside class="drawer" id="settings" aria-label="Settings">
      <div class="top"><h2>Settings</h2><button type="button" class="quiet" onclick=${close}>Close</button></div>
      <label class="field"><span>System text</span><textarea id="system" name="system" rows="4" value=${settings.system} oninput=${change}
        placeholder="Who answers, and how" /></label>
      <div class="pair"><label class="field"><span>Temperature</span><input name="temperature" type="number" min="0" max="2" step="any" inputmode="decimal"
        placeholder="0.8" value=${settings.temperature} oninput=${change} /></label>
      <label class="field"><span>Tokens at most</span><input name="max" type="number" min="1" max="1048576" step="1" inputmode="numeric"
        placeholder="no limit" value=${settings.max} oninput=${change} /></label></div>
      <label class="field"><span>Tools (JSON list)</span><textarea name="tools" class="mono" rows="6" spellcheck="false" value=${settings.tools}
        aria-invalid=${fault ? "true" : null} aria-describedby=${fault ? "fault" : null} oninput=${change} placeholder=${EXAMPLE} /></label>
      ${fault ? html`<p class="error" id="fault" role="alert">${fault}</p>` : null}
      <p class="soft">An empty field leaves it to the model. All of this stays in this tab.</p></aside>`;
  }
}
