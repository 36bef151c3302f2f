// Three charts of one subject, drawn by uPlot: traffic, errors, latency.
//
// Colours come from the style sheet, so that both schemes and their contrast stand in one place.

import { SPAN } from "./stream.js";
import { h, milliseconds, rate, write } from "./dom.js";

const HEIGHT = 150;
const SHORT = 60; // seconds that a chart shows at least, so that the first ones are seen

const KINDS = [
  {
    title: "Traffic", unit: "per second", write: rate,
    series: [{ name: "rps", label: "requests", colour: "--accent", fill: true }],
  },
  {
    title: "Errors", unit: "per second", write: rate,
    series: [
      { name: "errors", label: "failed", colour: "--bad", fill: true },
      { name: "limited", label: "limited", colour: "--warn" },
      { name: "retries", label: "retried", colour: "--quiet", dash: [4, 3] },
    ],
  },
  {
    title: "Latency", unit: "to the end of the answer", write: milliseconds,
    series: [
      { name: "p99", label: "p99", colour: "--accent-soft" },
      { name: "p95", label: "p95", colour: "--accent" },
      { name: "p50", label: "p50", colour: "--quiet", dash: [4, 3] },
    ],
  },
];

export class Charts {
  constructor(parent, ring) {
    this.parent = parent;
    this.ring = ring;
    this.subject = "";
    this.charts = KINDS.map((kind) => new Chart(parent, kind));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restyle());
  }

  show(subject) {
    this.subject = subject;
    this.draw();
  }

  draw() {
    for (const chart of this.charts) {
      chart.draw(this.ring.columns(this.subject, chart.kind.series.map((one) => one.name)));
    }
  }

  restyle() {
    for (const chart of this.charts) chart.forget();
    this.draw();
  }
}

class Chart {
  constructor(parent, kind) {
    this.kind = kind;
    this.values = kind.series.map(() => h("b", { class: "number" }));
    const keys = kind.series.map((one, at) =>
      h("span", { class: `key key${one.colour}` }, h("i", { class: one.dash ? "dashed" : "" }), one.label, " ", this.values[at]));
    this.canvas = h("div", { class: "canvas", role: "img" });
    this.note = h("p", { class: "note" }, "Waiting for the first seconds of traffic.");
    parent.append(h("figure", { class: "chart" },
      h("figcaption", {}, h("b", {}, kind.title), " ", h("span", { class: "quiet" }, kind.unit)),
      h("div", { class: "legend" }, ...keys), this.canvas, this.note));
    this.columns = [[]];
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.canvas);
  }

  size() {
    return { width: Math.max(120, this.canvas.clientWidth), height: HEIGHT };
  }

  draw(columns) {
    this.columns = columns;
    const some = columns.slice(1).some((column) => column.some((value) => value != null));
    this.note.hidden = some;
    if (!this.plot) this.plot = this.made();
    this.plot.setData(columns);
    this.tell(null);
    const words = this.kind.series.map((one, at) => `${one.label} ${this.latest(at)}`);
    this.canvas.setAttribute("aria-label", `${this.kind.title}, ${this.kind.unit}: ${words.join(", ")}`);
  }

  forget() {
    this.plot?.destroy();
    this.plot = null;
  }

  latest(at) {
    const column = this.columns[at + 1];
    return this.kind.write(column.length ? column[column.length - 1] : null);
  }

  tell(place) {
    this.kind.series.forEach((_, at) => {
      write(this.values[at], place == null ? this.latest(at) : this.kind.write(this.columns[at + 1][place]));
    });
  }

  made() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const font = "11px system-ui, sans-serif";
    const axis = { stroke: colour("--quiet"), font, ticks: { show: false }, gap: 4 };
    const grid = { stroke: colour("--line"), width: 1 };
    return new window.uPlot({
      ...this.size(),
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "meshproxy" }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
      scales: {
        x: { time: true, range: (plot, least, most) => (most ? [most - Math.min(SPAN, Math.max(SHORT, most - least)), most] : [0, SHORT]) },
        y: { range: (plot, least, most) => [0, most > 0 ? most * 1.15 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 24, values: (plot, ticks, axis, space, step) => ticks.map((at) => hour(at, step < 60)) },
        { ...axis, grid, space: 34, size: 52, values: (plot, ticks) => ticks.map((tick) => short(tick, this.kind.write)) },
      ],
      series: [
        {},
        ...this.kind.series.map((one) => ({
          label: one.label, stroke: colour(one.colour), width: 1.75, dash: one.dash,
          fill: one.fill ? colour(`${one.colour}-wash`) : undefined, points: { show: false },
        })),
      ],
      hooks: { setCursor: [(plot) => this.tell(plot.cursor.left >= 0 ? plot.cursor.idx : null)] },
    }, this.columns, this.canvas);
  }
}

const hour = (at, second) => new Date(at * 1000).toLocaleTimeString([], {
  hour: "2-digit", minute: "2-digit", second: second ? "2-digit" : undefined, hour12: false,
});

const short = (tick, words) => (words === rate ? (tick === 0 ? "0" : rate(tick).replace(/\.0$/, "")) : milliseconds(tick).replace(/\.0+ /, " ").replace("0.00 ms", "0"));
