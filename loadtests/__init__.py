"""Load and cost of meshproxy, measured from outside the package.

`bench` compares the CPU cost of a request with Envoy, nginx, HAProxy and aiohttp;
`bench_exchange` takes the sockets away, `features` says what each feature adds, `seen` what it
costs to be seen, `tap` to be watched, and `flat` and `scale` what growth costs. `load` drives the
locust scenarios of `locustfile` against a real sidecar and real origins, `stalls` measures what
clients that misbehave cost the others, `resilience` what callers feel of failing upstreams,
`soak` what stays behind after millions of requests, and `scrape` how long a scrape of /metrics
holds the event loop.
"""
