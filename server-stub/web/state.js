// The page's state of the fleet, kept by live events: nothing is asked for that
// an event has brought.

import { call } from "/app/api.js";

const PAGE = 1000; // most that the controller gives
const DEVICES_SHOWN = 200; // of one rollout

// Names as people count: gw-2 before gw-10.
const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
export function byName(a, b) {
  return order.compare(a.name || a.id, b.name || b.id);
}

// r-9999 is older than r-10000.
const newestFirst = (a, b) => order.compare(b.id, a.id);

export class State {
  fleet = new Map(); // devices by id
  heard = new Map(); // by events since the last reading began
  rollouts = new Map();
  releases = [];
  audit = [];
  charts = [];
  frozen = false;
  model = null; // whose numbers alone are shown; null: all
  wanted = null; // id of the rollout that was chosen; null: the newest
  shown = null; // with its devices

  devices() {
    return [...this.fleet.values()].sort(byName);
  }

  rolloutList() {
    const active = (r) => ["running", "paused", "rolling-back", "aborting"].includes(r.state);
    return [...this.rollouts.values()].sort((a, b) =>
      Number(active(b)) - Number(active(a)) || newestFirst(a, b));
  }

  pages() {
    return Math.ceil(this.fleet.size / PAGE);
  }

  // All devices, page by page; events between are not lost.
  async readDevices() {
    const found = [];
    let next = "";
    this.heard = new Map();
    do {
      const page = await call("GET", `/v1/devices?limit=${PAGE}${next}`);
      found.push(...page.items);
      next = page.next ? `&cursor=${encodeURIComponent(page.next)}` : "";
    } while (next);
    this.fleet.clear();
    found.forEach((d) => this.fleet.set(d.id, d));
    this.heard.forEach((d) => this.hearDevice(d));
  }

  async readRollouts() {
    const list = (await call("GET", "/v1/rollouts")).items;
    this.rollouts = new Map(list.map((r) => [r.id, r]));
  }

  async readShown() {
    const id = this.wanted || this.rolloutList()[0]?.id;
    this.shown = id ? await call("GET",
      `/v1/rollouts/${encodeURIComponent(id)}?devices=${DEVICES_SHOWN}`) : null;
  }

  async readReleases() {
    this.releases = (await call("GET", "/v1/releases")).items;
  }

  async readAudit() {
    this.audit = (await call("GET", "/v1/audit?order=newest&limit=12")).items;
  }

  async readFrozen() {
    this.frozen = (await call("GET", "/v1/version")).frozen;
  }

  hearDevice(device) {
    this.heard.set(device.id, device);
    if (device.state === "retired") {
      this.fleet.delete(device.id);
    } else {
      this.fleet.set(device.id, device);
    }
  }

  // true: its devices did not come with it, they have to be asked for.
  hearRollout(rollout) {
    const isNew = !this.rollouts.has(rollout.id);
    this.rollouts.set(rollout.id, rollout);
    if (isNew && !this.wanted) {
      this.shown = null;
    }
    const shown = this.wanted || this.rolloutList()[0]?.id;
    if (shown !== rollout.id) {
      return false;
    }
    if (rollout.devices) {
      this.shown = rollout;
      return false;
    }
    this.shown = { ...this.shown, ...rollout };
    return true;
  }

  hearAudit(record) {
    this.audit = [record, ...this.audit.filter((a) => a.number !== record.number)]
      .sort((a, b) => b.number - a.number).slice(0, 12);
  }
}
