"""Deciders: numbers in, answer out. No siblings' state, no clock, no entropy, no asyncio."""
