// The dashboard: one page, live.  Events keep its state; it asks only for what
// they do not bring, and nothing while nobody looks.

import { Problem, call, follow, session } from "/app/api.js";
import { announce, h, title } from "/app/dom.js";
import { openDevice } from "/app/device.js";
import { openEmergency } from "/app/emergency.js";
import { openRemove } from "/app/remove.js";
import { openRollback } from "/app/rollback.js";
import { openStart } from "/app/start.js";
import { State } from "/app/state.js";
import * as cards from "/app/cards.js";

const main = document.getElementById("main");
const live = document.getElementById("live");
const state = new State();
const slots = {};
let stop = null;
let busy = false;

function setLive(word, text) {
  live.dataset.state = word;
  live.textContent = text;
  document.body.classList.toggle("stale", word !== "live");
}

// ---- reading ----

// Parts to ask for, not sooner than so many ms after the last time.
const sources = {
  devices: { every: 2000, read: () => state.readDevices(), draws: ["summary", "fleet", "models"] },
  rollouts: { every: 1000, read: () => state.readRollouts(), draws: ["summary", "rollouts"] },
  shown: { every: 2000, read: () => state.readShown(), draws: ["rollout"] },
  frozen: { every: 1000, read: () => state.readFrozen(), draws: ["summary"] },
  releases: { every: 1000, read: () => state.readReleases(), draws: ["releases"] },
  audit: { every: 1000, read: () => state.readAudit(), draws: ["audit"] },
  telemetry: { every: 10000, read: async () => {
    const model = state.model;
    const charts = await cards.telemetry(state.releases, model);
    state.charts = model === state.model ? charts : []; // another was chosen
  }, draws: ["charts"] },
};
const ORDER = ["devices", "releases", "rollouts", "shown", "frozen", "audit", "telemetry"];
const wanted = new Set(); // sources
const stale = new Set(); // names of drawn
const pace = { fleet: 0 }; // large fleets are drawn less often

function want(...names) {
  names.forEach((name) => wanted.add(name));
}

function due() {
  const now = Date.now();
  return ORDER.filter((name) => wanted.has(name) && now >= (sources[name].next || 0));
}

async function read(name) {
  const source = sources[name];
  // A reading of many pages is not begun again before five seconds a page.
  const every = name === "devices" && state.pages() > 1
    ? 5000 * state.pages() : source.every;
  wanted.delete(name);
  try {
    await source.read();
  } catch (problem) {
    wanted.add(name);
    throw problem;
  } finally {
    source.next = Date.now() + every;
  }
  source.draws.forEach((card) => stale.add(card));
}

async function refresh() {
  if (busy || document.hidden || !session.token) {
    return;
  }
  busy = true;
  try {
    for (const name of due()) {
      await read(name);
    }
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401) {
      signOut("That token is not valid (any more).");
    } else {
      setLive("stale", `stale: ${problem.message}`);
    }
  } finally {
    busy = false;
  }
  draw();
}

// ---- drawing ----

function put(name, ...elements) {
  const old = slots[name];
  const focus = document.activeElement?.textContent;
  const scrolled = old?.[0].querySelector(".cells")?.scrollTop;
  if (old) {
    old[0].before(...elements);
    old.forEach((e) => e.remove());
  } else {
    const names = Object.keys(drawn);
    const next = names.slice(names.indexOf(name) + 1).find((n) => slots[n]);
    if (next) {
      slots[next][0].before(...elements);
    } else {
      main.append(...elements);
    }
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

const drawn = {
  summary: () => [cards.summary(state)],
  fleet: () => [cards.fleet(state.devices(), openDevice)],
  rollout: () => [cards.rollout(state.shown, act)],
  rollouts: () => [cards.rollouts(state.rolloutList(), (id) => {
    state.wanted = id;
    sources.shown.next = 0;
    want("shown");
    refresh();
  })],
  models: () => [cards.modelsCard(state.devices(), state.model, (model) => {
    state.model = model;
    sources.telemetry.next = 0;
    want("telemetry");
    stale.add("models");
    refresh();
  }, (model) => openRemove(model, null))],
  charts: () => state.charts,
  releases: () => [cards.releases(state.releases, (release) => openStart(release,
    [...new Set(state.devices().flatMap((d) => d.groups || []))].sort()))],
  audit: () => [cards.activity(state.audit)],
};

// Cards stand in the order of the list above, whatever is read first.
function draw() {
  if (!session.token || (Object.keys(slots).length === 0
      && stale.size < Object.keys(drawn).length)) {
    return;
  }
  for (const name of Object.keys(drawn).filter((card) => stale.has(card))) {
    if (name === "fleet" && Date.now() < pace.fleet) {
      continue;
    }
    stale.delete(name);
    if (name === "fleet") {
      pace.fleet = state.pages() > 1 ? Date.now() + 500 * state.pages() : 0;
    }
    const elements = drawn[name]();
    if (elements.length > 0) {
      put(name, ...elements);
    }
  }
}

async function act(rollout, action) {
  if (action === "rollback") {
    openRollback(rollout, state.devices());
    return;
  }
  const questions = {
    abort: `Abort ${rollout.id}? Devices that have not activated it yet stay as they are.`,
    promote: `Leave phase ${rollout.phase} of ${rollout.id} though its gates have not passed?`,
    yank: `Yank ${rollout.release}? No device takes it any more. Who has it keeps it.`,
  };
  if (questions[action] && !await ask(questions[action])) {
    return;
  }
  const path = action === "yank"
    ? `/v1/releases/${encodeURIComponent(rollout.release)}/yank`
    : `/v1/rollouts/${encodeURIComponent(rollout.id)}/actions`;
  try {
    // A second person's "promote" must not leave the phase after this one.
    await call("POST", path, action === "yank" ? {} : { action },
      action === "promote" ? rollout.etag : null);
    announce(`${rollout.id}: ${action}`);
  } catch (problem) {
    await ask(`${problem.code}: ${problem.message} ${problem.fix}`);
  }
  want("rollouts", "shown");
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

// ---- session ----

function readAll() {
  ORDER.forEach((name) => {
    sources[name].next = 0;
    want(name);
  });
}

// An event brings its object; what it does not bring is asked for.
function hear(name, value) {
  if (name === "device" && value?.id) {
    state.hearDevice(value);
    stale.add("fleet").add("summary").add("models");
  } else if (name === "rollout" && value?.id) {
    if (state.hearRollout(value)) {
      want("shown");
    }
    stale.add("rollout").add("rollouts").add("summary");
  } else if (name === "audit" && value?.number) {
    state.hearAudit(value);
    stale.add("audit");
  } else if (name === "order") {
    want("frozen");
  } else if (name === "release") {
    want("releases");
  } else if (name === "telemetry") {
    want("telemetry");
  } else {
    readAll(); // resync, or something newer than this page
  }
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
  Object.keys(drawn).forEach((card) => stale.add(card));
  readAll();
  stop = follow({
    open() {
      setLive("live", "live");
      readAll();
    },
    closed(why) { setLive("stale", `stale: ${why}`); },
    event: hear,
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
  openEmergency(state.devices(), title(state.devices()[0]?.serving), state.releases));
document.getElementById("sign-out").addEventListener("click", () => signOut(""));
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, 250);
// Times of day grow without an event; who was heard and how large it is comes
// with the next reading.
setInterval(() => { stale.add("fleet").add("rollouts").add("audit"); }, 5000);
setInterval(() => want("devices"), 30000);

if (session.token) {
  start().catch((problem) => signOut(problem.message));
} else {
  signIn("");
}
