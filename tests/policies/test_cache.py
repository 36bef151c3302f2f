"""A caller gets what is stored if it may, what is stale while it may, and else the upstream's."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange
from meshproxy.core.verdict import Failure, Refusal
from meshproxy.policies.cache import AGAIN, CacheSpec

from .cache_scene import FRESH, TAGGED, Play, Told, answer
from .limits_scene import exchange

THEN = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_a_fresh_answer_is_given_again_with_its_age() -> None:
    play = Play()
    assert play.fetch(answer(FRESH, "Server: s")) == (200, "MISS", "one")
    play.time.pass_by(7.9)
    told = play.hit()
    assert told == (200, "HIT", "one")
    assert (told.fields["age"], told.fields["server"]) == ("7", "s")
    assert told.fields["content-length"] == "3"
    assert play.counts == {"miss": 1, "hit": 1}
    assert play.at_rest()


def test_the_age_it_came_with_counts() -> None:
    """RFC 9111 section 4.2.3."""
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH, "Age: 50"))
    assert play.hit().fields["age"] == "50"
    play.time.pass_by(10.0)
    assert play.fetch(answer(FRESH, body="two")) == (200, "MISS", "two")


def test_a_head_is_answered_from_what_a_get_brought() -> None:
    play = Play()
    play.fetch(answer(FRESH))
    told = play.hit(method="HEAD")
    assert told == (200, "HIT", "")
    assert told.fields["content-length"] == "3"


def test_a_head_alone_stores_nothing() -> None:
    play = Play()
    play.fetch(answer(FRESH, body=""), method="HEAD")
    assert play.fetch(answer(FRESH)) == (200, "MISS", "one")


def test_methods_without_head_let_it_pass() -> None:
    play = Play(methods=["GET"])
    play.fetch(answer(FRESH))
    assert play.fetch(answer(FRESH, body=""), method="HEAD").cache is None


def test_answers_are_kept_apart_by_what_they_vary_by() -> None:
    """RFC 9111 section 4.1."""
    play = Play()
    vary = "Vary: Accept, X-Lang"
    play.fetch(answer(FRESH, vary), "/", "Accept: json", "X-Lang: de")
    play.fetch(answer(FRESH, vary, body="two"), "/", "Accept: json")
    assert play.hit("/", "Accept: json", "X-Lang: de").body == "one"
    assert play.hit("/", "X-Lang:  de ", "accept: json").body == "one"
    assert play.hit("/", "Accept: json").body == "two"
    assert play.fetch(answer(FRESH, vary, body="three"), "/", "X-Lang: de").body == "three"


def test_answers_are_kept_apart_by_what_the_file_says() -> None:
    play = Play(per=["header:x-tenant"])
    play.fetch(answer(FRESH), "/", "X-Tenant: a")
    play.fetch(answer(FRESH, body="two"), "/", "X-Tenant: b")
    assert play.hit("/", "X-Tenant: a").body == "one"
    assert play.hit("/", "X-Tenant: b").body == "two"


@pytest.mark.parametrize("field", ["Range: bytes=0-1", 'If-Match: "a"', 'If-Range: "a"'])
def test_a_part_passes_by_in_both_directions(field: str) -> None:
    play = Play()
    play.fetch(answer(FRESH))
    assert play.fetch(answer(FRESH, body="on", status=206), "/", field).cache is None
    assert play.hit().body == "one"
    assert play.counts["bypass"] == 1


def test_an_answer_to_credentials_is_for_others_only_if_it_says_so() -> None:
    """RFC 9111 section 3.5."""
    play = Play()
    play.fetch(answer(FRESH), "/", "Authorization: me")
    play.fetch(answer("Cache-Control: public, max-age=60"), "/", "Authorization: me")
    assert play.hit("/", "Authorization: you") == (200, "HIT", "one")


def test_a_cookie_that_is_not_part_of_the_key_keeps_ttl_from_sharing() -> None:
    play = Play(ttl="30s")
    play.fetch(answer(), "/", "Cookie: me")
    assert play.fetch(answer(body="two")) == (200, "MISS", "two")
    apart = Play(ttl="30s", per="header:cookie")
    apart.fetch(answer(), "/", "Cookie: me")
    assert apart.hit("/", "Cookie: me").body == "one"
    assert apart.fetch(answer(body="two"), "/", "Cookie: you").body == "two"


# Conditions


def test_a_caller_that_has_it_already_is_told_so() -> None:
    """RFC 9111 section 4.3.2."""
    play = Play()
    play.fetch(answer(FRESH, TAGGED, f"Last-Modified: {THEN}", "Server: s"))
    for condition in ('If-None-Match: W/"a"', f"If-Modified-Since: {THEN}"):
        told = play.hit("/", condition)
        assert told == (304, "HIT", "")
        assert told.fields["etag"] == '"a"'
        assert not told.fields.keys() & {"content-length", "server"}
    assert play.hit("/", 'If-None-Match: "b"') == (200, "HIT", "one")


def test_what_is_over_is_validated_and_given_again() -> None:
    """RFC 9111 sections 4.3.1 and 4.3.4."""
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH, TAGGED, "X-A: 1"))
    play.time.pass_by(61.0)
    client = play.ask()
    assert b'if-none-match: "a"\r\n' in play.asked()
    play.answers(answer(FRESH, TAGGED, "X-A: 2", status=304))
    told = Told(client.hears())
    assert told == (200, "HIT", "one")
    assert (told.fields["age"], told.fields["x-a"]) == ("0", "2")
    play.time.pass_by(59.0)
    assert play.hit() == (200, "HIT", "one")
    assert play.counts == {"miss": 1, "revalidated": 1, "hit": 1}
    assert play.at_rest()


def test_what_changed_takes_its_place() -> None:
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    assert play.fetch(answer(FRESH, 'ETag: "b"', body="two")) == (200, "MISS", "two")
    assert play.hit().body == "two"
    assert len(play.store.entries) == 1


def test_each_try_of_a_validation_asks_the_same() -> None:
    class Again:
        def retry(self, exchange: Exchange, now: float) -> float | None:
            return 0.0 if exchange.attempts == 1 else None

    play = Play(stale_while_revalidate="0s", beside=(Again(),))
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    client = play.ask()
    assert b"if-none-match" in play.asked()
    play.answers(answer(status=503))
    assert play.asked().count(b"if-none-match") == 1
    play.answers(answer(status=304))
    assert Told(client.hears()) == (200, "HIT", "one")


@pytest.mark.parametrize("first", [True, False])
def test_a_second_attempt_beside_a_validation_asks_for_the_whole(first: bool) -> None:
    class Hedge:
        def hedge(self, exchange: Exchange, now: float) -> float:
            return 1.0

        def rival(self, exchange: Exchange, now: float) -> bool:
            return True

    play = Play(stale_while_revalidate="0s", beside=(Hedge(),), endpoints=2)
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    callers = [play.ask() for _ in range(2)]
    assert b"if-none-match" in play.asked()
    validation = play.up
    play.time.pass_by(1.1)
    assert b"if-none-match" not in play.asked()
    if first:
        play.stage.answer(validation, answer(FRESH, TAGGED, status=304))
        assert [Told(one.hears()) == (200, "HIT", "one") for one in callers] == [True, True]
    else:
        play.answers(answer(FRESH, body="two"))
        assert Told(callers[0].hears()) == (200, "MISS", "two")
        assert Told(callers[1].hears()) == (200, "HIT", "two")
    assert play.at_rest()


def test_no_cache_is_validated_each_time() -> None:
    """RFC 9111 section 5.2.2.4."""
    play = Play()
    play.fetch(answer("Cache-Control: no-cache", TAGGED))
    for _ in range(2):
        assert play.fetch(answer(TAGGED, status=304)) == (200, "HIT", "one")
    assert play.counts == {"miss": 1, "revalidated": 2}


def test_a_callers_own_condition_goes_to_the_upstream_and_renews_what_it_names() -> None:
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    client = play.ask("/", 'If-None-Match: "a"')
    assert play.asked().lower().count(b"if-none-match") == 1
    play.answers(answer(FRESH, TAGGED, status=304))
    assert Told(client.hears()).status == 304
    assert play.hit() == (200, "HIT", "one")


def test_an_answer_of_another_version_renews_nothing() -> None:
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    play.fetch(answer(FRESH, 'ETag: "b"', status=304), "/", 'If-None-Match: "b"')
    assert play.fetch(answer(FRESH, body="two")) == (200, "MISS", "two")


# What a request says of itself


@pytest.mark.parametrize("said", ["no-cache", "max-age=20", "min-fresh=40"])
def test_a_trusted_caller_may_ask_for_something_fresher(said: str) -> None:
    play = Play()
    play.fetch(answer(FRESH))
    play.time.pass_by(30.0)
    assert play.hit("/", "Cache-Control: max-age=30, min-fresh=30").body == "one"
    assert play.fetch(answer(FRESH, body="two"), "/", f"Cache-Control: {said}").body == "two"
    assert play.hit().body == "two"


def test_what_was_asked_for_anew_in_vain_is_better_than_a_failure() -> None:
    play = Play()
    play.fetch(answer(FRESH))
    told = play.fetch(answer(status=500), "/", "Cache-Control: no-cache")
    assert told == (200, "HIT", "one")
    assert told.fields["x-fallback"] == "cache"


def test_a_stranger_gets_what_is_stored_whatever_it_asks_for() -> None:
    play = Play(trusted=False)
    play.fetch(answer(FRESH))
    assert play.hit("/", "Cache-Control: no-cache, max-age=0").cache == "HIT"


def test_no_store_is_not_stored() -> None:
    play = Play()
    play.fetch(answer(FRESH), "/", "Cache-Control: no-store")
    assert play.store.bytes == 0


def test_only_if_cached_does_not_reach_the_upstream() -> None:
    """RFC 9111 section 5.2.1.7."""
    play = Play()
    told = play.hit("/", "Cache-Control: only-if-cached")
    assert (told.status, told.fields["x-meshproxy-reason"]) == (504, "NC")
    play.fetch(answer(FRESH))
    assert play.hit("/", "Cache-Control: only-if-cached").body == "one"


def test_max_stale_takes_what_is_over() -> None:
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH))
    play.time.pass_by(70.0)
    client = play.ask("/", "Cache-Control: max-stale=10")
    assert Told(client.hears()) == (200, "STALE", "one")


# Stale


def test_a_stale_answer_will_do_while_one_asks_for_it_anew() -> None:
    play = Play(stale_while_revalidate="10s")
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    callers = [play.ask("/", 'If-None-Match: "x"') for _ in range(3)]
    for caller in callers:
        told = Told(caller.hears())
        assert told == (200, "STALE", "one")
        assert told.fields["age"] == "61"
    asked = play.asked()
    assert b'if-none-match: "a"\r\n' in asked
    assert not play.asked(), "one is enough"
    play.answers(answer(FRESH, 'ETag: "b"', body="two"))
    assert play.hit() == (200, "HIT", "two")
    assert play.counts == {"miss": 1, "stale": 3, "hit": 1}
    assert play.at_rest()


def test_a_304_in_the_background_makes_it_fresh() -> None:
    play = Play()
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    play.ask()
    play.asked()
    play.answers(answer(FRESH, TAGGED, status=304))
    told = play.hit()
    assert told == (200, "HIT", "one")
    assert told.fields["age"] == "0"


def test_a_renewal_that_fails_is_tried_again_after_a_while() -> None:
    play = Play()
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    for _ in range(3):
        assert Told(play.ask().hears()).cache == "STALE"
        assert play.asked()
        assert play.hit().cache == "STALE", "one is under way"
        play.answers(answer(status=500))
        assert play.hit().cache == "STALE", "one has just failed"
        play.time.pass_by(AGAIN)
    assert play.at_rest()


def test_a_renewal_that_takes_its_time_is_the_only_one() -> None:
    play = Play()
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    play.ask()
    assert play.asked()
    play.time.pass_by(AGAIN * 3)
    assert play.hit().cache == "STALE"


def test_a_renewal_that_never_reached_the_upstream_blocks_no_other_for_long() -> None:
    class Closed:
        closed = False
        refused = 0

        def barred(self, exchange: Exchange, now: float) -> Refusal | None:
            self.refused += 1
            return Refusal(503, "UO", "open")

        def eligible(self, endpoint: object, now: float) -> bool:
            return not self.closed

    breaker = Closed()
    play = Play(beside=(breaker,))
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    breaker.closed = True
    assert [play.hit().cache, play.hit().cache] == ["STALE", "STALE"]
    assert breaker.refused == 1
    play.time.pass_by(AGAIN)
    breaker.closed = False
    assert Told(play.ask().hears()).cache == "STALE"
    assert play.asked()


def test_after_that_time_it_is_asked_for() -> None:
    play = Play(stale_while_revalidate="10s")
    play.fetch(answer(FRESH))
    play.time.pass_by(70.1)
    assert play.fetch(answer(FRESH, body="two")) == (200, "MISS", "two")


@pytest.mark.parametrize("said", ["s-maxage=60", "max-age=60, must-revalidate"])
def test_an_answer_that_must_be_validated_is_never_stale(said: str) -> None:
    """RFC 9111 section 4.2.4."""
    play = Play()
    play.fetch(answer(f"Cache-Control: {said}", TAGGED))
    play.time.pass_by(61.0)
    assert play.fetch(answer(status=500)).status == 500


def test_an_answer_without_a_time_is_not_given_one() -> None:
    play = Play()
    play.fetch(answer("Cache-Control: max-age=0", TAGGED))
    assert play.fetch(answer(status=304)) == (200, "HIT", "one")


def test_its_own_word_goes_before_the_files() -> None:
    """RFC 5861."""
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer("Cache-Control: s-maxage=60, stale-while-revalidate=9"))
    play.time.pass_by(65.0)
    assert Told(play.ask().hears()).cache == "STALE"


# Where the upstream fails


@pytest.mark.parametrize("how", ["answer", "refused", "reset"])
def test_a_stale_answer_stands_in_for_a_failing_upstream(how: str) -> None:
    play = Play()
    play.fetch(answer(FRESH))
    play.stage.hang_up(play.up)
    play.time.pass_by(120.0)
    client = play.ask()
    if how == "refused":
        play.stage.refuse(Failure.CONNECT)
    else:
        play.asked()
        if how == "answer":
            play.answers(answer(status=503))
        else:
            play.stage.hang_up(play.up, ConnectionResetError())
    told = Told(client.hears())
    assert told == (200, "STALE", "one")
    assert (told.fields["x-fallback"], told.fields["age"]) == ("cache", "120")
    assert play.counts == {"miss": 1, "fallback": 1}
    assert play.at_rest()


def test_while_it_fails_one_asks_and_the_rest_get_what_is_stored() -> None:
    play = Play()
    play.fetch(answer(FRESH))
    play.time.pass_by(120.0)
    assert play.fetch(answer(status=503)).cache == "STALE"
    told = play.hit()
    assert (told.cache, told.fields["x-fallback"]) == ("STALE", "cache")
    play.time.pass_by(AGAIN)
    assert play.fetch(answer(FRESH, body="two")) == (200, "MISS", "two")


def test_an_answer_that_is_too_old_stands_in_for_nothing() -> None:
    play = Play(stale_if_error="5m")
    play.fetch(answer(FRESH))
    play.time.pass_by(361.0)
    assert play.fetch(answer(status=503, body="no")) == (503, "MISS", "no")


def test_a_fallback_says_for_how_long_and_for_which_failures() -> None:
    play = Play(
        fallback={"stale": "1h", "on": ["503", "connect-failure"]},
        stale_if_error="0s",
        stale_while_revalidate="0s",
    )
    play.fetch(answer(FRESH))
    play.time.pass_by(3600.0)
    assert play.fetch(answer(status=502, body="no")) == (502, "MISS", "no")
    told = play.fetch(answer(status=503))
    assert (told, told.fields["x-fallback"]) == ((200, "STALE", "one"), "cache")
    play.time.pass_by(61.0)
    assert play.fetch(answer(status=503, body="no")) == (503, "MISS", "no")


def test_an_error_of_the_caller_is_passed_on() -> None:
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH))
    play.time.pass_by(61.0)
    assert play.fetch(answer(status=404, body="no")) == (404, "MISS", "no")


def test_what_is_no_failure_of_the_upstream_is_not_stood_in_for() -> None:
    play = Play()
    play.fetch(answer(FRESH))
    made = exchange()
    made.host, made.target, made.status = b"host", b"/", 404
    assert play.policy.rescue(made, None, play.time.now) is None
    assert play.policy.rescue(made, Refusal(403, "FB", "no"), play.time.now) is None
    assert play.policy.rescue(made, Refusal(503, "UF", "no"), play.time.now) is not None


# The file


@pytest.mark.parametrize(
    "spec",
    [
        {"methods": ["HEAD"]},
        {"methods": ["POST"]},
        {"max_bytes": "1MiB", "max_body": "2MiB"},
        {"ttl": "0s"},
        {"per": ["cookie"]},
        {"max_entries": 0},
    ],
)
def test_what_makes_no_sense_is_refused(spec: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CacheSpec.model_validate(spec)


def test_a_reload_keeps_what_is_stored_and_counts_on() -> None:
    play = Play()
    play.fetch(answer(FRESH))
    play.scene.reload()
    again = CacheSpec.model_validate({"ttl": "5s"}).build(play.scene.scope())
    assert again._store.bytes > 0
    other = CacheSpec.model_validate({"per": ["ip"]}).build(play.scene.scope())
    assert other._store.bytes == 0, "under another key it means something else"
