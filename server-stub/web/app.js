// The dashboard: one page, live.  Keeps the fleet's state, asks again when the
// controller says that something changed, draws the cards.

import { Problem, call, follow, session } from "/app/api.js";
import { announce, h, title } from "/app/dom.js";
import { openEmergency } from "/app/emergency.js";
import * as views from "/app/views.js";

const main = document.getElementById("main");
const live = document.getElementById("live");
const data = { rollouts: [], releases: [], audit: [], shown: null };
const fleet = new Map(); // devices by id
const devices = () => [...fleet.values()];
const dirty = new Set(["devices", "rollouts", "releases", "audit", "telemetry"]);
const slots = {};
let stop = null;
let drawing = false;

function setLive(state, text) {
  live.dataset.state = state;
  live.textContent = text;
  document.body.classList.toggle("stale", state !== "live");
}

// ---- reading --------------------------------------------------------------

// All devices, page by page.  Where one page is not enough, they are read at
// most a page in five seconds and drawn less often; live events tell between.
const PAGE = 1000; // most that the controller gives
const pace = { read: 0, draw: 0 };
let heard = new Map(); // by events since the last reading began

function pages() {
  return Math.ceil(fleet.size / PAGE);
}

async function readFleet() {
  const found = [];
  let next = "";
  heard = new Map();
  do {
    const page = await call("GET", `/v1/devices?limit=${PAGE}${next}`);
    found.push(...page.items);
    next = page.next ? `&cursor=${encodeURIComponent(page.next)}` : "";
  } while (next);
  fleet.clear();
  found.forEach((d) => fleet.set(d.id, d));
  heard.forEach(hear);
  pace.read = pages() > 1 ? Date.now() + 5000 * pages() : 0;
}

function hear(device) {
  heard.set(device.id, device);
  if (device.state === "retired") {
    fleet.delete(device.id);
  } else {
    fleet.set(device.id, device);
  }
}

const readers = {
  async devices() {
    if (Date.now() >= pace.read) {
      await readFleet();
    }
    pace.draw = pages() > 1 ? Date.now() + 500 * pages() : 0;
  },
  async rollouts() {
    data.rollouts = (await call("GET", "/v1/rollouts")).items;
    data.frozen = (await call("GET", "/v1/version")).frozen;
    const id = data.wanted || (data.rollouts[0] && data.rollouts[0].id);
    data.shown = id ? await call("GET",
      `/v1/rollouts/${encodeURIComponent(id)}?devices=200`) : null;
  },
  async releases() {
    data.releases = (await call("GET", "/v1/releases")).items;
  },
  async audit() {
    data.audit = (await call("GET", "/v1/audit?order=newest&limit=12")).items;
  },
  async telemetry() {
    data.charts = await views.telemetry(data.releases);
  },
};

async function refresh() {
  const names = [...dirty].filter((n) => n !== "devices" || Date.now() >= pace.draw);
  if (drawing || names.length === 0 || !session.token) {
    return;
  }
  drawing = true;
  names.forEach((n) => dirty.delete(n));
  try {
    for (const name of names) {
      await readers[name]();
    }
    draw(names);
  } catch (problem) {
    names.forEach((n) => dirty.add(n));
    if (problem instanceof Problem && problem.status === 401) {
      signOut("That token is not valid (any more).");
    } else {
      setLive("stale", `stale: ${problem.message}`);
    }
  } finally {
    drawing = false;
  }
}

// ---- drawing -----------------------------------------------------------------

function put(name, ...elements) {
  const old = slots[name];
  const focus = document.activeElement?.textContent;
  const scrolled = old?.[0].querySelector(".cells")?.scrollTop;
  if (old) {
    old[0].before(...elements);
    old.forEach((e) => e.remove());
  } else {
    main.append(...elements);
  }
  const opened = old && old[0].querySelector("details[open]");
  if (opened) {
    elements[0].querySelector("details")?.setAttribute("open", "");
  }
  const cells = elements[0].querySelector(".cells");
  if (cells && scrolled) {
    cells.scrollTop = scrolled;
  }
  slots[name] = elements;
  if (old && focus && document.activeElement === document.body) {
    [...elements[0].querySelectorAll("button")]
      .find((b) => b.textContent === focus)?.focus();
  }
}

