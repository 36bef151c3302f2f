// The latest exchanges that did not go well: why, in words; and all that is known of each.

import { $, Rows, clock, empty, h, plural, write } from "./dom.js";
import { reason } from "./words.js";

const KEPT = 300;
const SHOWN = 12;

export class Failures {
  constructor() {
    this.all = [];
    this.number = 0;
    this.filter = $("failures-filter");
    this.filter.addEventListener("input", () => this.draw());
    this.list = h("ol", { class: "failures" });
    this.none = empty("Nothing has failed since the sidecar began. When something does, its reason and the line of the file that decided stand here.");
    this.nothing = empty("No failure fits the filter.");
    this.whole = false;
    this.more = h("button", { type: "button", class: "more", hidden: true, click: () => this.unfold() });
    $("failures-body").append(this.list, this.more, this.none, this.nothing);
    this.rows = new Rows(this.list, failure);
  }

  /** The first event of a connection brings what is remembered: it replaces what was known. */
  add(event, fresh) {
    if (fresh) this.all = [];
    for (const one of event.failures) this.all.unshift({ ...one, key: `${one.request_id}\n${one.at}\n${fresh ? "" : ++this.number}` });
    this.all.length = Math.min(this.all.length, KEPT);
  }

  unfold() {
    this.whole = !this.whole;
    this.draw();
  }

  draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const fits = (one) => Object.values(one).join("\n").toLowerCase().includes(wanted);
    const found = wanted ? this.all.filter(fits) : this.all;
    this.none.hidden = this.all.length > 0;
    this.nothing.hidden = found.length > 0 || !this.all.length;
    write($("failures-count"), wanted ? `${found.length} of ${this.all.length}` : "");
    this.rows.update(this.whole ? found : found.slice(0, SHOWN), (one) => one.key);
    this.more.hidden = found.length <= SHOWN;
    write(this.more, this.whole ? `Show the latest ${SHOWN}` : `Show all ${plural(found.length, "failure")}`);
  }
}

/** Its route, which mostly begins with the method; the path where there is none. */
function asked({ method, route, path }) {
  if (!route || route.startsWith("__")) return `${method} ${path}`;
  return route.startsWith(`${method} `) ? route : `${method} ${route}`;
}

function failure(one) {
  const codes = one.reason || String(one.status);
  const detail = h("dl", { class: "fields", hidden: true });
  const button = h("button", { type: "button", class: "row", "aria-expanded": "false", click: () => open() },
    h("time", { datetime: one.at }, clock(one.at)),
    h("span", { class: `chip ${one.status >= 500 || !one.status ? "bad" : "warn"}` }, codes),
    h("span", { class: "what" }, asked(one)),
    h("span", { class: "number" }, one.status ? String(one.status) : "–"),
    h("span", { class: "why" }, one.detail || reason(one.reason) || "the upstream answered so"));
  const open = () => {
    const now = detail.hidden;
    detail.hidden = !now;
    button.setAttribute("aria-expanded", String(now));
    if (now && !detail.childElementCount) fill(detail, one);
  };
  return { node: h("li", {}, button, detail), update: () => {} };
}

function fill(list, one) {
  const means = reason(one.reason);
  const rows = [["means", means], ["decided by", one.rule], ...Object.entries(one).filter(([name]) => !["rule", "key"].includes(name))];
  for (const [name, value] of rows) {
    if (value !== "" && value != null) list.append(h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, String(value)));
  }
}
