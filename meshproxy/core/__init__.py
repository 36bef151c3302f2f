"""Nouns: what the rooms talk about. Slots and frozen values, no I/O and no decisions."""
