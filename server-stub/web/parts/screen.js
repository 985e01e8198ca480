// A screen reads what it shows, and reads again when an event says that it
// changed: never sooner than `every`, and never while nobody looks.

import { listen } from "/app/data/live.js";
import { Problem } from "/app/data/problem.js";
import { time } from "/app/data/time.js";
import { Component, html } from "/app/parts/html.js";
import { Problems } from "/app/parts/problems.js";

export class Screen extends Component {
  every = 2000;
  topics = [];
  next = 0;
  turn = 0;

  componentDidMount() {
    this.off = listen((name, value) => {
      if (name === "resync" || this.topics.includes(name)) {
        this.hear?.(name, value);
        this.want();
      }
    });
    this.seen = () => document.hidden || this.pending && this.want();
    document.addEventListener("visibilitychange", this.seen);
    this.readNow();
  }

  componentWillUnmount() {
    this.off();
    this.turn = -1;
    time.stop(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
  }

  componentDidUpdate(before) {
    if (JSON.stringify(before.query) !== JSON.stringify(this.props.query)
        || JSON.stringify(before.path) !== JSON.stringify(this.props.path)) {
      this.readNow();
    }
  }

  want() {
    this.pending = true;
    if (document.hidden || this.timer || this.busy) {
      return;
    }
    this.timer = time.after(Math.max(0, this.next - time.now()), () => {
      this.timer = null;
      this.readNow();
    });
  }

  async readNow() {
    this.turn += 1;
    const mine = this.turn;
    this.busy = true;
    this.pending = false;
    this.next = time.now() + this.every;
    try {
      const data = await this.read(this.props);
      if (mine === this.turn) {
        this.setState({ data, problem: null });
      }
    } catch (problem) {
      if (mine === this.turn && problem.isAbandoned) {
        this.pending = true; // read again on the connection that holds
      } else if (mine === this.turn) {
        this.setState({ problem });
        if (problem instanceof Problem && problem.status === 401) {
          window.dispatchEvent(new CustomEvent("signed-out"));
        }
      }
    }
    if (mine === this.turn) {
      this.busy = false;
      if (this.pending) {
        this.want();
      }
    }
  }

  render(props, state) {
    if (state.problem && !state.data) {
      return html`<${Problems} problem=${state.problem} />`;
    }
    return state.data ? html`${state.problem ? html`<${Problems} problem=${state.problem} />` : null}
      ${this.draw(state.data, props, state)}` : html`<p class="soft" role="status">Reading…</p>`;
  }
}
