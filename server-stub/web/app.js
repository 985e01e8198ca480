// The dashboard: sign in, then the screen that the address names.

import { call, session } from "/app/data/api.js";
import { know } from "/app/data/access.js";
import { comeBack } from "/app/data/login.js";
import { connect, disconnect } from "/app/data/live.js";
import { read } from "/app/data/url.js";
import { Frame } from "/app/parts/frame.js";
import { Component, html, render } from "/app/parts/html.js";
import { Keys } from "/app/parts/keys.js";
import { Activity } from "/app/screens/activity.js";
import { Device } from "/app/screens/device.js";
import { Emergency } from "/app/screens/emergency.js";
import { Fleet } from "/app/screens/fleet.js";
import { Order } from "/app/screens/order.js";
import { Plan } from "/app/screens/plan.js";
import { Rollout } from "/app/screens/rollout.js";
import { Rollouts } from "/app/screens/rollouts.js";
import { SignIn } from "/app/screens/sign-in.js";
import { Telemetry } from "/app/screens/telemetry.js";

const screens = { fleet: Fleet, telemetry: Telemetry, activity: Activity, emergency: Emergency };

function screenOf([first, second]) {
  if (first === "rollouts") {
    return second === "new" ? Plan : second ? Rollout : Rollouts;
  }
  return first === "devices" && second ? Device : first === "orders" && second ? Order
    : screens[first] || Fleet;
}

class App extends Component {
  state = { at: read() };

  componentDidMount() {
    window.addEventListener("hashchange", () => {
      const before = this.state.at.path.join("/");
      this.setState({ at: read() }, () => {
        if (this.state.at.path.join("/") !== before) {
          scrollTo(0, 0);
          document.getElementById("main")?.focus({ preventScroll: true });
        }
      });
    });
    window.addEventListener("signed-out", () => this.signOut("That token is not valid (any more)."));
    this.open();
  }

  async open() {
    try {
      await comeBack();
      if (session.token) {
        await this.start();
      }
      this.setState({ at: read() });
    } catch (problem) {
      this.signOut(problem.message);
    }
  }

  async start() {
    const [version, who] = await Promise.all([call("GET", "/v1/version"), call("GET", "/v1/me")]);
    know(who);
    document.title = `Flotilla · ${version.fleet}`;
    connect();
    this.setState({ fleet: version.fleet, why: "" });
  }

  signOut(why) {
    disconnect();
    session.close();
    this.setState({ fleet: null, why });
  }

  render(props, { at, fleet, why }) {
    if (!fleet) {
      return session.token ? html`<main><p role="status">Reading…</p></main>`
        : html`<${SignIn} why=${why} open=${async (token) => {
          session.open(token);
          try {
            await this.start();
          } catch (problem) {
            session.close();
            throw problem;
          }
        }} />`;
    }
    const Shown = screenOf(at.path);
    return html`<${Frame} fleet=${fleet} at=${at} signOut=${() => session.end().then(() => this.signOut(""))}>
      <${Shown} key=${at.path.join("/")} path=${at.path} query=${at.query} fleet=${fleet} /><//><${Keys} />`;
  }
}

render(html`<${App} />`, document.getElementById("page"));
