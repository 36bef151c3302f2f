// The effective config with a search, and the last reloads with what each changed.

import { $, Rows, clock, h, mark, plural, write } from "./dom.js";
import { confirmed, order } from "./orders.js";

export class Config {
  constructor() {
    this.generation = null;
    this.reloaded = null;
    this.found = [];
    this.at = 0;
    this.lines = [];
    this.search = $("config-search");
    this.search.addEventListener("input", () => this.seek());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.step(event.shiftKey ? -1 : 1);
    });
    $("config-next").addEventListener("click", () => this.step(1));
    $("config-previous").addEventListener("click", () => this.step(-1));
    $("reload").addEventListener("click", () => this.reload());
    this.rows = new Rows($("reloads"), reload);
  }

  async reload() {
    const sure = await confirmed("Reload the file now?",
      "What the file says takes effect, and every breaker and limit that is held by hand follows it again. If it has a mistake, nothing changes.", "Reload", false);
    if (sure) {
      await order("/reload", {}, (told) => (told.changes.length
        ? `Generation ${told.generation}: ${plural(told.changes.length, "change")}` : "Nothing new in the file"));
    }
  }

  async update(event) {
    if (event.reload.at === this.reloaded) return;
    this.reloaded = event.reload.at;
    try {
      const entries = await (await fetch("/config/history")).json();
      this.rows.update(entries.reverse(), (entry) => entry.number);
      if (event.generation !== this.generation) {
        this.show(await (await fetch("/config/text")).text());
        this.generation = event.generation;
      }
    } catch {
      this.reloaded = null; // the next event asks again
    }
  }

  show(text) {
    this.lines = text.replace(/\n$/, "").split("\n").map((line) => h("span", { class: "l" }, `${line}\n`));
    $("config-text").replaceChildren(...this.lines);
    this.seek();
  }

  seek() {
    const wanted = this.search.value.trim().toLowerCase();
    this.found = [];
    for (const line of this.lines) {
      const hit = wanted !== "" && line.textContent.toLowerCase().includes(wanted);
      mark(line, "hit", hit);
      mark(line, "here", false);
      if (hit) this.found.push(line);
    }
    this.at = -1;
    write($("config-count"), wanted && !this.found.length ? "nothing found" : "");
    if (this.found.length) this.step(1);
  }

  step(by) {
    const count = this.found.length;
    if (!count) return;
    if (this.at >= 0) mark(this.found[this.at], "here", false);
    this.at = (this.at + by + count) % count;
    const line = this.found[this.at];
    mark(line, "here", true);
    // Within its own box: the page stays where it is.
    const box = $("config-text");
    box.scrollTop = line.offsetTop - box.offsetTop - box.clientHeight / 3;
    write($("config-count"), `${this.at + 1} of ${count}`);
  }
}

const WHY = { start: "start", file: "the file changed", signal: "SIGHUP", admin: "asked for" };

function reload(entry) {
  const inside = h("div", { class: "diff", hidden: true });
  const told = entry.ok ? (entry.changes.length ? plural(entry.changes.length, "change") : entry.reason === "start" ? "first config" : "nothing new")
    : plural(entry.errors.length, "error");
  const button = h("button", { type: "button", class: "row", "aria-expanded": "false", click: () => open() },
    h("time", { datetime: entry.at, title: new Date(entry.at).toLocaleString() }, clock(entry.at)),
    h("span", { class: `chip ${entry.ok ? "" : "bad"}` }, entry.ok ? `generation ${entry.generation}` : "refused"),
    h("span", {}, WHY[entry.reason] ?? entry.reason), h("span", { class: "quiet" }, told));
  const open = async () => {
    const now = inside.hidden;
    inside.hidden = !now;
    button.setAttribute("aria-expanded", String(now));
    if (now && !inside.childElementCount) inside.append(...(entry.ok ? await changes(entry) : refusal(entry)));
  };
  return { node: h("li", {}, button, inside), update: () => {} };
}

function refusal(entry) {
  return [h("p", { class: "quiet" }, "The config before it stayed in force."),
    h("pre", { class: "code bad", tabindex: "0" }, entry.errors.join("\n"))];
}

async function changes(entry) {
  let diff = [];
  try {
    diff = (await (await fetch(`/config/history?number=${entry.number}`)).json()).diff ?? [];
  } catch { /* what changed is told below in short */ }
  const kind = { "+": "added", "-": "removed", "@": "place" };
  const lines = diff.map((line) => h("span", { class: `l ${kind[line[0]] ?? ""}` }, `${line}\n`));
  const short = entry.changes.length ? h("ul", { class: "changes" }, ...entry.changes.map((one) => h("li", {}, one))) : null;
  if (!lines.length) return [short ?? h("p", { class: "quiet" }, "Nothing to compare it with.")];
  return [short, h("pre", { class: "code", tabindex: "0", "aria-label": "What changed, line by line" }, ...lines)].filter(Boolean);
}
