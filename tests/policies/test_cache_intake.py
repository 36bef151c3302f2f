"""What an upstream's answer does to what is stored; and what is too large never gets in."""

from __future__ import annotations

import pytest

from meshproxy.policies.cache_store import OVERHEAD

from .cache_scene import FRESH, TAGGED, Play, Told, answer


def test_nothing_that_is_one_callers_is_stored() -> None:
    play = Play()
    for fields in ([FRESH, "Set-Cookie: a=1"], ["Cache-Control: private"], []):
        play.fetch(answer(*fields))
    assert play.store.bytes == 0
    assert play.at_rest()


def test_a_body_in_chunks_is_stored_whole_and_without_its_framing() -> None:
    play = Play()
    client = play.ask()
    play.asked()
    head = f"HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for piece in (head + b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"):
        play.answers(piece)
    assert client.hears().endswith(b"0\r\n\r\n")
    told = play.hit()
    assert told == (200, "HIT", "abcde")
    assert "transfer-encoding" not in told.fields
    assert play.at_rest()


def test_a_body_that_broke_off_is_not_stored() -> None:
    """RFC 9111 section 3.3."""
    play = Play()
    play.ask()
    play.asked()
    play.answers(answer(FRESH, body="abcdef")[:-3])
    play.stage.hang_up(play.up, ConnectionResetError())
    assert play.store.bytes == 0
    assert play.at_rest()


def test_an_answer_without_a_body_is_stored() -> None:
    play = Play()
    play.fetch(answer(FRESH, status=204))
    told = play.hit()
    assert told == (204, "HIT", "")
    assert "content-length" not in told.fields


def test_a_redirect_and_an_absence_are_stored_if_they_say_so() -> None:
    play = Play(ttl="30s")
    play.fetch(answer(FRESH, "Location: /b", status=302), "/a")
    assert play.hit("/a").fields["location"] == "/b"
    play.fetch(answer(FRESH, status=404, body="no"), "/c")
    assert play.hit("/c") == (404, "HIT", "no")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_bound_passes_by(chunked: bool) -> None:
    play = Play(max_body="1KiB", max_bytes="64KiB")
    body = "x" * 1025
    data = answer(FRESH, body=body)
    if chunked:
        head = f"HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n"
        data = f"{head}401\r\n{body}\r\n0\r\n\r\n".encode()
    play.fetch(data)
    assert play.store.bytes == 0
    assert play.at_rest()
    assert play.fetch(answer(FRESH, body="y" * 1024)).cache == "MISS"
    assert play.store.bytes > 1024


def test_bodies_on_their_way_in_take_no_more_than_all_that_is_stored_may() -> None:
    play = Play(max_body="40KiB", max_bytes="64KiB")
    for target in ("/a", "/b"):
        client = play.ask(target)
        play.asked()
        play.answers(answer(FRESH, body="x" * 40_000)[:-1])
        assert client.hears()
    assert play.store.pending <= 64 * 1024
    for up in play.stage.connections:
        play.stage.answer(up, b"x")
    assert len(play.store.entries) == 1
    assert play.at_rest()


def test_the_least_recently_used_makes_room() -> None:
    play = Play(max_bytes="64KiB", max_body="64KiB")
    size = 20 * 1024 - OVERHEAD
    for target in ("/a", "/b", "/c"):
        play.fetch(answer(FRESH, body="x" * size), target)
    play.hit("/a")
    play.fetch(answer(FRESH, body="x" * size), "/d")
    for target in ("/a", "/c", "/d"):
        assert play.hit(target).cache == "HIT"
    assert play.fetch(answer(), "/b").cache == "MISS"
    assert play.store.evicted == 1


def test_what_may_not_be_stored_any_more_is_forgotten() -> None:
    """RFC 9111 section 4.3.3."""
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH))
    play.time.pass_by(61.0)
    play.fetch(answer("Cache-Control: no-store", body="two"))
    assert play.fetch(answer(status=503, body="no")).status == 503


@pytest.mark.parametrize("status", [408, 429, 500])
def test_an_upstream_in_trouble_says_nothing_of_what_is_stored(status: int) -> None:
    play = Play(stale_while_revalidate="0s", stale_if_error="0s")
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    assert play.fetch(answer(status=status)).status == status
    assert play.fetch(answer(FRESH, TAGGED, status=304)) == (200, "HIT", "one")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPPATCH"])
def test_a_write_invalidates_what_it_names_and_points_to(method: str) -> None:
    """RFC 9111 section 4.4."""
    play = Play()
    for target in ("/a", "/b", "/c", "/d"):
        play.fetch(answer(FRESH), target)
    told = answer("Location: /b", "Content-Location: http://host/c", status=201)
    play.fetch(told, "/a", method=method)
    for target in ("/a", "/b", "/c"):
        assert play.fetch(answer("Cache-Control: no-store"), target).cache == "MISS"
    assert play.hit("/d").cache == "HIT"


@pytest.mark.parametrize(("method", "status"), [("POST", 404), ("POST", 500), ("OPTIONS", 200)])
def test_a_write_that_failed_and_a_safe_method_invalidate_nothing(method: str, status: int) -> None:
    play = Play()
    play.fetch(answer(FRESH))
    play.fetch(answer(status=status), method=method)
    assert play.hit().cache == "HIT"


def test_what_was_asked_for_before_a_write_is_not_stored_after_it() -> None:
    play = Play()
    reader = play.ask()
    play.asked()
    up = play.up
    play.time.pass_by(1.0)
    play.fetch(answer(), method="POST")
    play.up = up
    play.answers(answer(FRESH, body="old"))
    assert Told(reader.hears()).body == "old"
    assert play.fetch(answer(FRESH, body="new")).body == "new"


def test_what_is_on_its_way_at_a_purge_is_not_stored() -> None:
    play = Play()
    play.ask()
    play.asked()
    play.store.purge("", "", play.time.now)
    play.answers(answer(FRESH))
    assert play.store.bytes == 0


def test_a_304_that_forbids_storing_is_obeyed() -> None:
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    told = answer("Cache-Control: no-store", TAGGED, status=304)
    assert play.fetch(told) == (200, "HIT", "one")
    assert play.store.bytes == 0


def test_a_304_of_another_version_is_not_believed_for_long() -> None:
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    assert play.fetch(answer(FRESH, 'ETag: "b"', status=304)).body == "one"
    assert play.store.bytes == 0


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ([TAGGED, "Content-Length: 3"], True),
        ([TAGGED], True),
        (['ETag: "b"', "Content-Length: 3"], False),
        ([TAGGED, "Content-Length: 4"], False),
        ([TAGGED, "Last-Modified: today"], False),
    ],
)
def test_a_head_that_tells_of_another_body_makes_it_forget(fields: list[str], kept: bool) -> None:
    """RFC 9111 section 4.3.5."""
    play = Play()
    play.fetch(answer(FRESH, TAGGED))
    lines = "".join(f"{field}\r\n" for field in fields)
    play.fetch(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode(), "/", "Cache-Control: no-cache",
               method="HEAD")  # fmt: skip
    assert bool(play.store.bytes) == kept


def test_what_another_cache_said_of_itself_is_not_repeated() -> None:
    play = Play()
    told = play.fetch(answer(FRESH, "X-Cache: HIT", "Server: s"))
    assert (told.cache, told.fields["server"]) == ("MISS", "s")
    assert play.hit().cache == "HIT"


def test_an_answer_that_can_never_be_given_is_not_stored() -> None:
    play = Play()
    play.fetch(answer("Cache-Control: no-cache"))
    assert play.store.bytes == 0
