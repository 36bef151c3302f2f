"""End-to-end tests: the real command, real sockets, and peers that misbehave on purpose.

Each module starts the sidecar as a user does and judges it by bytes, files and signals alone.
Nothing here imports the package under test.
"""
