"""Load and cost of meshproxy, measured from outside the package.

`bench` compares the CPU cost of a request with Envoy, nginx, HAProxy and aiohttp,
`bench_exchange` takes the sockets away, `features` says what each feature adds, `load` drives
the locust scenarios of `locustfile` against a real sidecar and real origins, and `stalls` measures
what clients that misbehave cost the others. `scrape`
measures how long a scrape of /metrics holds the event loop, and `tap` what it costs to be watched.
"""
