// The live connection: events in, with a word about how it stands, and the last five minutes.
//
// The browser's EventSource comes back by itself after a broken connection, but not after a
// refusal. Nothing is drawn here.

export const SPAN = 300;
const SILENCE = 5000;
const AGAIN = 2000;
const WINDOW = 10;

export class Stream {
  constructor(url, heard, lost) {
    this.url = url;
    this.heard = heard;
    this.lost = lost;
    this.last = 0;
    this.fresh = true;
    this.open();
    setInterval(() => this.look(), 1000);
  }

  open() {
    this.fresh = true;
    this.source = new EventSource(this.url);
    this.source.onmessage = (message) => {
      this.last = Date.now();
      this.heard(JSON.parse(message.data), this.fresh);
      this.fresh = false;
    };
    this.source.onerror = () => {
      this.fresh = true;
      const refused = this.source.readyState === EventSource.CLOSED;
      this.lost(refused);
      if (refused) this.again();
    };
  }

  look() {
    const silent = this.last && Date.now() - this.last > SILENCE;
    if (silent && this.source.readyState === EventSource.OPEN) {
      this.lost(false);
      this.source.close();
      this.again();
    }
  }

  again() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), AGAIN);
  }
}

/** One number per second and subject. The first event of a connection sums up all that was before
 *  it, so it is shown but not drawn. */
export class Ring {
  constructor() {
    this.points = [];
  }

  add(event, whole) {
    const at = Date.parse(event.at) / 1000;
    const latest = this.points.at(-1);
    if (latest && at - latest.at > SILENCE / 1000) this.points.push({ at: at - 1, of: new Map() });
    if (!whole) this.points.push({ at, of: figures(event) });
    while (this.points.length && this.points[0].at < at - SPAN) this.points.shift();
  }

  /** Columns for a chart: times, and one array per name of figure. */
  columns(subject, names) {
    const times = this.points.map((point) => point.at);
    const rows = this.points.map((point) => point.of.get(subject));
    return [times, ...names.map((name) => rows.map((row) => row?.[name] ?? null))];
  }

  /** The last ten seconds as one: sums of what is counted, means of percentiles by requests. */
  recent(subject) {
    const since = (this.points.at(-1)?.at ?? 0) - WINDOW;
    const rows = this.points.filter((p) => p.at > since).map((p) => p.of.get(subject)).filter(Boolean);
    if (!rows.length) return null;
    const sum = (name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);
    const mean = (name) => {
      const known = rows.filter((row) => row[name] != null);
      const weight = known.reduce((total, row) => total + row.requests, 0);
      return weight ? known.reduce((total, row) => total + row[name] * row.requests, 0) / weight : null;
    };
    const requests = sum("requests");
    const time = sum("seconds");
    return {
      requests,
      rps: requests / time,
      errors: sum("errors") / rows.length,
      errorCount: sum("errorCount"),
      success: requests ? 1 - sum("errorCount") / requests : null,
      limited: sum("limited") / rows.length,
      retries: sum("retries") / rows.length,
      p50: mean("p50"), p95: mean("p95"), p99: mean("p99"),
    };
  }
}

export const routeKey = (route) => `r\n${route.direction}\n${route.route}\n${route.upstream}`;

function figures(event) {
  const found = new Map();
  const per = event.seconds || 1;
  const take = (key, one, errors, requests = one.requests) => found.set(key, {
    seconds: per, requests, rps: requests / per, errorCount: errors, errors: errors / per,
    limited: (one.limited ?? 0) / per, retries: (one.retries ?? 0) / per,
    p50: one.p50_ms, p95: one.p95_ms, p99: one.p99_ms,
  });
  for (const [direction, one] of Object.entries(event.totals ?? {})) {
    const own = event.routes.filter((route) => route.direction === direction);
    const sum = (name) => own.reduce((total, route) => total + (route[name] ?? 0), 0);
    take(`t\n${direction}`, { ...one, limited: sum("limited"), retries: sum("retries") }, one.errors);
  }
  for (const route of event.routes) take(routeKey(route), route, route.errors);
  for (const one of event.upstreams) take(`u\n${one.name}`, one, one.failures, one.attempts);
  return found;
}
