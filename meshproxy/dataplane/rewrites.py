"""What becomes of a request's head on its way through: dropped, changed and added fields.

Compares what was asked with the bytes that would go on. Knows no rule by which they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshproxy.core.exchange import Exchange
from meshproxy.core.foretold import Question, Rewrites


def rewrites(question: Question, exchange: Exchange, head: bytes) -> Rewrites:
    """`head` is what the first attempt would send."""
    start, *lines = head.decode("latin-1").split("\r\n")[:-2]
    pairs = (line.partition(":") for line in lines)
    given = _by_name(question.fields)
    sent = _by_name((name, value.strip(" \t")) for name, _, value in pairs)
    return Rewrites(
        canonical=exchange.target.decode("latin-1"),
        sent=start.split(" ")[1],
        added=tuple((name, value) for name, value in sent.items() if name not in given),
        changed=tuple(
            (name, value) for name, value in sent.items() if name in given and given[name] != value
        ),
        dropped=tuple(name for name in given if name not in sent),
        head=head,
    )


def _by_name(fields: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Several lines of one name are one list (RFC 9110 section 5.3)."""
    found: dict[str, str] = {}
    for name, value in fields:
        lower = name.lower()
        found[lower] = f"{found[lower]}, {value}" if lower in found else value
    return found
