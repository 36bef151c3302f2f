"""meshproxy: the service-mesh sidecar that a developer can read, extend and trust.

This page is the map; tests/test_house.py holds the code to it.

Words. *Downstream* called us, *upstream* is called. An *exchange* is one request and its
answer, an *attempt* one try of it. A *route* is a compiled row of the file, a *snapshot* a
whole compiled file.

Rooms. Reading down is dependency: a room imports only what stands below it here.

    __main__      the command line; loads nothing but the chosen command
    commands/     one file per thing a person types
        arguments  sources  run  check  starter  remote  tap  top  screen  events
        explain  prose  inject  inject_words  workloads  pods  shapes
        edits  anew  documents  scalars
    supervisor    several workers: forks them, owns their sockets, looks after them
    worker        the app as one worker of several, tied to the others
    app           the composition root: a sidecar's life, and the only place that knows every room
    leaving       a sidecar's end, step by step
    ties          what an app hears of others: of other workers, and that it is to end
    shown         the running sidecar as the two HTTP ports see it
    parts         what a sidecar is made of, wired to each other
    control/      what steers the sidecar and tells of it; the only home of aiohttp
        watch  reload  changes  history  spelled  view  ports  door  serving  probes  admin
        health  strain  memory  export  courier  collector  tap  live  observer  summary
        rulebook  followed  company  orders  command  child  given  presence  notify  sockets
        successor  terminal
        steer  dashboard  lag  debug  tasks  heap  sampling  explain  offline
    dataplane/    BYTES: protocol shells around a conductor that knows no socket
        front  listener  downstream  conductor  pool  dial  upstream  link  tunnel  flow
        choice  endings  races  keeping  throttle
        parting  room  intake  relief  stalls  sides  deadlines  heads  chunks  fields  kinds
        requests  targets  rare  refusals  answers
        foresight  rewrites  bounds  samples
    telemetry/    counts and lines; the hot side only adds
        metrics  series  families  exposition  process  istio  access_log  log  lines  otlp  story
        sums  tap  columns  figures  recent  versions  bugs  stacks  profile  flame
    fleet/        PROCESSES: what several workers share, and how they are started and told
        board  member  channel  tie  crew  stacks
    settings/     the file: YAML to a model, the model to a snapshot
        load  variables  inherit  schema  words  matches  addresses  allowed  future
        validate  meaning  wiring  views  sentences  errors  otel  origins
        compile  chains  routes  common  targets  tables  forward  json_schema  packaged
    policies/     one file each: a Spec (its YAML) and an object with phase methods
        contract  registry  tracing  told  recording  export  rate_limit  limits  gates  keys
        priority  overload  sheds  concurrency  places  learner  played
        shadow  circuit_breaker  circuits  shadow_breaker  shared_breaker  panic  health_check
        retries  fallback  deadlines  hedge  faults
        cache  cache_store  cache_keys  cache_flights  cache_intake
        cache_foreseen
        load_balancer  balancers  ring_hash  tiers  slow_start  sticky
    core/         NOUNS: exchange  verdict  route  ledger  report  checkup  classify  fields
                  spans  selection  explanation  foretold  sharing
    logic/        DECIDERS: numbers in, answer out; no clock, no entropy, no I/O
        bucket  window  keyed  forwarded  breaker  tally  retry  balance  turns
        ring  cookies  trace  match  cover  path  destination  units  deadline  latency
        gradient  line  rehearsal  pressure  caching  freshness  health  quantile
        filter  filter_text  odds  worst_case  upkeep  drain

The walk of a request, across the rooms.

    listener     accepts, and makes a Downstream
    downstream   waits for a whole head; `requests` reads it into an Exchange or refuses it,
                 and llhttp (`heads`) judges the same bytes before anything is dialled
    conductor    begin: the table finds the route and pins it on the exchange;
                 every `admit` may refuse or hold it (tracing, rate limits, concurrency)
                 attempt: `pick` chooses among the endpoints that every `eligible` allows;
                 every `depart` readies this try (probe claimed, trace headers written)
    pool         an idle connection, or a dial and a place in the queue
    upstream     sends the head and streams the body; of the answer's bytes `answers` makes
                 the client's, `chunks` finds where a body ends
    conductor    answered, or failed: every `settle` learns; `retry` may ask for one more
                 try, as long as nothing of the answer has left; every `respond` edits it
                 conclude: exactly once, however it ended: deferred releases, counts, log

Nothing on that way is a coroutine: no task, future, event or timer per request. What waits,
waits in a pool's queue, in a dial (one task per connection), or in `deadlines`, which has one
timer for all exchanges.

The walk of a reload. `watch` sees a change (or SIGHUP, or POST /reload asks); `reload` has the
app validate and compile it against the live ledger and bind what is new; one step without an
await swaps plans, keeps the ledger's cells that are still named and retires the rest. Anything
wrong before that step leaves the old one in force. Exchanges in flight keep the route they
have pinned. Three lifetimes, three homes: a Spec is replaced, a ledger cell (tokens, circuits,
endpoints with their pools) lives on, an Exchange ends.

A new policy is one file in policies/, one line in its registry and one test file; schema,
errors, `check`, /config, /metrics and the order of the walk follow from those.
"""

__version__ = "0.1.0"
