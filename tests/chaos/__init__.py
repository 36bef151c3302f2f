"""Faults of upstreams, played on purpose, and the proof that callers feel little of them.

`relay` spoils connections, `echo` is the upstream that is killed and stopped, `served` runs
behind gunicorn and uvicorn, `traffic` asks at a steady rate, `checker` accounts for every
request, and `virtual` is the sidecar without sockets, where a minute takes no time. The tests
carry the numbers of the fault catalogue (F23 and so on); what needs minutes is `make resilience`.
"""
