// The table of routes: sortable, and each row a way to its charts.

import { $, Rows, empty, h, mark, milliseconds, percent, rate, set, write } from "./dom.js";
import { routeKey } from "./stream.js";

const COLUMNS = [
  { id: "route", label: "Route", value: (row) => row.route, words: true },
  { id: "upstream", label: "Upstream", value: (row) => row.upstream, words: true },
  { id: "rps", label: "Req/s", value: (row) => row.now?.rps, write: rate },
  { id: "success", label: "Success", value: (row) => row.now?.success, write: percent },
  { id: "errors", label: "Errors/s", value: (row) => row.now?.errors, write: rate },
  { id: "p50", label: "p50", value: (row) => row.now?.p50, write: milliseconds },
  { id: "p95", label: "p95", value: (row) => row.now?.p95, write: milliseconds },
  { id: "p99", label: "p99", value: (row) => row.now?.p99, write: milliseconds },
  { id: "in_flight", label: "In flight", value: (row) => row.in_flight, write: String },
  { id: "limited", label: "Limited/s", value: (row) => row.now?.limited, write: rate },
  { id: "retries", label: "Retries/s", value: (row) => row.now?.retries, write: rate },
];
const TROUBLE = { success: (value) => value != null && value < 0.99, errors: (value) => value > 0, limited: () => false };

export class Routes {
  constructor(ring, choose) {
    this.ring = ring;
    this.choose = choose;
    this.order = { id: "", down: true };
    this.heads = COLUMNS.map((column) => h("th", { scope: "col", class: column.words ? "" : "number" },
      h("button", { type: "button", class: "sort", click: () => this.sort(column) }, column.label)));
    this.body = h("tbody");
    this.none = empty("No route has been asked for anything, and the file names none: see ",
      h("a", { href: "#config" }, "the config"), ".");
    this.table = h("div", { class: "wide" }, h("table", { class: "routes" },
      h("thead", {}, h("tr", {}, ...this.heads)), this.body));
    $("routes-body").append(this.table, this.none);
    this.rows = new Rows(this.body, () => this.row());
  }

  sort(column) {
    const same = this.order.id === column.id;
    this.order = same && this.order.down !== !column.words ? { id: "", down: true }
      : { id: column.id, down: same ? !this.order.down : !column.words };
    COLUMNS.forEach((one, at) => set(this.heads[at], "aria-sort",
      this.order.id === one.id && (this.order.down ? "descending" : "ascending")));
    if (this.latest) this.update(this.latest);
  }

  update(event) {
    this.latest = event;
    const rows = event.routes.map((route) => ({ ...route, now: this.ring.recent(routeKey(route)) }));
    const column = COLUMNS.find((one) => one.id === this.order.id);
    if (column) {
      const sign = this.order.down ? -1 : 1;
      const known = (row) => column.value(row) ?? (column.words ? "" : -1);
      rows.sort((a, b) => sign * (column.words ? known(a).localeCompare(known(b)) : known(a) - known(b)));
    }
    this.none.hidden = rows.length > 0;
    this.table.hidden = !rows.length;
    this.rows.update(rows, routeKey);
  }

  row() {
    let key = "";
    const name = h("button", { type: "button", class: "link", title: "Show its charts", click: () => this.choose(key) });
    const way = h("span", { class: "quiet way" });
    const to = h("span", { class: "quiet way narrow" });
    const cells = COLUMNS.map((column) => (column.id === "route"
      ? h("th", { scope: "row" }, name, " ", way, to)
      : h("td", { class: `${column.words ? "" : "number "}c-${column.id}`, "data-label": column.label })));
    const update = (route) => {
      key = routeKey(route);
      write(name, route.route);
      write(way, route.direction);
      write(to, ` to ${route.upstream}`);
      COLUMNS.forEach((column, at) => {
        if (column.id === "route") return;
        const value = column.value(route);
        write(cells[at], column.words ? value : column.write(value ?? null));
        mark(cells[at], "bad", TROUBLE[column.id]?.(value));
        mark(cells[at], "zero", !value);
      });
    };
    return { node: h("tr", {}, ...cells), update };
  }
}
