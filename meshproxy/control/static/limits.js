// Limits with their use: rate limits, whose mode can be changed, and places for concurrency.

import { $, Rows, empty, h, mark, set, write } from "./dom.js";
import { order } from "./orders.js";
import { MODES } from "./words.js";

export class Limits {
  constructor() {
    this.none = empty("No limit is in force. Write rate_limits or concurrency in the file, first with ",
      h("code", {}, "mode: shadow"), " to see whom they would refuse.");
    this.list = h("div", { class: "limits", role: "list" });
    $("limits-body").append(this.list, this.none);
    this.rows = new Rows(this.list, (item) => (item.kind === "rate" ? rateLimit() : places()));
  }

  update(event) {
    const items = [
      ...event.limits.map((one) => ({ kind: "rate", ...one })),
      ...event.concurrency.map((one) => ({ kind: "places", ...one })),
    ];
    this.none.hidden = items.length > 0;
    this.rows.update(items, (one) => [one.kind, one.name, one.scope, one.upstream, one.rule].join("\n"));
  }
}

function skeleton(...more) {
  const name = h("b");
  const what = h("span", { class: "quiet" });
  const fill = h("i");
  const meter = h("div", { class: "meter", role: "meter", "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  const use = h("span", { class: "number use" });
  const facts = h("p", { class: "facts" });
  const node = h("div", { class: "limit", role: "listitem" },
    h("div", { class: "line" }, name, what, ...more.slice(0, -1)),
    h("div", { class: "line gauge" }, meter, use), facts, more.at(-1));
  const show = (share, text, label) => {
    const hundredths = Math.round(share * 100);
    fill.style.setProperty("width", `${hundredths}%`);
    mark(meter, "full", share >= 1);
    mark(meter, "high", share >= 0.8 && share < 1);
    set(meter, "aria-valuenow", hundredths);
    set(meter, "aria-label", label);
    set(meter, "aria-valuetext", text);
    write(use, text);
  };
  return { node, name, what, facts, show };
}

function rateLimit() {
  let limit = {};
  const chip = h("span", { class: "chip" });
  const inFile = h("option", { value: "auto" });
  const select = h("select", { change: () => touch() }, inFile,
    ...Object.entries(MODES).map(([mode, words]) => h("option", { value: mode, title: words }, mode)));
  const apply = h("button", { type: "button", disabled: true, click: () => send() }, "Apply");
  const made = skeleton(chip, h("div", { class: "line mode" }, select, apply));
  const held = () => limit.forced || "auto";
  const touch = () => { apply.disabled = select.value === held(); };
  const send = async () => {
    const mode = select.value;
    const names = { limit: limit.name, scope: limit.scope, upstream: limit.upstream, mode };
    const done = await order("/rate-limits", names,
      mode === "auto" ? `${limit.name}: as in the file again` : `${limit.name}: ${mode}, until the next reload`);
    // What the next event says is shown again, whoever is in the list.
    if (done) limit.forced = mode === "auto" ? "" : mode;
    touch();
  };
  const update = (one) => {
    const untouched = select.value === held();
    limit = one;
    write(made.name, one.name);
    write(made.what, `${one.limit}${one.burst && one.burst !== parseFloat(one.limit) ? `, burst ${one.burst}` : ""}${one.per.length ? ` per ${one.per.join(" + ")}` : ""}`);
    write(chip, one.forced ? `${one.mode}, by hand` : one.mode);
    mark(chip, "warn", one.forced);
    set(chip, "title", one.forced ? "Held by an operator until the next reload" : MODES[one.mode]);
    const off = one.mode === "off";
    made.show(off ? 0 : one.use, off ? "off" : `${Math.round(one.use * 100)}% used`, `Use of ${one.name}`);
    write(made.facts, [
      `${one.refused} ${one.mode === "shadow" ? "would have been refused" : "refused"}`,
      one.per.length ? `${one.keys_in_use} of ${one.keys} keys` : `${one.left} left`,
      one.upstream, one.rule,
    ].join(" · "));
    write(inFile, `as in the file (${one.mode_in_file ?? one.mode})`);
    set(select, "aria-label", `Mode of ${one.name}, ${one.scope}`);
    set(apply, "aria-label", `Apply the mode of ${one.name}`);
    if (untouched) select.value = held();
    touch();
  };
  return { node: made.node, update };
}

function places() {
  const shadow = h("span", { class: "chip" }, "shadow");
  const made = skeleton(shadow, h("span"));
  const update = (one) => {
    write(made.name, "concurrency");
    write(made.what, `${one.max || "no bound yet"}${one.adaptive ? ", learned" : ""}`);
    shadow.hidden = one.mode !== "shadow";
    made.show(one.max ? Math.min(1, one.in_use / one.max) : 0, `${one.in_use} of ${one.max}`, `Places in use, ${one.scope}`);
    write(made.facts, [
      one.queue == null ? null : `${one.queued} of ${one.queue} in the queue`,
      one.mode === "shadow" ? `${one.would_refuse} would have been refused` : `${one.refused} refused`,
      one.upstream, one.rule,
    ].filter(Boolean).join(" · "));
  };
  return { node: made.node, update };
}
