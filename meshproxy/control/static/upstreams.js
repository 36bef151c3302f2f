// Upstreams with their endpoints: health, breaker, load; and the switch of each breaker.

import { $, Rows, empty, h, mark, milliseconds, percent, plural, rate, set, write } from "./dom.js";
import { confirmed, order } from "./orders.js";
import { CIRCUITS, FORCES } from "./words.js";

export class Upstreams {
  constructor(ring, choose) {
    this.ring = ring;
    this.choose = choose;
    this.none = empty("No upstream is known. Name one under outbound.services, or inbound.app, in the file.");
    const parent = $("upstreams-body");
    parent.before(this.none);
    this.cards = new Rows(parent, () => this.card());
  }

  update(event) {
    this.none.hidden = event.upstreams.length > 0;
    this.cards.update(event.upstreams, (one) => one.name);
  }

  card() {
    let name = "";
    const title = h("button", { type: "button", class: "link", title: "Show its charts", click: () => this.choose(`u\n${name}`) });
    const sum = h("p", { class: "quiet sum" });
    const panic = h("span", { class: "chip bad", title: "Too few endpoints are left: all are used, whatever is known of them" }, "panic");
    const body = h("div", { class: "endpoints", role: "list" });
    const node = h("article", { class: "card" }, h("div", { class: "bar" }, h("h3", {}, title), panic, sum), body);
    const rows = new Rows(body, () => endpoint(() => name));
    const update = (one) => {
      name = one.name;
      const now = this.ring.recent(`u\n${name}`);
      write(title, name);
      panic.hidden = !one.panic;
      const count = one.endpoints.length;
      const well = one.endpoints.filter((each) => each.healthy && each.circuit !== "open").length;
      write(sum, [
        `${rate(now?.rps)} tries/s`, now?.success == null ? null : `${percent(now.success)} ok`,
        now?.p95 == null ? null : `p95 ${milliseconds(now.p95)}`,
        `${well === count ? plural(count, "endpoint") : `${well} of ${count} endpoints usable`}`,
      ].filter(Boolean).join(" · "));
      mark(node, "ailing", well < count);
      rows.update(one.endpoints, (each) => each.address);
    };
    return { node, update };
  }
}

function endpoint(upstream) {
  let address = "";
  const name = h("b", { class: "address" });
  const health = h("span", { class: "dot" });
  const circuit = h("span", { class: "chip" });
  const facts = h("p", { class: "facts" });
  const buttons = Object.entries(FORCES).map(([force, words]) => h("button", {
    type: "button", "aria-pressed": "false", "data-force": force, click: () => ask(force, words),
  }, words.button));
  const group = h("div", { class: "switch", role: "group" }, ...buttons);
  const ask = async (force, words) => {
    if (await confirmed(words.title, words.says(address, upstream()), words.yes, force !== "auto")) {
      await order("/breakers", { upstream: upstream(), endpoint: address, force },
        `Breaker of ${address}: ${force}${force === "auto" ? "" : ", until the next reload"}`);
    }
  };
  const update = (one) => {
    address = one.address;
    write(name, one.address);
    const well = one.healthy ? "healthy" : "fails its health checks";
    mark(health, "bad", !one.healthy);
    set(health, "title", well);
    write(health, one.healthy ? "" : "unhealthy");
    write(circuit, `${one.circuit ? one.circuit.replace("_", "-") : "no breaker"}${one.forced ? ", by hand" : ""}`);
    set(circuit, "title", one.forced ? "Held by an operator until the next reload"
      : CIRCUITS[one.circuit] ?? "no breaker is in force here");
    mark(circuit, "bad", one.circuit === "open");
    mark(circuit, "warn", one.circuit === "half_open" || one.forced === "closed");
    group.hidden = !one.circuit;
    set(group, "aria-label", `Breaker of ${one.address}, ${one.circuit}${one.forced ? ", held by hand" : ""}`);
    for (const button of buttons) {
      set(button, "aria-pressed", String(button.dataset.force === (one.forced || "auto")));
    }
    write(facts, [
      `${one.in_flight} in flight`,
      one.first_byte_ms ? `first byte about ${milliseconds(one.first_byte_ms)}` : null,
      `${one.connections.open} open, ${one.connections.idle} idle`,
      one.connections.waiting ? `${one.connections.waiting} waiting` : null,
      one.weight !== 1 ? `weight ${one.weight}` : null,
      one.tier ? `tier ${one.tier}` : null,
      one.version ? `version ${one.version}` : null,
    ].filter(Boolean).join(" · "));
  };
  const node = h("div", { class: "endpoint", role: "listitem" },
    h("div", { class: "line" }, health, name, circuit), facts, group);
  return { node, update };
}
