// The chat page: a model of this device, a conversation of this tab.

import { models, say, session, takeToken } from "/app/data/talk.js";
import { Problem } from "/app/data/problem.js";
import { time } from "/app/data/time.js";
import { add, faultOfTools, freshAnswer, keep, kept, requestOf } from "/app/data/turns.js";
import { announce } from "/app/parts/announce.js";
import { Answer } from "/app/parts/answer.js";
import { Composer } from "/app/parts/composer.js";
import { Component, html, render } from "/app/parts/html.js";
import { Problems } from "/app/parts/problems.js";
import { Settings } from "/app/parts/settings.js";
import { SignIn } from "/app/parts/sign-in.js";

const LOADING_MS = 2000; // between two looks at models that are on their way
const READY_MS = 15000;
const NEAR_PX = 120; // of the end: the page goes on with the answer

const Icon = ({ path }) => html`<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor"
  stroke-width="2" stroke-linecap="round" stroke-linejoin="round"><path d=${path} /></svg>`;
const SLIDERS = "M4 7h10M18 7h2M4 17h2M10 17h10M14 7a2 2 0 1 0 4 0a2 2 0 1 0-4 0M6 17a2 2 0 1 0 4 0a2 2 0 1 0-4 0";
const PLUS = "M12 5v14M5 12h14";

class App extends Component {
  state = { ...kept(), models: null, isLocked: false, isDrawn: false, running: null };

