// Emergency rollback: choose, see what it touches, type the name, watch.

import { call } from "/app/api.js";
import { announce, bytes, duration, h, models, state, table, title } from "/app/dom.js";

export async function openEmergency(devices, preset, known = []) {
  const served = new Map();
  for (const model of devices.flatMap(models)) {
    const name = title(model.serving);
    if (name !== "–") {
      served.set(name, (served.get(name) || 0) + 1);
    }
  }
  const names = [...served.keys()].sort((a, b) => served.get(b) - served.get(a));
  const dialog = h("dialog", { "aria-labelledby": "emergency-title" });
  const select = h("select", {}, names.map((n) =>
    h("option", { value: n, selected: n === preset }, `${n} (${served.get(n)} devices)`)));
  const where = h("select", {}, ["everywhere", "group", "device"].map((w) =>
    h("option", { value: w }, w)));
  const which = h("input", { type: "text", autocomplete: "off", spellcheck: "false",
    hidden: true, "aria-label": "name of the group or device" });
  const to = h("select", {});

  // A release of another model is no way back.
  function fillTo() {
    const model = select.value.split("@")[0];
    to.replaceChildren(h("option", { value: "" }, "what each ran before"),
      ...known.filter((r) => r.state === "published" && r.model === model)
        .map((r) => `${r.model}@${r.version}`).filter((n) => n !== select.value)
        .map((n) => h("option", { value: n }, `${n} (downloaded where it is not kept)`)));
  }
  const yank = h("input", { type: "checkbox", checked: true });
  const shown = h("div");
  const reason = h("input", { type: "text", maxlength: 120, autocomplete: "off" });
  const typed = h("input", { type: "text", autocomplete: "off", spellcheck: "false",
    "aria-describedby": "emergency-say" });
  const say = h("p", { id: "emergency-say", class: "soft" });
  const error = h("p", { class: "error", role: "alert" });
  const go = h("button", { class: "danger", type: "submit", disabled: true });

  // The order as it would be; null members are left out.
  function body(more) {
    const scope = where.value === "everywhere" ? { everywhere: true }
      : { [where.value]: which.value };
    const wanted = { op: "rollback", release: select.value, ...scope,
      yank: yank.checked, ...more };
    if (to.value !== "") {
      wanted.to = to.value;
    }
    return wanted;
  }

  let asked = 0;

  async function plan() {
    asked += 1;
    const mine = asked;
    go.disabled = true;
    which.hidden = where.value === "everywhere";
    if (names.length === 0 || (!which.hidden && which.value === "")) {
      say.textContent = names.length === 0 ? "" : "Name the group or device.";
      shown.replaceChildren();
      return;
    }
    try {
      const answer = await call("POST", "/v1/orders?dry_run=true", body({}));
      if (mine === asked) {
        show(answer);
      }
    } catch (problem) {
      if (mine === asked) {
        say.textContent = `${problem.code || "error"}: ${problem.message}`;
        shown.replaceChildren();
      }
    }
  }

  function show(answer) {
    const troubled = (answer.items || []).filter((d) => d.way !== "kept");
    say.textContent = `${answer.go_back} of ${answer.devices} devices go back`
      + (answer.cannot > 0 ? `, ${answer.cannot} cannot` : "")
      + (answer.offline > 0 ? `, ${answer.offline} are offline and follow at contact` : "")
      + (answer.frozen && answer.download > 0
        ? `. The fleet is frozen: ${answer.download} download when it is unfrozen` : "")
      + (answer.rollouts.length > 0 ? `. Stopped: ${answer.rollouts.join(", ")}` : "") + ".";
    shown.replaceChildren(
      table(["what", "to", "devices", "online", "offline", "download each"],
        answer.targets.map((t) => [t.way, t.to || "–", String(t.devices), String(t.online),
          String(t.offline), t.bytes_each > 0 ? bytes(t.bytes_each) : "none"])),
      troubled.length > 0 ? table(["device", "online", "why"], troubled.slice(0, 20)
        .map((d) => [d.name || d.id, d.online ? "yes" : "no", d.reason || `downloads ${d.to}`]))
        : "");
    go.textContent = `■ Roll back ${answer.go_back} devices`;
    update();
  }

  function update() {
    const armed = typed.value === select.value && names.length > 0
      && go.textContent !== "" && shown.childElementCount > 0;
    go.disabled = !armed;
    go.classList.toggle("armed", armed);
  }

  const form = h("form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    if (go.disabled) {
      return;
    }
    go.disabled = true;
    try {
      const order = await call("POST", "/v1/orders", body({
        confirm: typed.value, reason: reason.value || "emergency rollback" }));
      watch(dialog, order.id, select.value);
    } catch (problem) {
      error.textContent = `${problem.code || "error"}: ${problem.message} ${problem.fix || ""}`;
      update();
    }
  } },
  h("h2", { id: "emergency-title" }, "⚠ Emergency rollback"),
  names.length === 0 ? h("p", {}, "No device serves a release.") : null,
  h("label", {}, "Release", select),
  h("label", {}, "Where", where, which), h("label", {}, "To", to), say, shown,
  h("label", {}, yank, " yank it: nobody takes it again (can be undone)"),
  h("label", {}, "Why (goes to the audit)", reason),
  h("label", {}, "Type the release's name to arm the button", typed), error,
  h("p", { class: "soft mono" }, "flotilla rollout rollback --release NAME --everywhere --dry-run"),
  h("div", { class: "row" },
    h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go));
  select.addEventListener("change", () => {
    fillTo();
    plan();
  });
  where.addEventListener("change", () => {
    yank.checked = where.value === "everywhere";
    plan();
  });
  [which, to, yank].forEach((input) => input.addEventListener("change", plan));
  typed.addEventListener("input", update);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(form);
  document.body.append(dialog);
  fillTo();
  plan();
  dialog.showModal();
  typed.focus();
}

async function watch(dialog, id, name) {
  const began = Date.now();
  const big = h("p", { class: "big", role: "status" });
  const rest = h("div");
  dialog.replaceChildren(h("h2", {}, `Order ${id}: ${name} goes back`), big, rest,
    h("div", { class: "row" }, h("button", { type: "button",
      onclick: () => dialog.close() }, "Close (the order goes on)")));
  while (dialog.open) {
    try {
      const order = await call("GET",
        `/v1/orders/${encodeURIComponent(id)}?devices=50`);
      const ended = (order.done || 0) + (order.failed || 0);
      big.textContent = `${ended} of ${ended + order.awaited} devices  ·  `
        + `${((Date.now() - began) / 1000).toFixed(1)} s`;
      rest.replaceChildren(
        h("p", {}, `answers p50 ${duration(order.heard_ms_p50)}, `
          + `p99 ${duration(order.heard_ms_p99)} · ${order.failed} cannot · `
          + `${order.pending - order.awaited} offline`,
        ...(order.reasons || []).map((r) => ` · ${r.error || "no reason"}: ${r.devices}`)),
        table(["device", "outcome", "answered", "why"],
          (order.devices || []).map((d) => [d.name || d.id,
            state(d.outcome || "waiting"), d.heard_ms > 0 ? duration(d.heard_ms) : "–",
            d.error ? `${d.error.id}: ${d.error.what || ""}` : ""])));
      if (order.awaited === 0) {
        announce(`${name}: ${order.done} devices are back, ${order.failed} failed`);
        return;
      }
    } catch (problem) {
      rest.replaceChildren(h("p", { class: "error" }, problem.message));
    }
    await new Promise((wait) => setTimeout(wait, 300));
  }
}
