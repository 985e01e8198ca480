// Start a rollout: the group, the plan (who takes it by which way, who cannot
// and why), then the start.

import { call } from "/app/api.js";
import { announce, bytes, h, table, text } from "/app/dom.js";

function planned(rollout) {
  const plan = rollout.plan;
  const parts = [
    plan.ways.length > 0 ? table(["way", "variant", "devices", "bytes each", "all"],
      plan.ways.map((w) => [w.way, w.variant, text(w.devices), bytes(w.bytes_each),
        bytes(w.bytes)])) : null,
    plan.memory.length > 0 ? table(["memory", "devices"],
      plan.memory.map((m) => [m.way, text(m.devices)])) : null,
    plan.reasons.length > 0 ? table(["cannot", "devices", "first", "why", "do"],
      plan.reasons.map((r) => [r.id, text(r.devices), r.names.map(text).join(", "), r.what,
        r.fix])) : null];
  return parts.filter((p) => p !== null);
}

export function openStart(release, groups) {
  const dialog = h("dialog", { class: "plain large", "aria-labelledby": "start-title" });
  const group = h("select", {}, ["all", ...groups.filter((g) => g !== "all")].map((g) =>
    h("option", { value: g }, g)));
  const reason = h("input", { type: "text", maxlength: 120, autocomplete: "off" });
  const say = h("p", { id: "start-say", class: "soft", role: "status" });
  const shown = h("div");
  const error = h("p", { class: "error", role: "alert" });
  const go = h("button", { type: "submit", disabled: true }, "Start");
  let asked = 0;

  const body = () => ({ release, group: group.value, reason: reason.value });

  async function plan() {
    asked += 1;
    const mine = asked;
    go.disabled = true;
    say.textContent = "Looking at the devices…";
    try {
      const answer = await call("POST", "/v1/rollouts?dry_run=true", body());
      if (mine !== asked) {
        return;
      }
      const p = answer.plan;
      say.textContent = `${p.takes} of ${p.devices} devices take it, ${bytes(p.bytes)} over the `
        + `network${p.offline > 0 ? `, ${p.offline} of them are offline` : ""}`
        + `${p.frozen > 0 ? `, ${p.frozen} are frozen` : ""}. ${p.has} have it, ${p.cannot} `
        + `cannot, ${p.silent} never reported.`;
      const phases = (answer.phases || []).map((q) => `${q.name} ${q.devices}`).join(", ");
      const gates = (answer.gates || []).map((g) => g.name).join(", ");
      shown.replaceChildren(h("p", { class: "soft" }, `Phases: ${phases}. Gates: ${gates}.`),
        ...planned(answer));
      go.textContent = `▶ Start on ${p.takes} of ${p.devices} devices`;
      go.disabled = p.takes + p.silent === 0;
    } catch (problem) {
      if (mine === asked) {
        say.textContent = `${problem.code || "error"}: ${problem.message}`;
        shown.replaceChildren();
      }
    }
  }

  dialog.append(h("form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    if (go.disabled) {
      return;
    }
    go.disabled = true;
    try {
      const rollout = await call("POST", "/v1/rollouts", body());
      announce(`${rollout.id} started`);
      dialog.close();
    } catch (problem) {
      error.textContent = `${problem.code || "error"}: ${problem.message} ${problem.fix || ""}`;
      go.disabled = false;
    }
  } },
  h("h2", { id: "start-title" }, `Roll out ${release}`),
  h("label", {}, "Group", group), say, shown,
  h("label", {}, "Why (goes to the audit)", reason), error,
  h("p", { class: "soft" }, "Phases and gates are the standard ones for a group of this size. "
    + "Others, and policies: ", h("code", { class: "mono" }, `flotilla rollout start ${release} --help`)),
  h("div", { class: "row" },
    h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go)));
  group.addEventListener("change", plan);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  plan();
  dialog.showModal();
}
