// The frame of each screen: fleet, tabs, search, connection, emergency.

import { alerts, onAlerts } from "/app/data/alerts.js";
import { live, listen } from "/app/data/live.js";
import { me, maySomewhere } from "/app/data/access.js";
import { time } from "/app/data/time.js";
import { clock, duration, many } from "/app/data/words.js";
import { go, link } from "/app/data/url.js";
import { Component, html } from "/app/parts/html.js";

const TABS = [["fleet", "Fleet"], ["rollouts", "Rollouts"], ["telemetry", "Telemetry"], ["activity", "Activity"]];
const HOME = { devices: "fleet", orders: "activity" };

function find(event) {
  event.preventDefault();
  const words = event.target.elements.find.value.trim();
  if (/^r-\d+$/.test(words)) {
    go(["rollouts", words]);
  } else if (/^o-\d+$/.test(words)) {
    go(["orders", words]);
  } else if (/^[^\s@=]+@[^\s@=]+$/.test(words)) {
    go(["fleet"], { where: `release = '${words.replace(/'/g, "")}'` });
  } else if (/[=<>()]/.test(words)) {
    go(["fleet"], { where: words });
  } else if (words) {
    go(["devices", words]);
  }
}

// A session or token that ends within a day says when.
const ends = (who) => who?.expires_at_ms && who.expires_at_ms - time.now() < 86400000
  ? ` · until ${clock(who.expires_at_ms)}` : "";

export class Frame extends Component {
  componentDidMount() {
    this.off = listen((name) => name === "live" && this.setState({}));
    this.quiet = onAlerts(() => this.setState({}));
    this.timer = time.each(1000, () => live.state === "stale" && this.setState({}));
  }

  componentWillUnmount() {
    this.off();
    this.quiet();
    time.stop(this.timer);
  }

  render({ fleet, at, children, signOut }) {
    const tab = HOME[at.path[0]] || at.path[0];
    const fire = alerts.items.filter((a) => !a.acked && !a.silenced).length;
    const stale = live.state === "stale";
    return html`<a class="skip" href="#main">Skip to content</a>
    <header class="bar">
      <a class="fleet" href=${link(["fleet"])}>${fleet}</a>
      <nav aria-label="Screens"><ul>${TABS.map(([path, word]) => html`<li><a href=${link([path])}
        aria-current=${tab === path ? "page" : null}>${word}</a></li>`)}</ul></nav>
      <form role="search" onsubmit=${find}><input name="find" id="find" type="search" autocomplete="off"
        aria-label="Find a device, rollout, order, release or selector" placeholder="Find device, rollout, release …  /" /></form>
      <span class="push" id="live" role="status" data-state=${live.state}>${stale ? "stale" : live.state === "live" ? "live" : "connecting"}</span>
      ${fire > 0 ? html`<a id="alerts" class="st bad" href=${link(["fleet"])}>${many(fire, "alert")}</a>` : null}
      <span class="me">${me?.user || me?.name || ""} · ${me?.role || ""}${ends(me)}</span>
      <button type="button" class="plain" onclick=${signOut}>Sign out</button>
      ${maySomewhere("operator") ? html`<a id="emergency" class="btn danger" href=${link(["emergency"])}>⚠ Emergency… <kbd>g e</kbd></a>` : null}
    </header>
    ${stale ? html`<div class="notice n-bad stale" role="alert"><b>The controller is away since ${clock(live.since)} (${
  duration(time.now() - live.since)}).</b> All below is from then: ${live.why}. The page tries again by itself.
      <p>Without the controller: <code>flotilla emergency rollback RELEASE --key FILE</code>; on one device:${" "}
      <code>flotilla-agent rollback</code>.</p></div>` : null}
    <main id="main" tabindex="-1" class=${stale ? "is-stale" : ""}>${children}</main>`;
  }
}