function draw(names) {
  const changed = new Set(names);
  if (changed.has("devices") || changed.has("rollouts")) {
    put("summary", views.summary(devices(), data.rollouts, data.frozen));
  }
  if (changed.has("devices")) {
    put("fleet", views.fleet(devices()));
  }
  if (changed.has("rollouts")) {
    put("rollout", views.rollout(data.shown, act));
    put("rollouts", views.rollouts(data.rollouts, (id) => {
      data.wanted = id;
      dirty.add("rollouts");
      refresh();
    }));
  }
  if (changed.has("telemetry")) {
    put("charts", ...data.charts);
  }
  if (changed.has("releases")) {
    put("releases", views.releases(data.releases));
  }
  if (changed.has("audit")) {
    put("audit", views.activity(data.audit));
  }
}

async function act(rollout, action) {
  if (action === "rollback") {
    openEmergency(devices(), rollout.release, data.releases);
    return;
  }
  if (action === "abort" && !await ask(
    `Abort ${rollout.id}? Devices that have not activated it yet stay as they are.`)) {
    return;
  }
  try {
    await call("POST", `/v1/rollouts/${encodeURIComponent(rollout.id)}/actions`, { action });
    announce(`${rollout.id}: ${action}`);
  } catch (problem) {
    await ask(`${problem.code}: ${problem.message} ${problem.fix}`);
  }
  dirty.add("rollouts");
  refresh();
}

function ask(text) {
  return new Promise((done) => {
    const dialog = h("dialog", { class: "plain" }, h("p", {}, text),
      h("form", { method: "dialog", class: "row" },
        h("button", { value: "no" }, "Cancel"), h("button", { value: "yes" }, "Yes")));
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// ---- session --------------------------------------------------------------------

const TOUCHES = { device: ["devices"], rollout: ["rollouts", "devices"],
  order: ["rollouts", "devices", "audit", "releases"], release: ["releases"],
  telemetry: ["telemetry", "devices"], audit: ["audit"] };

function readAll() {
  pace.read = pace.draw = 0;
  Object.keys(readers).forEach((k) => dirty.add(k));
}

async function start() {
  const version = await call("GET", "/v1/version");
  await call("GET", "/v1/devices?limit=1");
  document.getElementById("fleet-name").textContent = `fleet ${version.fleet}`;
  document.title = `Flotilla · ${version.fleet}`;
  document.getElementById("emergency").hidden = false;
  document.getElementById("sign-out").hidden = false;
  main.replaceChildren();
  Object.keys(slots).forEach((k) => delete slots[k]);
  readAll();
  stop = follow({
    open() {
      setLive("live", "live");
      readAll();
    },
    closed(why) { setLive("stale", `stale: ${why}`); },
    event(name, value) {
      if (!TOUCHES[name]) {
        readAll();
        return;
      }
      if (name === "device" && value?.id) {
        hear(value);
      }
      TOUCHES[name].forEach((k) => dirty.add(k));
      if (name === "rollout" && data.rollouts[0]?.state === "running") {
        data.wanted = null;
      }
    },
  });
  await refresh();
}

function signOut(why) {
  stop?.();
  stop = null;
  session.close();
  document.getElementById("emergency").hidden = true;
  document.getElementById("sign-out").hidden = true;
  setLive("", "not connected");
  signIn(why);
}

function signIn(why) {
  const token = h("input", { type: "password", autocomplete: "off", required: true,
    placeholder: "flt_pat_…", id: "token" });
  const error = h("p", { class: "error", role: "alert" }, why || "");
  main.replaceChildren(h("section", { class: "card" }, h("h2", {}, "Sign in"),
    h("form", { onsubmit: async (event) => {
      event.preventDefault();
      session.open(token.value);
      try {
        await start();
      } catch (problem) {
        session.close();
        error.textContent = problem.message;
      }
    } },
    h("label", {}, "Paste an access token. It stays in this tab until it is closed.", token),
    error, h("button", { type: "submit" }, "Open"),
    h("p", { class: "soft" }, "Make one: ", h("code", { class: "mono" },
      "flotilla token create --kind access --role operator")))));
  token.focus();
}

document.getElementById("emergency").addEventListener("click", () =>
  openEmergency(devices(), title(devices()[0]?.serving)));
document.getElementById("sign-out").addEventListener("click", () => signOut(""));
setInterval(refresh, 500);
setInterval(() => { dirty.add("devices"); dirty.add("telemetry"); }, 5000);

if (session.token) {
  start().catch((problem) => signOut(problem.message));
} else {
  signIn("");
}
