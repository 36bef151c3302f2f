"""Bytes: asyncio protocol shells around a conductor that knows no socket.

`requests` and `answers` are the only files that spell HTTP/1.1; the parser underneath is
llhttp, and everything it leaves to its user (framing, hosts, sizes) is decided there.
"""
