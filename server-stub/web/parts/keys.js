// The keyboard: g and a letter goes to a screen, j k move over rows, Enter
// opens, / finds, ? shows this list.  No key acts.

import { go } from "/app/data/url.js";
import { Component, html } from "/app/parts/html.js";
import { Dialog } from "/app/parts/parts.js";

const PLACES = { f: "fleet", r: "rollouts", t: "telemetry", a: "activity", e: "emergency" };
const LIST = [["/", "find"], ["g f", "fleet"], ["g r", "rollouts"], ["g t", "telemetry"], ["g a", "activity"],
  ["g e", "emergency (opens, never acts)"], ["j k", "next, previous row"], ["Enter", "open"], ["Esc", "back"], ["?", "all keys"]];

function move(by) {
  const links = [...document.querySelectorAll("main tr[data-row] a")];
  if (links.length > 0) {
    const at = links.indexOf(document.activeElement);
    links[Math.min(Math.max(at < 0 ? 0 : at + by, 0), links.length - 1)].focus();
  }
}

export class Keys extends Component {
  componentDidMount() {
    this.press = (event) => this.take(event);
    document.addEventListener("keydown", this.press);
  }

  componentWillUnmount() {
    document.removeEventListener("keydown", this.press);
  }

  take(event) {
    const writes = event.target.closest("input, select, textarea, dialog");
    if (event.key === "Escape" && event.target.closest("input")) {
      event.target.blur();
    }
    if (writes || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const went = this.after === "g" && PLACES[event.key];
    this.after = event.key;
    if (went) {
      go([went]);
    } else if (event.key === "/") {
      document.getElementById("find")?.focus();
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
    } else if (event.key === "?") {
      this.setState({ shown: true });
    } else if (event.key === "Escape") {
      history.back();
    } else {
      return;
    }
    event.preventDefault();
  }

  render(props, { shown }) {
    const close = () => this.setState({ shown: false });
    return shown ? html`<${Dialog} title="Keys" close=${close}>
      <dl class="kv">${LIST.map(([key, word]) => html`<dt><kbd>${key}</kbd></dt><dd>${word}</dd>`)}</dl>
      <button type="button" autofocus onclick=${close}>Close</button><//>` : null;
  }
}
