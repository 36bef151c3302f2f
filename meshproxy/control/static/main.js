// The page as a whole: one event a second comes in, and every part shows its share of it.

import { $, NONE, bytes, clock, h, mark, milliseconds, percent, plural, rate, seconds, set, write } from "./dom.js";
import { Charts } from "./charts.js";
import { Config } from "./config.js";
import { Explain } from "./explain.js";
import { Failures } from "./failures.js";
import { Keys, go } from "./keys.js";
import { Limits } from "./limits.js";
import { Ring, Stream, routeKey } from "./stream.js";
import { Routes } from "./routes.js";
import { Upstreams } from "./upstreams.js";

const ring = new Ring();
const charts = new Charts($("charts"), ring);
const routes = new Routes(ring, choose);
const upstreams = new Upstreams(ring, choose);
const limits = new Limits();
const failures = new Failures();
const config = new Config();
new Explain();
let latest = null;
let paused = false;
let connected = false;
let refused = false;

// ---- what comes

function heard(event, fresh) {
  const back = !connected;
  connected = true;
  ring.add(event, fresh);
  failures.add(event, fresh);
  latest = event;
  if (!paused) draw();
  else if (back) head();
}

function lost(byRefusal) {
  connected = false;
  refused = byRefusal;
  head();
}

function draw() {
  head();
  subjects();
  tiles();
  charts.draw();
  routes.update(latest);
  upstreams.update(latest);
  limits.update(latest);
  failures.draw();
  config.update(latest);
}

// ---- the head: who this is, and whether all is well with it

function head() {
  const chip = $("state");
  const [word, kind] = !connected ? [latest ? "connection lost" : "connecting", latest ? "bad" : ""]
    : latest.draining ? ["draining", "warn"]
      : latest.reload.ok ? ["ready", "good"] : ["ready, reload failed", "bad"];
  write(chip, paused ? `${word}, paused` : word);
  set(chip, "class", `chip ${kind}`);
  if (latest) {
    const name = latest.service.name || "meshproxy";
    write($("service"), name);
    write($("version"), latest.service.version);
    document.title = `${word === "ready" ? "" : `${word}: `}${name} · meshproxy`;
    write($("about"), `generation ${latest.generation} · up ${seconds(latest.uptime_seconds)}`);
  }
  banners();
}

const shown = new Map();

function banners() {
  const wanted = new Map();
  if (!connected && refused) {
    wanted.set("refused", ["bad", "The sidecar refuses another live reader, as it has as many as it takes at once. Close one of the others; this page tries again by itself."]);
  } else if (!connected && latest) {
    wanted.set("lost", ["bad", `The sidecar does not answer since ${clock(latest.at)}. What you see is from then; this page tries again by itself.`]);
  }
  if (latest && !latest.reload.ok) {
    wanted.set("reload", ["bad", `The reload at ${clock(latest.reload.at)} was refused, and the config before it stays in force:`, latest.reload.errors]);
  }
  if (latest?.draining) wanted.set("drain", ["warn", "The sidecar is draining: it finishes what is in flight, then ends."]);
  const held = latest ? overrides(latest) : [];
  $("held").hidden = !held.length;
  write($("held"), `${held.length} by hand`);
  if (held.length) wanted.set("held", ["warn", `Held by hand until the next reload: ${held.join("; ")}`]);
  for (const [name, one] of shown) {
    if (one.text !== String(wanted.get(name))) { one.node.remove(); shown.delete(name); }
  }
  for (const [name, [kind, text, list]] of wanted) {
    if (shown.has(name)) continue;
    const node = h("div", { class: `banner ${kind}` }, h("p", {}, text),
      list?.length ? h("ul", {}, ...list.map((line) => h("li", {}, line))) : null);
    shown.set(name, { node, text: String(wanted.get(name)) });
    $("banners").append(node);
  }
}

function overrides(event) {
  const breakers = event.upstreams.flatMap((one) => one.endpoints.filter((each) => each.forced)
    .map((each) => `breaker of ${one.name} ${each.address} ${each.forced}`));
  const modes = event.limits.filter((one) => one.forced).map((one) => `limit ${one.name} (${one.scope}) ${one.forced}`);
  return [...breakers, ...modes];
}

