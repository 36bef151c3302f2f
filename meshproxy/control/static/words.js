// What the proxy's short words mean, for people who meet them at three in the morning.

export const REASONS = {
  NR: "no route takes this request",
  UH: "no endpoint of the upstream is healthy",
  UF: "the connection to the upstream failed",
  UC: "the upstream closed the connection before its answer was whole",
  UT: "the upstream did not answer in time",
  UO: "kept away: a circuit breaker is open or a queue is full",
  URX: "every retry that was allowed has been used up",
  RL: "a rate limit is used up",
  DC: "the client left before it had its answer",
  SI: "nothing moved on the connection for too long",
  IH: "the request is not valid HTTP, or larger than is allowed",
  UPE: "the upstream's answer is not valid HTTP",
  FI: "a fault was injected on purpose",
  DR: "the sidecar is draining",
};

/** `UT,URX` as a sentence. */
export function reason(codes) {
  const told = String(codes ?? "").split(",").filter(Boolean).map((code) => REASONS[code] ?? code);
  return told.join("; ");
}

export const CIRCUITS = {
  closed: "closed: traffic passes",
  open: "open: no traffic is sent here",
  half_open: "half-open: a few requests try whether it is well",
};

export const FORCES = {
  open: {
    button: "Open", title: "Force this breaker open?", yes: "Force open",
    says: (name, upstream) => `No request for ${upstream} will be sent to ${name}, until the next reload or until you set it back to auto. If no other endpoint is left, callers get 503.`,
  },
  closed: {
    button: "Closed", title: "Force this breaker closed?", yes: "Force closed",
    says: (name, upstream) => `Requests for ${upstream} will go to ${name} even while it fails, until the next reload or until you set it back to auto. Health checks still count.`,
  },
  auto: {
    button: "Auto", title: "Let the breaker decide again?", yes: "Set to auto",
    says: (name) => `${name} follows its rule again. If it was held open, a probe tries it first.`,
  },
};

export const MODES = {
  off: "off: admits everyone, counts nothing",
  shadow: "shadow: admits everyone, counts whom it would refuse",
  enforce: "enforce: refuses what is too much",
};
