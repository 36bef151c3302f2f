"""Policies: one file each, a frozen Spec (its YAML) and the object with the phase methods.

A policy never sees a socket, a clock or the file; it is given `now`, randomness and cells
of the ledger through its Scope.
"""
