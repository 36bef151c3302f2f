// The keyboard: single keys that jump or act, listed in a dialog, and switched off in it.

import { $, h } from "./dom.js";

const STORE = "meshproxy-keys";

export class Keys {
  constructor(acts) {
    this.acts = new Map(acts.map(([key, says, act]) => [key, { says, act }]));
    $("keys-list").append(...acts.flatMap(([key, says]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, says)]));
    const box = $("keys-on");
    box.checked = recall() !== "off";
    box.addEventListener("change", () => remember(box.checked ? "on" : "off"));
    $("help").addEventListener("click", () => $("keys").showModal());
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    const typing = event.target.closest("input, select, textarea, dialog");
    if (typing || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (event.key === "?") $("keys").showModal();
    else if ($("keys-on").checked && this.acts.has(event.key)) this.acts.get(event.key).act();
    else return;
    event.preventDefault();
  }
}

/** Go to a section: into its first field if it has one to write in, else to its title. */
export function go(id, field) {
  const target = field ? $(field) : $(id).querySelector("h2");
  if (!field) target.tabIndex = -1;
  $(id).scrollIntoView({ block: "start" });
  target.focus({ preventScroll: true });
}

function recall() {
  try { return localStorage.getItem(STORE); } catch { return null; }
}

function remember(value) {
  try { localStorage.setItem(STORE, value); } catch { /* it holds for this visit */ }
}
