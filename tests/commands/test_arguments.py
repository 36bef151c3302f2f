"""The words of the command line are read as the help says."""

from __future__ import annotations

from meshproxy.commands.arguments import parser, parted


def test_services_may_have_several_endpoints_and_come_several_times() -> None:
    options = parser().parse_args(["run", "--to", "a=:1,:2", "--to", "b=h:3"])
    assert options.to == [("a", [":1", ":2"]), ("b", ["h:3"])]


def test_a_timeout_may_carry_its_unit() -> None:
    assert parser().parse_args(["healthcheck", "--timeout", "1.5s"]).timeout == 1.5
    assert parser().parse_args(["healthcheck"]).timeout == 2.0


def test_options_are_not_guessed_from_their_beginning() -> None:
    words = ["run", "--log-level", "debug", "--log-format", "text", "-c", "f.yaml"]
    options = parser().parse_args(words)
    assert (options.log_level, options.log_format, options.config) == ("debug", "text", "f.yaml")


def test_an_interval_is_kept_as_it_is_written_and_in_seconds() -> None:
    for text, seconds in (("250ms", 0.25), ("1.5s", 1.5), ("60s", 60.0)):
        assert parser().parse_args(["top", "--every", text]).every == (text, seconds)
    options = parser().parse_args(["top", "--sort", "p99", "--limit", "5", "--once"])
    assert (options.every, options.sort, options.limit) == (("1s", 1.0), "p99", 5)
    assert (options.once, options.format) == (True, "table")


def test_what_follows_the_dashes_of_run_is_not_ours() -> None:
    assert parted(["run", "-c", "f", "--", "app", "-c", "--", "x"]) == (
        ["run", "-c", "f"],
        ["app", "-c", "--", "x"],
    )
    assert parted(["run", "-c", "f"]) == (["run", "-c", "f"], None)
    assert parted(["check", "--", "f"]) == (["check", "--", "f"], None)
