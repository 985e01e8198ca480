// Take a model off a device, a group or the fleet: plan, typed name, order.

import { call } from "/app/api.js";
import { announce, h, table, text } from "/app/dom.js";

// device_or_null: the scope that is chosen first.
export function openRemove(model, device) {
  const dialog = h("dialog", { "aria-labelledby": "remove-title" });
  const scopes = device ? ["device", "group", "everywhere"] : ["everywhere", "group", "device"];
  const where = h("select", {}, scopes.map((w) => h("option", { value: w }, w)));
  const which = h("input", { type: "text", autocomplete: "off", spellcheck: "false",
    value: device?.name || "", "aria-label": "name of the group or device" });
  const keep = h("select", {}, h("option", { value: "none" }, "its files go"),
    h("option", { value: "blobs" }, "its files stay until the disk is short"));
  const say = h("p", { id: "remove-say", class: "soft" });
  const shown = h("div");
  const reason = h("input", { type: "text", maxlength: 120, autocomplete: "off" });
  const typed = h("input", { type: "text", autocomplete: "off", spellcheck: "false",
    "aria-describedby": "remove-say" });
  const error = h("p", { class: "error", role: "alert" });
  const go = h("button", { class: "danger", type: "submit", disabled: true }, "Remove");
  let asked = 0;
  let planned = false;

  const body = (more) => ({ op: "remove", model, keep: keep.value,
    ...(where.value === "everywhere" ? { everywhere: true } : { [where.value]: which.value }),
    ...more });

  function update() {
    go.disabled = !(planned && typed.value === model);
    go.classList.toggle("armed", !go.disabled);
  }

  function show(plan) {
    const silent = plan.silent > 0 ? ` ${plan.silent} never reported and are not told.` : "";
    const ends = plan.rollouts.length > 0 ? ` Ended: ${plan.rollouts.join(", ")}.` : "";
    say.textContent = `${plan.devices} of ${plan.scope_devices} devices have ${model}`
      + (plan.assigned > 0 ? `, ${plan.assigned} more are only told of it` : "")
      + (plan.offline > 0 ? `, ${plan.offline} are offline and follow at contact` : "")
      + `.${ends}${silent} Their other models serve on.`;
    shown.replaceChildren(table(["what", "release", "devices", "online", "offline"],
      plan.targets.map((t) => [t.way, t.to || "–", text(t.devices), text(t.online),
        text(t.offline)])));
    go.textContent = `■ Remove ${model} from ${plan.devices + plan.assigned} devices`;
  }

  async function plan() {
    asked += 1;
    const mine = asked;
    planned = false;
    which.hidden = where.value === "everywhere";
    update();
    if (!which.hidden && which.value === "") {
      say.textContent = "Name the group or device.";
      shown.replaceChildren();
      return;
    }
    try {
      const answer = await call("POST", "/v1/orders?dry_run=true", body({}));
      if (mine === asked) {
        planned = true;
        show(answer);
      }
    } catch (problem) {
      if (mine === asked) {
        say.textContent = `${problem.code || "error"}: ${problem.message}`;
        shown.replaceChildren();
      }
    }
    update();
  }

  dialog.append(h("form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    if (go.disabled) {
      return;
    }
    go.disabled = true;
    try {
      const order = await call("POST", "/v1/orders", body({ confirm: typed.value,
        ...(reason.value === "" ? {} : { reason: reason.value }) }));
      announce(`${order.id}: ${model} is being removed`);
      dialog.close();
    } catch (problem) {
      error.textContent = `${problem.code || "error"}: ${problem.message} ${problem.fix || ""}`;
      update();
    }
  } },
  h("h2", { id: "remove-title" }, `Remove the model ${model}`),
  h("label", {}, "Where", where, which), h("label", {}, "Files", keep), say, shown,
  h("label", {}, "Why (goes to the audit)", reason),
  h("label", {}, `Type ${model} to arm the button`, typed), error,
  h("p", { class: "soft mono" }, `flotilla model remove ${model} --everywhere --dry-run`),
  h("div", { class: "row" },
    h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go)));
  [where, which, keep].forEach((input) => input.addEventListener("change", plan));
  typed.addEventListener("input", update);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  plan();
  dialog.showModal();
  typed.focus();
}
