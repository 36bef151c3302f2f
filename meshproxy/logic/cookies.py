"""What a Cookie field says under one name. Nothing else of it is read or judged."""

from __future__ import annotations


def cookie(field: bytes | None, name: bytes) -> bytes:
    """The value of the first cookie of that name (RFC 6265 section 5.4); empty without one.

    Several Cookie lines arrive joined by commas, which no value may hold (section 4.1.1).
    """
    if not field or name not in field:
        return b""
    for pair in field.replace(b",", b";").split(b";"):
        key, _, value = pair.partition(b"=")
        if key.strip() == name:
            return value.strip()
    return b""
