"""One request, many readers: do they all see the same one.

The corpus goes through meshproxy to five servers of other authors, and through three other
proxies to an origin that keeps every byte. `servers` and `proxies` are who, `probe` is how a
request is sent and its traces are gathered, `page` writes RESULTS.md, and
`python -m tests.conformance.differential` runs the second comparison.
"""
