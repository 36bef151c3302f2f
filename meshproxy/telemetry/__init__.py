"""Telling: counts for /metrics, lines for the log. Adds while requests run, spells later."""
