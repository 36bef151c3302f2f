"""Chunked bodies: the same result however they are cut, and no more than they should be."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.dataplane.chunks import Dechunker


def decode(data: bytes, cuts: list[int] | None = None) -> tuple[bytes, bytes] | None:
    """The body and what follows it; None if any feed was refused or the end is missing."""
    dechunker = Dechunker()
    body, rest = b"", b""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts or []}), len(data)]
    for start, end in pairwise(edges):
        if dechunker.done:
            rest += data[start:end]
            continue
        taken = dechunker.feed(data[start:end])
        if taken is None:
            return None
        body += b"".join(taken[0])
        rest += taken[1]
    return (body, rest) if dechunker.done else None


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=60)),
    cuts=st.lists(st.integers(0, 2000), max_size=20),
    trailer=st.sampled_from([b"", b"X-T: 1\r\n", b"A: b\r\nC: d\r\n"]),
    rest=st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"]),
)
def test_every_cut_gives_the_same_body_and_the_same_end(
    pieces: list[bytes], cuts: list[int], trailer: bytes, rest: bytes
) -> None:
    chunks = b"".join(b"%x;q=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    data = chunks + b"0\r\n" + trailer + b"\r\n" + rest
    assert decode(data, cuts) == (b"".join(pieces), rest)


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"\r\n",
        b"g\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"0" * 17 + b"5\r\nhello\r\n0\r\n\r\n",
        b"f" * 16 + b"\r\nx",
        b"5;" + b"a" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
        b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 1000 + b"0\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100000])
def test_what_is_no_chunked_body_is_refused(data: bytes, step: int) -> None:
    assert decode(data, list(range(0, len(data), step))) is None


def test_many_tiny_chunks_are_fine() -> None:
    assert decode(b"1\r\nx\r\n" * 10000 + b"0\r\n\r\n") == (b"x" * 10000, b"")


def test_a_request_may_not_spend_more_on_its_chunks_than_on_its_data() -> None:
    one, many = Dechunker(thrifty=True), Dechunker(thrifty=True)
    for _ in range(4_000):
        assert one.feed(b"1\r\nx\r\n") is not None
    assert any(many.feed(b"1\r\nx\r\n") is None for _ in range(6_000))


def test_chunks_of_a_few_bytes_go_on_for_ever() -> None:
    dechunker = Dechunker(thrifty=True)
    assert all(dechunker.feed(b"2\r\nxy\r\n" * 100) is not None for _ in range(1000))


def test_an_answer_may_come_byte_by_byte() -> None:
    dechunker = Dechunker()
    assert all(dechunker.feed(b"1\r\nx\r\n" * 100) is not None for _ in range(500))


def test_a_row_of_tiny_chunks_is_refused_within_a_read() -> None:
    assert Dechunker(thrifty=True).feed(b"1\r\nx\r\n" * 10_000) is None


def test_many_pieces_of_one_read_go_on_as_one() -> None:
    taken = Dechunker().feed(b"1\r\nx\r\n" * 1000)
    assert taken == ([b"x" * 1000], b"")
