"""Commands: one file per thing a person types, and what they share.

`arguments` knows the words of the command line, `sources` where a config comes from, `remote`
how to ask a running sidecar. Each command imports what it needs inside its own file, which
is imported only when it is called: a health check runs every few seconds for ever.
"""
