"""The words of the command line are read as the help says."""

from __future__ import annotations

from meshproxy.commands.arguments import parser


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
