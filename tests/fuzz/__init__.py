"""Mutated requests and answers against the real data plane, with no socket and no clock.

`make fuzz` runs it. `scripts` makes conversations from a seed, `world` plays them, `oracle`
judges what came of them with a reader of its own (`strict`), `campaign` runs many of them and
`shrink` makes a finding small. What was ever found stays in `found` and is replayed.
"""
