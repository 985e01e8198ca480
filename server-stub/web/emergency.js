// Emergency rollback: choose, see what it touches, type the name, watch.

import { call } from "/app/api.js";
import { announce, h, state, table, title } from "/app/dom.js";

export async function openEmergency(devices, preset) {
  const served = new Map();
  for (const device of devices) {
    const name = title(device.serving);
    if (name !== "–") {
      served.set(name, (served.get(name) || 0) + 1);
    }
  }
  const names = [...served.keys()].sort((a, b) => served.get(b) - served.get(a));
  const dialog = h("dialog", { "aria-labelledby": "emergency-title" });
  const select = h("select", {}, names.map((n) =>
    h("option", { value: n, selected: n === preset }, `${n} (${served.get(n)} devices)`)));
  const reason = h("input", { type: "text", maxlength: 120, autocomplete: "off" });
  const typed = h("input", { type: "text", autocomplete: "off", spellcheck: "false",
    "aria-describedby": "emergency-say" });
  const say = h("p", { id: "emergency-say", class: "soft" });
  const error = h("p", { class: "error", role: "alert" });
  const go = h("button", { class: "danger", type: "submit", disabled: true });

  function update() {
    const n = served.get(select.value) || 0;
    const offline = devices.filter((d) => title(d.serving) === select.value
      && d.state !== "online").length;
    say.textContent = `${n} devices go back to what each ran before, without a download. `
      + `${offline} of them are offline and follow at contact. Rollouts of `
      + `${select.value} are stopped; it becomes yanked.`;
    go.textContent = `■ Roll back ${n} devices`;
    const armed = typed.value === select.value && names.length > 0;
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
      const order = await call("POST", "/v1/orders", { op: "rollback",
        release: select.value, everywhere: true, confirm: typed.value,
        reason: reason.value || "emergency rollback" });
      watch(dialog, order.id, select.value);
    } catch (problem) {
      error.textContent = `${problem.code || "error"}: ${problem.message} ${problem.fix || ""}`;
      update();
    }
  } },
  h("h2", { id: "emergency-title" }, "⚠ Emergency rollback"),
  names.length === 0 ? h("p", {}, "No device serves a release.") : null,
  h("label", {}, "Release", select), say,
  h("label", {}, "Why (goes to the audit)", reason),
  h("label", {}, "Type the release's name to arm the button", typed), error,
  h("p", { class: "soft mono" }, "flotilla rollout rollback --release NAME --everywhere"),
  h("div", { class: "row" },
    h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go));
  select.addEventListener("change", update);
  typed.addEventListener("input", update);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(form);
  document.body.append(dialog);
  update();
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
      rest.replaceChildren(table(["device", "outcome", "took"],
        (order.devices || []).map((d) => [d.name || d.id,
          state(d.outcome || "waiting"),
          d.took_ms === undefined ? "–" : `${d.took_ms} ms`])));
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
