"""PROCESSES: one sidecar of several workers, and what these know together.

What is shared has one writer for each cell, so that no lock can be left behind by a worker that
was killed in the middle of something: a reader finds the old value or the new one. Where one of
several must win (a probe of a half-open circuit) the kernel keeps the lease and takes it back
from the dead. Nothing here knows what a limit or a breaker is.
"""