  componentDidMount() {
    takeToken();
    window.addEventListener("hashchange", () => takeToken() && this.look());
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.escape());
    window.addEventListener("pagehide", () => this.keep());
    this.follows = this.state.turns.length > 0;
    if (matchMedia("(pointer: fine)").matches) { // a finger's keyboard would cover the page
      document.getElementById("message").focus();
    }
    this.look();
  }

  componentDidUpdate() {
    if (this.follows) {
      this.follows = false;
      scrollTo(0, document.documentElement.scrollHeight);
    }
  }

  keep() {
    keep(this.state.turns, this.state.settings);
  }

  // ---- models ----

  async look() {
    time.stop(this.timer);
    try {
      const all = await models();
      const isLoading = all.some((one) => one.state === "loading");
      this.setState({ models: all, problem: null, isLocked: false, why: null });
      this.lookAgain(isLoading ? LOADING_MS : READY_MS);
    } catch (problem) {
      if (problem.status === 401) {
        this.lock(problem);
      } else { // none is ready yet, or the device is away
        this.setState({ problem: this.told(problem) });
        this.lookAgain(LOADING_MS);
      }
    }
  }

  lookAgain(ms) {
    this.timer = time.after(ms, () => document.hidden || this.look());
  }

  // Who gave no token yet is not told that it was wrong.
  lock(problem) {
    const had = session.token;
    session.close();
    this.stop();
    this.setState({ isLocked: true, why: had ? problem : this.state.why });
  }

  open(token) {
    if (/^[\x21-\x7e]+$/.test(token.trim())) {
      session.open(token);
      this.look();
    } else {
      this.setState({ why: new Problem(0, { code: "local.auth", detail: "a token has printable characters of ASCII and no blanks" }) });
    }
  }

  chosen() {
    const { models: all, settings } = this.state;
    return all?.find((one) => one.id === settings.model) || all?.[0];
  }

  set(settings) {
    this.setState({ settings: { ...this.state.settings, ...settings } }, () => this.keep());
  }

  // ---- conversation ----

  told(error) {
    return error instanceof Problem ? error
      : new Problem(0, { code: "net.garbage", detail: `the answer cannot be read (${error.message})`, fix: "try again" });
  }

  // true: it was taken.
  send(text) {
    return this.ask([...this.state.turns, { role: "user", text }]);
  }

  again() {
    this.ask(this.state.turns.slice(0, -1));
  }

  ask(before) {
    const { settings } = this.state;
    const model = this.chosen()?.id;
    if (faultOfTools(settings.tools)) {
      this.setState({ isDrawn: true });
      return false;
    }
    if (!model) {
      return false;
    }
    const turn = freshAnswer(time.now());
    this.follows = true;
    this.setState({ turns: [...before, turn], running: new AbortController() }, () => {
      this.keep();
      this.run(turn, requestOf(before, { ...settings, model }));
    });
    announce("Answering");
    return true;
  }

  async run(turn, request) {
    const { running } = this.state;
    try {
      await say(request, running.signal, (part) => {
        add(turn, part, time.now());
        this.paint();
      });
      announce(turn.text || (turn.calls.length > 0 ? `Calls ${turn.calls.map((call) => call.name).join(", ")}` : "The answer is empty"));
    } catch (error) {
      if (running.signal.aborted) {
        turn.isStopped = true;
        announce("Stopped");
      } else {
        const { message, code, fix, status } = this.told(error);
        turn.problem = { message, code, fix };
        if (status === 401) {
          this.lock(error);
        }
      }
    }
    this.setState({ running: null });
    this.keep();
    this.look(); // a model on demand may be ready now
  }

  // At most once for each picture of the screen.
  paint() {
    if (!this.isPainting) {
      this.isPainting = true;
      const end = document.documentElement;
      requestAnimationFrame(() => {
        this.isPainting = false;
        this.follows = end.scrollHeight - end.scrollTop - end.clientHeight < NEAR_PX;
        this.setState({});
      });
    }
  }

  stop() {
    this.state.running?.abort();
  }

  escape() {
    if (this.state.running) {
      this.stop();
    } else if (this.state.isDrawn) {
      this.draw(false);
    }
  }

  draw(isDrawn) {
    this.setState({ isDrawn }, () => isDrawn || document.getElementById("show")?.focus());
  }

  fresh() {
    this.stop();
    this.setState({ turns: [] }, () => this.keep());
    document.getElementById("message")?.focus();
  }

  // ---- picture ----

  turn(turn, i) {
    const { turns, running } = this.state;
    if (turn.role === "user") {
      return html`<article class="turn user"><h2 class="vh">You</h2><p>${turn.text}</p></article>`;
    }
    const isLast = i === turns.length - 1, state = this.chosen()?.state;
    const tell = (at, result) => {
      turn.calls[at].result = result;
      this.setState({});
    };
    return html`<${Answer} turn=${turn} isBusy=${isLast && running} tell=${tell}
      waits=${state && state !== "ready" ? "Loading the model …" : "Reading …"}
      again=${isLast && !running ? () => this.again() : null} send=${isLast && !running ? () => this.ask(turns) : null} />`;
  }

  head(chosen) {
    const { models: all, isDrawn, turns } = this.state;
    return html`<header class="bar"><h1>Flotilla <span class="soft">chat</span></h1>
      <label class="model"><span class="vh">Model</span><select id="model" value=${chosen?.id} disabled=${!all}
        onchange=${(event) => this.set({ model: event.target.value })} onfocus=${() => this.look()}>
        ${(all || []).map((one) => html`<option value=${one.id} selected=${one === chosen}>${one.id} · ${one.state || "ready"}</option>`)}</select></label>
      <button type="button" id="show" aria-expanded=${String(isDrawn)} aria-controls=${isDrawn ? "settings" : null}
        onclick=${() => this.draw(!isDrawn)}><${Icon} path=${SLIDERS} /><span>Settings</span></button>
      <button type="button" id="fresh" disabled=${turns.length === 0} onclick=${() => this.fresh()}><${Icon} path=${PLUS} /><span>New chat</span></button></header>`;
  }

  render(props, { isLocked, why, isDrawn, problem, settings, turns, running }) {
    if (isLocked) {
      return html`<${SignIn} why=${why} open=${(token) => this.open(token)} />`;
    }
    const chosen = this.chosen();
    return html`<a class="skip" href="#message">Skip to the message</a>${this.head(chosen)}
      ${isDrawn ? html`<${Settings} settings=${settings} set=${(some) => this.set(some)} close=${() => this.draw(false)} />` : null}
      <main id="main"><${Problems} problem=${problem} />
        ${turns.length === 0 ? html`<div class="hello"><img src="/app/icon.svg" alt="" width="48" height="48" /><p class="big">${chosen ? html`Ask <b>${chosen.id}</b>` : "Looking for models …"}</p>
          <p class="soft">The model runs on this device. The chat stays in this tab and ends with it: the device keeps nothing of it.</p></div>` : null}
        ${turns.map((turn, i) => this.turn(turn, i))}</main>
      <${Composer} isBusy=${Boolean(running)} send=${(text) => this.send(text)} stop=${() => this.stop()} />`;
  }
}

render(html`<${App} />`, document.getElementById("page"));
