// The page's hands: makes elements, keeps lists in step with data, writes numbers.
//
// Whatever comes from traffic or from the config gets into the page as text and in no other way:
// nothing here, or anywhere, parses markup.

export const $ = (id) => document.getElementById(id);

const FORBIDDEN = /^(on|style$|srcdoc$)/i;

/** An element. Functions become listeners, `true` an empty attribute; children that are no nodes
 *  become text. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value != null && !FORBIDDEN.test(name)) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** Set a text only where it is another one: no selection is lost, nothing is laid out anew. */
export function write(node, text) {
  const wanted = text == null ? "" : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function mark(node, name, on) {
  if (node.classList.contains(name) !== Boolean(on)) node.classList.toggle(name, Boolean(on));
}

export function set(node, name, value) {
  if (value == null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Children of one parent, one per item, told apart by a key. `make()` gives {node, update}.
 *  Whoever works in the list with keyboard or mouse does not have it moved away. */
export class Rows {
  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
    this.rows = new Map();
  }

  update(items, key) {
    const seen = new Map();
    for (const item of items) {
      const name = key(item);
      if (seen.has(name)) continue;
      const row = this.rows.get(name) ?? this.make(item);
      row.update(item);
      seen.set(name, row);
    }
    for (const [name, row] of this.rows) if (!seen.has(name)) row.node.remove();
    const busy = this.parent.contains(document.activeElement) || this.parent.matches(":hover");
    const before = this.rows;
    this.rows = seen;
    let at = this.parent.firstChild;
    for (const [name, row] of seen) {
      if (busy && before.has(name)) continue;
      if (row.node === at) at = at.nextSibling;
      else this.parent.insertBefore(row.node, busy ? null : at);
    }
  }
}

/** What stands where there is nothing to show, and what to do about it. */
export function empty(...children) {
  return h("p", { class: "empty" }, ...children);
}

// Numbers. `–` is "not known", never zero.

export const NONE = "–";

export function rate(value) {
  if (value == null) return NONE;
  if (value === 0) return "0";
  if (value >= 100000) return `${(value / 1000).toFixed(0)}k`;
  if (value >= 10000) return `${(value / 1000).toFixed(1)}k`;
  if (value >= 100) return value.toFixed(0);
  return value >= 0.095 ? value.toFixed(1) : "<0.1";
}

export function milliseconds(value) {
  if (value == null) return NONE;
  if (value >= 9995) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 999.5) return `${(value / 1000).toFixed(2)} s`;
  return `${value >= 99.5 ? value.toFixed(0) : value >= 9.95 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

/** Cut, not rounded: 100% is only what is. */
export function percent(share) {
  if (share == null) return NONE;
  const text = (Math.floor(share * 10000 + 1e-9) / 100).toFixed(2);
  return `${text.replace(/\.?0+$/, "")}%`;
}

export function bytes(value) {
  if (value == null) return NONE;
  const step = value >= 1 << 30 ? 30 : value >= 1 << 20 ? 20 : 10;
  const size = value / 2 ** step;
  return `${size.toFixed(size < 10 ? 1 : 0)} ${{ 10: "KiB", 20: "MiB", 30: "GiB" }[step]}`;
}

export function seconds(value) {
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} days`;
}

export function clock(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? String(text) : time.toLocaleTimeString([], { hour12: false });
}

export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
