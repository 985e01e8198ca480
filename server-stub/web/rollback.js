// Take one rollout back: who has its release now, the typed name, the call.

import { call } from "/app/api.js";
import { announce, h } from "/app/dom.js";

export function openRollback(rollout, devices) {
  const n = rollout.holders;
  const held = new Set(devices.filter((d) => d.state !== "online").map((d) => d.id));
  const away = (rollout.devices || []).filter((d) => held.has(d.id)
    && ["succeeded", "already-installed", "soaking", "activating"].includes(d.state)).length;
  const dialog = h("dialog", { "aria-labelledby": "rollback-title" });
  const reason = h("input", { type: "text", maxlength: 120, autocomplete: "off" });
  const typed = h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const error = h("p", { class: "error", role: "alert" });
  const go = h("button", { class: "danger", type: "submit", disabled: true },
    `◀ Take ${n} devices back`);
  const close = () => dialog.close();

  typed.addEventListener("input", () => {
    go.disabled = typed.value !== rollout.release;
    go.classList.toggle("armed", !go.disabled);
  });
  dialog.append(h("form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    if (go.disabled) {
      return;
    }
    go.disabled = true;
    try {
      await call("POST", `/v1/rollouts/${encodeURIComponent(rollout.id)}/actions`,
        { action: "rollback", confirm: typed.value, reason: reason.value });
      announce(`${rollout.id} goes back`);
      close();
    } catch (problem) {
      error.textContent = `${problem.code || "error"}: ${problem.message} ${problem.fix || ""}`;
      go.disabled = false;
    }
  } },
  h("h2", { id: "rollback-title" }, `Take ${rollout.id} back`),
  h("p", {}, `${n} devices have ${rollout.release} by this rollout. Each goes back to what it `
    + `ran before.${away > 0 ? ` ${away} of them are offline and follow at contact.` : ""} `
    + "The release stays published; Emergency rollback withdraws it everywhere."),
  h("label", {}, "Why (goes to the audit)", reason),
  h("label", {}, `Type ${rollout.release} to arm the button`, typed), error,
  h("p", { class: "soft mono" }, `flotilla rollout rollback ${rollout.id}`),
  h("div", { class: "row" }, h("button", { type: "button", onclick: close }, "Cancel"), go)));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  typed.focus();
}
