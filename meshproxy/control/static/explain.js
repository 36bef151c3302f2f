// The explain form: a request in, and in prose what would become of it, with the lines that decide.

import { $, empty, h } from "./dom.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT"];

export class Explain {
  constructor() {
    this.answer = $("explain-answer");
    $("methods").append(...METHODS.map((value) => h("option", { value })));
    $("explain-listener").addEventListener("focus", () => this.listeners(), { once: true });
    $("explain-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
  }

  async listeners() {
    try {
      const plans = await (await fetch("/routes")).json();
      $("explain-listener").append(...plans.map((one) =>
        h("option", { value: one.listener }, `${one.listener} (${one.listen})`)));
    } catch { /* the URL says it well enough */ }
  }

  async ask() {
    const query = new URLSearchParams({ method: $("explain-method").value.trim() || "GET", url: $("explain-url").value.trim() });
    for (const line of $("explain-headers").value.split("\n")) if (line.trim()) query.append("header", line.trim());
    if ($("explain-listener").value) query.set("listener", $("explain-listener").value);
    this.answer.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(`/explain?${query}`);
      const told = await answer.json();
      this.answer.replaceChildren(...(answer.ok ? prose(told) : [problem(told.error ?? `status ${answer.status}`)]));
    } catch {
      this.answer.replaceChildren(problem("The sidecar did not answer."));
    }
    this.answer.removeAttribute("aria-busy");
  }
}

const problem = (text) => h("p", { class: "banner bad" }, text);
const rule = (text) => (text ? h("code", { class: "rule" }, text) : null);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const time = (seconds) => (seconds == null ? "no bound" : seconds >= 1 ? `${+seconds.toFixed(3)} s` : `${+(seconds * 1000).toFixed(1)} ms`);
const chance = (share) => (share == null ? "" : share >= 1 ? "certain" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)}%`);

function prose(told) {
  const { verdict } = told;
  const bad = verdict.action === "refuse" || verdict.action === "reset";
  const lead = h("p", { class: `verdict ${bad ? "bad" : ""}` }, `${capital(told.says)}.`);
  return [lead, way(told), ...steps(told), ...endpoints(told), ...bounds(told), ...rewrites(told)];
}

function way({ request, listener, route, verdict }) {
  const line = (name, text, where) => [h("dt", {}, name), h("dd", {}, text, " ", rule(where))];
  return h("dl", { class: "fields" },
    ...line("request", `${request.method} ${request.target}, host ${request.host}`),
    ...line("listener", `${listener.name} (${listener.address})`, listener.rule),
    ...line("route", route.upstream && route.upstream !== route.name ? `${route.name}, to ${route.upstream}` : route.name, route.rule),
    ...(verdict.rule ? line("decided by", verdict.reason || verdict.action, verdict.rule) : []));
}

function steps(told) {
  if (!told.steps.length) return [];
  return [h("h3", {}, "Step by step"), h("ol", { class: "steps" }, ...told.steps.map((step) => h("li", {},
    h("b", {}, (step.policy || "proxy").replaceAll("_", " ")), ": ", step.says, " ",
    step.verdict ? h("span", { class: `chip ${step.verdict === "refuse" ? "bad" : "warn"}` }, step.verdict, step.chance < 1 ? ` ${chance(step.chance)}` : "") : null,
    " ", rule(step.rule))))];
}

function endpoints(told) {
  if (!told.endpoints.length) return told.pick ? [h("p", {}, told.pick.says)] : [];
  const rows = told.endpoints.map((one) => h("li", {},
    h("b", {}, one.address), " ",
    one.eligible ? h("span", { class: "chip" }, chance(one.chance) || "may be picked") : h("span", { class: "chip bad" }, "left out"),
    " ", h("span", { class: "quiet" }, [one.why, `${one.in_flight} in flight`].filter(Boolean).join("; "))));
  return [h("h3", {}, "Who would get it"), told.pick ? h("p", {}, capital(told.pick.says)) : null,
    h("ul", { class: "steps" }, ...rows)].filter(Boolean);
}

function bounds(told) {
  const worst = told.worst_case;
  const rows = (told.timeouts ?? []).map((one) => h("li", {}, `${one.what}: ${time(one.seconds)} `, rule(one.rule)));
  if (!worst && !rows.length) return [];
  return [h("h3", {}, "How long at most"),
    worst ? h("p", {}, `${capital(worst.says)}.`.replace(/\.\.$/, ".")) : null,
    rows.length ? h("ul", { class: "steps" }, ...rows) : null].filter(Boolean);
}

function rewrites({ rewrites: made, request }) {
  if (!made) return [];
  const lines = [
    ...(made.target && made.target !== request.target ? [["sent as", made.target]] : []),
    ...made.added.map((one) => ["adds", `${one.name}: ${one.value}`]),
    ...made.changed.map((one) => ["changes", `${one.name}: ${one.value}`]),
    ...made.dropped.map((name) => ["drops", name]),
  ];
  if (!lines.length) return [h("h3", {}, "What is rewritten"), empty("Nothing.")];
  return [h("h3", {}, "What is rewritten"), h("dl", { class: "fields" },
    ...lines.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]))];
}
