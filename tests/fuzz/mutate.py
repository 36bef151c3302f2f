"""Ways to spoil a message: bytes, words, lines, bodies and splices. All from one Random.

Each takes the source of chance and a message, and returns another message; none looks at what
the proxy makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from tests.fuzz.corpus import ANSWERS, LINES, REQUESTS, WORDS

T = TypeVar("T")
Mutator = Callable[[Random, bytes], bytes]

LARGEST = 6000


def pick(rng: Random, among: Sequence[T]) -> T:
    """Like rng.choice, at a third of its price."""
    return among[int(rng.random() * len(among))]


def below(rng: Random, end: int) -> int:
    return int(rng.random() * end)


def _place(rng: Random, data: bytes) -> tuple[int, int]:
    """Where something short begins and ends."""
    at = below(rng, len(data) + 1)
    return at, min(len(data), at + below(rng, 9))


# ---- bytes and words


def flip(rng: Random, data: bytes) -> bytes:
    at = below(rng, len(data))
    return data[:at] + bytes([data[at] ^ (1 << below(rng, 8))]) + data[at + 1 :] if data else data


def change(rng: Random, data: bytes) -> bytes:
    at = below(rng, len(data))
    return data[:at] + bytes([below(rng, 256)]) + data[at + 1 :]


def delete(rng: Random, data: bytes) -> bytes:
    at, end = _place(rng, data)
    return data[:at] + data[end:]


def repeat(rng: Random, data: bytes) -> bytes:
    at, end = _place(rng, data)
    return data[:end] + data[at:end] * (1 + below(rng, 3)) + data[end:]


def truncate(rng: Random, data: bytes) -> bytes:
    return data[: below(rng, len(data) + 1)]


def insert_word(rng: Random, data: bytes) -> bytes:
    at = below(rng, len(data) + 1)
    return data[:at] + pick(rng, WORDS) + data[at:]


def overwrite_word(rng: Random, data: bytes) -> bytes:
    at, end = _place(rng, data)
    return data[:at] + pick(rng, WORDS) + data[end:]


def replace_word(rng: Random, data: bytes) -> bytes:
    """One of the words in the first line or in a value becomes another."""
    words = data.split(b" ")
    words[below(rng, len(words))] = pick(rng, WORDS)
    return b" ".join(words)


# ---- lines of the head


def _on_lines(edit: Callable[[Random, list[bytes]], None]) -> Mutator:
    def mutator(rng: Random, data: bytes) -> bytes:
        head, end, body = data.partition(b"\r\n\r\n")
        start, *lines = head.split(b"\r\n")
        edit(rng, lines)
        return b"\r\n".join([start, *lines]) + end + body

    return mutator


@_on_lines
def add_line(rng: Random, lines: list[bytes]) -> None:
    lines.insert(below(rng, len(lines) + 1), pick(rng, LINES))


@_on_lines
def repeat_line(rng: Random, lines: list[bytes]) -> None:
    if lines:
        times = 45 if rng.random() < 0.03 else 1
        lines[:0] = [pick(rng, lines)] * times


@_on_lines
def drop_line(rng: Random, lines: list[bytes]) -> None:
    if lines:
        del lines[below(rng, len(lines))]


@_on_lines
def swap_lines(rng: Random, lines: list[bytes]) -> None:
    if lines:
        lines.append(lines.pop(below(rng, len(lines))))


@_on_lines
def change_case(rng: Random, lines: list[bytes]) -> None:
    if lines:
        at = below(rng, len(lines))
        lines[at] = lines[at].swapcase()


@_on_lines
def change_value(rng: Random, lines: list[bytes]) -> None:
    if lines:
        at = below(rng, len(lines))
        name, _, _ = lines[at].partition(b":")
        lines[at] = name + b": " + pick(rng, WORDS)


# ---- bodies and whole messages


def rechunk(rng: Random, data: bytes) -> bytes:
    """The same body in chunks of other sizes, with what senders may add to them."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [one for one in head.split(b"\r\n") if not one.lower().startswith(b"content-length")]
    if b"chunked" not in head:
        lines.append(b"Transfer-Encoding: chunked")
    pieces = []
    while body:
        size = 1 + below(rng, len(body))
        extension = b";a=b" if rng.random() < 0.2 else b""
        zeros = b"00" if rng.random() < 0.1 else b""
        pieces.append(b"%b%x%b\r\n%b\r\n" % (zeros, size, extension, body[:size]))
        body = body[size:]
    trailer = b"X-T: 1\r\n" if rng.random() < 0.2 else b""
    return b"\r\n".join([*lines, b"", b""]) + b"".join(pieces) + b"0\r\n" + trailer + b"\r\n"


def more_body(rng: Random, data: bytes) -> bytes:
    return data + pick(rng, WORDS)


def splice(rng: Random, data: bytes) -> bytes:
    other = pick(rng, ANSWERS if data[:5] == b"HTTP/" else REQUESTS)
    return data[: below(rng, len(data) + 1)] + other[below(rng, len(other)) :]


MUTATORS: tuple[Mutator, ...] = (
    flip, change, delete, repeat, truncate, insert_word, overwrite_word, replace_word, add_line,
    add_line, add_line, repeat_line, drop_line, swap_lines, change_case, change_value,
    change_value, rechunk, more_body, splice,
)  # fmt: skip


def mutated(rng: Random, data: bytes) -> bytes:
    """One to four changes; the fewer the likelier, as a message spoiled twice is refused early."""
    times = 1
    while times < 4 and rng.random() < 0.35:
        times += 1
    for _ in range(times):
        if data:
            data = pick(rng, MUTATORS)(rng, data)
    return data[:LARGEST]
