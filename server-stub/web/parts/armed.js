// An action that cannot be undone by a click: it says what it does to how many,
// asks why, and is armed by a typed name.  typed "": nothing is to be typed.

import { announce } from "/app/parts/announce.js";
import { Component, html } from "/app/parts/html.js";
import { Dialog } from "/app/parts/parts.js";
import { Problems } from "/app/parts/problems.js";

export class Armed extends Component {
  state = { typed: "", reason: "", busy: false };

  async act() {
    const { act, done } = this.props;
    this.setState({ busy: true, problem: null });
    try {
      const answer = await act(this.state.reason, this.state.typed);
      announce(this.props.title);
      this.props.close();
      done?.(answer);
    } catch (problem) {
      this.setState({ problem, busy: false });
    }
  }

  render({ title, typed, button, command, close, children, ready = true, calm }, state) {
    const armed = ready && !state.busy && (!typed || state.typed === typed);
    return html`<${Dialog} title=${title} close=${close}>
      <form onsubmit=${(event) => { event.preventDefault(); if (armed) { this.act(); } }}>
        ${children}
        <label class="field"><span>Why (goes to the audit)</span><input maxlength="120" autocomplete="off"
          autofocus=${!typed} value=${state.reason} oninput=${(e) => this.setState({ reason: e.target.value })} /></label>
        ${typed ? html`<label class="field"><span>Type <code>${typed}</code> to arm the button</span>
          <input class="mono typed" autocomplete="off" spellcheck="false" autofocus value=${state.typed}
            oninput=${(e) => this.setState({ typed: e.target.value })} /></label>` : null}
        <${Problems} problem=${state.problem} />
        <div class="row mid"><button type="submit" class="act ${calm ? "primary" : `danger ${armed ? "armed" : ""}`}"
          disabled=${!armed}>${button}</button><button type="button" onclick=${close}>Cancel</button></div>
      </form>
      ${command ? html`<p class="soft">As a command: <code>${command}</code></p>` : null}<//>`;
  }
}
