// Where a message is written: Enter sends, Shift+Enter begins a line.

import { Component, html } from "/app/parts/html.js";

export class Composer extends Component {
  state = { text: "" };

  // As high as its text; chat.css has the limit.
  fit() {
    const area = this.base.querySelector("textarea");
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }

  write(text) {
    this.setState({ text }, () => this.fit());
  }

  send() {
    if (!this.props.isBusy && this.state.text.trim() && this.props.send(this.state.text.trim())) {
      this.write("");
    }
  }

  press(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    }
  }

  render({ isBusy, stop }, { text }) {
    return html`<form class="composer" aria-label="Write" onsubmit=${(event) => { event.preventDefault(); this.send(); }}>
      <div class="write"><label class="vh" for="message">Message</label>
        <textarea id="message" rows="1" placeholder="Message" autocomplete="off" value=${text}
          oninput=${(event) => this.write(event.target.value)} onkeydown=${(event) => this.press(event)} />
        ${isBusy ? html`<button type="button" id="stop" onclick=${stop}><span aria-hidden="true">■</span> Stop</button>`
    : html`<button type="submit" id="send" class="primary" disabled=${!text.trim()}>Send</button>`}</div>
      <p class="hint soft"><kbd>Enter</kbd> sends · <kbd>Shift</kbd> <kbd>Enter</kbd> new line · <kbd>Esc</kbd> stops</p></form>`;
  }
}
