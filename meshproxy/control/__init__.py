"""Control: what steers the sidecar and what it tells of itself.

Reload and watch decide when a config takes over; probes and admin answer on two ports through
aiohttp, which lives here and nowhere else. They see the running sidecar as a `view.View`.
"""
