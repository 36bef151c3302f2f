"""Cuts a head at the fields that matter; all others pass as the bytes they are.

One regular expression per set of names finds them in C, so a field of no interest costs
nothing here. It takes a name in any case, at the start of a line and right before a colon,
which is all that llhttp lets through as a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Split = Callable[[bytes], list[bytes]]


def splitter(names: Iterable[bytes], prefixes: Iterable[bytes] = ()) -> Split:
    """A function from a head to [before, name, value, between, name, value, ..., after].

    The head comes without its last two line ends, and starts with its first line. `prefixes`
    stand for every name that begins with one of them. A hyphen is also found written as an
    underscore, so that no such imitation passes unseen.
    """
    endings = dict.fromkeys(names, b"") | dict.fromkeys(prefixes, rb"[^:\r\n]*")
    by_letter: dict[bytes, list[bytes]] = {}
    for name in sorted(endings):
        rest = re.escape(name[1:]).replace(rb"\-", b"[-_]") + endings[name]
        by_letter.setdefault(name[:1], []).append(rest)
    # The first letter in both cases, and outside of (?i:...): the engine skips by it quickly.
    each = [
        b"[%b%b](?i:%b)" % (letter.lower(), letter.upper(), b"|".join(rests))
        for letter, rests in by_letter.items()
    ]
    return re.compile(rb"\r\n(" + b"|".join(each) + rb"):[ \t]*([^\r\n]*)").split