// ---- the big numbers

const TILES = ["Requests/s", "Success", "p95", "In flight", "Process", "Event loop"].map((label) => {
  const value = h("dd", { class: "big number" });
  const more = h("dd", { class: "quiet number" });
  const node = h("div", { class: "tile" }, h("dt", {}, label), value, more);
  $("tiles").append(node);
  return { node, value, more };
});

function tiles() {
  const directions = Object.keys(latest.totals).sort();
  const now = directions.map((direction) => [direction, ring.recent(`t\n${direction}`)]);
  const flying = (direction) => latest.routes.filter((one) => one.direction === direction).reduce((sum, one) => sum + one.in_flight, 0);
  const of = (words) => now.map(([direction, one]) => [direction, words(direction, one)]);
  tell(0, of((_, one) => rate(one?.rps)));
  tell(1, of((_, one) => percent(one?.success)));
  tell(2, of((_, one) => milliseconds(one?.p95)));
  tell(3, of((direction) => String(flying(direction))));
  now.slice(0, 1).forEach(([, one]) => mark(TILES[1].node, "bad", one?.success != null && one.success < 0.99));
  const { rss_bytes: rss, cpu, open_files: files, loop_lag_ms: lag, connections } = latest.process;
  write(TILES[4].value, bytes(rss));
  write(TILES[4].more, `${Math.round(cpu * 100)}% of a core · ${files} files`);
  write(TILES[5].value, milliseconds(lag));
  mark(TILES[5].node, "bad", lag > 100);
  const clients = Object.values(connections).reduce((sum, one) => sum + one, 0);
  write(TILES[5].more, `late at worst · ${plural(clients, "client")}`);
}

function tell(at, rows) {
  write(TILES[at].value, rows[0]?.[1] ?? NONE);
  write(TILES[at].more, rows.length > 1 ? `${rows[0][0]} · ${rows.slice(1).map(([name, text]) => `${text} ${name}`).join(" · ")}`
    : rows[0]?.[0] ?? "no request yet");
}

// ---- whose charts are shown

function subjects() {
  const groups = [
    ["All of it", Object.keys(latest.totals).sort().map((one) => [`t\n${one}`, one])],
    ["Routes", latest.routes.map((one) => [routeKey(one), `${one.route} (${one.direction}, ${one.upstream})`])],
    ["Upstreams", latest.upstreams.map((one) => [`u\n${one.name}`, one.name])],
  ].filter(([, options]) => options.length);
  const select = $("subject");
  const text = JSON.stringify(groups);
  if (select.dataset.groups !== text) {
    const before = select.value;
    select.replaceChildren(...groups.map(([label, options]) => h("optgroup", { label },
      ...options.map(([value, name]) => h("option", { value }, name)))));
    select.dataset.groups = text;
    select.value = before;
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  }
  if (charts.subject !== select.value) charts.subject = select.value;
}

function choose(subject) {
  $("subject").value = subject;
  charts.show(subject);
  $("traffic").scrollIntoView({ block: "start" });
  $("subject").focus({ preventScroll: true });
}

// ---- what a person does

function pause() {
  paused = !paused;
  set($("pause"), "aria-pressed", String(paused));
  write($("pause"), paused ? "Go on" : "Pause");
  if (latest) (paused ? head : draw)();
}

$("subject").addEventListener("change", () => charts.show($("subject").value));
$("pause").addEventListener("click", pause);
new Keys([
  ["1", "traffic", () => go("traffic", "subject")],
  ["2", "routes", () => go("routes")],
  ["3", "upstreams and breakers", () => go("upstreams")],
  ["4", "limits", () => go("limits")],
  ["5", "recent failures", () => go("failures", "failures-filter")],
  ["6", "search the config", () => go("config", "config-search")],
  ["7", "explain a request", () => go("explain", "explain-url")],
  ["p", "pause, and go on", pause],
  ["?", "this list", () => $("help").click()],
]);
new Stream("/live?every=1s", heard, lost);
