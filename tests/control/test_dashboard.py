"""The page and its files come whole from this port, and may load nothing from anywhere else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from meshproxy.control.admin import admin_application
from meshproxy.control.dashboard import FOLDER, KINDS, POLICY
from meshproxy.control.door import HEADERS
from meshproxy.control.reload import Outcome

from .ports import Ask, Stage, Told, talk

FILES = sorted(
    file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*") if file.suffix in KINDS
)
OURS = [name for name in FILES if not name.startswith("vendor/")]


def told(stage: Stage, path: str, method: str = "GET", **more: Any) -> Told:
    answers: list[Told] = []

    async def script(ask: Ask) -> None:
        answers.append(await ask(path, method, **more))

    talk(admin_application(stage), script)
    return answers[0]


def test_the_page_is_html_under_a_policy_of_its_own() -> None:
    page = told(Stage(), "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"] == POLICY
    for name, value in HEADERS.items():
        if name != "Content-Security-Policy":
            assert page.headers[name.lower()] == value


@pytest.mark.parametrize("word", ["unsafe", "http:", "https:", "*", "blob:"])
def test_the_policy_lets_nothing_strange_in(word: str) -> None:
    assert word not in POLICY
    assert "default-src 'none'" in POLICY
    assert "frame-ancestors 'none'" in POLICY


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_the_page_is_given(name: str) -> None:
    file = told(Stage(), f"/dashboard/{name}")
    assert file.status == 200
    assert file.headers["content-type"] == f"{KINDS[f'.{name.rsplit(chr(46))[-1]}']}; charset=utf-8"
    assert file.body == (FOLDER / name).read_bytes()


@pytest.mark.parametrize(
    "path",
    ["/dashboard/", "/dashboard/nothing.js", "/dashboard/../dashboard.py", "/dashboard/vendor",
     "/dashboard/%2e%2e/dashboard.py", "/dashboard/vendor/LICENSE", "/dashboard//etc/passwd"],
)  # fmt: skip
def test_nothing_else_is_given(path: str) -> None:
    assert told(Stage(), path).status == 404


def test_strangers_do_not_get_the_page() -> None:
    assert told(Stage(), "/", host="evil.test").status == 403
    assert told(Stage(), "/", Origin="http://evil.test").status == 403


@pytest.mark.parametrize("name", [*OURS, "dashboard.html"])
def test_the_page_asks_nobody_else_and_parses_no_markup(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text
    )
    strange = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) - {"http://www.w3.org"}
    # Whole URLs stand in comments and placeholders at most; what is loaded begins with a slash.
    assert {url for url in strange if not url.startswith("http://payments")} == set()
    for url in re.findall(r"(?:src|href)=\"([^\"]*)\"", text):
        assert url.startswith(("/dashboard/", "#", "data:image/svg+xml,"))


def test_all_that_the_page_names_is_there() -> None:
    page = (FOLDER / "dashboard.html").read_text(encoding="utf-8")
    named = set(re.findall(r"\"/dashboard/([^\"]+)\"", page))
    for name in OURS:
        named |= set(re.findall(r"from \"\./([^\"]+)\"", (FOLDER / name).read_text("utf-8")))
    assert named == set(FILES)


def test_every_id_that_a_script_looks_for_is_in_the_page() -> None:
    page = (FOLDER / "dashboard.html").read_text(encoding="utf-8")
    ids = set(re.findall(r" id=\"([^\"]+)\"", page))
    for name in OURS:
        wanted = set(re.findall(r"\$\(\"([\w-]+)\"\)", (FOLDER / name).read_text(encoding="utf-8")))
        assert wanted <= ids, name


@pytest.mark.parametrize("name", OURS)
def test_a_file_of_the_page_fits_the_mind(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8").count("\n") < 300


def test_the_library_is_as_it_came_and_has_its_licence() -> None:
    assert b"uPlot (v1.6.32)" in (FOLDER / "vendor/uplot.js").read_bytes()[:200]
    assert "MIT License" in (FOLDER / "vendor/LICENSE").read_text(encoding="utf-8")


def test_the_config_is_told_as_text() -> None:
    page = told(Stage(), "/config/text")
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    assert page.body == b'inbound:\n  app: ":1"\n'


def test_the_last_reloads_are_told_and_one_with_its_diff() -> None:
    stage = Stage()
    for number in (1, 2):
        outcome = Outcome(True, "file", number, f"d{number}", (), ("a: 1 -> 2",))
        stage.history.add(outcome, 1000.0 * number, {"a": number})
    first, second = told(stage, "/config/history").json
    assert first["at"] == "1970-01-01T00:16:40+00:00"
    assert (second["number"], second["generation"], second["changes"]) == (2, 2, ["a: 1 -> 2"])
    assert "diff" not in second
    diff = told(stage, "/config/history?number=2").json["diff"]
    assert diff == ["@@ -1,1 +1,1 @@", "-a: 1", "+a: 2"]


@pytest.mark.parametrize("number", ["0", "3", "x", "", "02"])
def test_a_reload_that_nobody_remembers_is_not_found(number: str) -> None:
    stage = Stage()
    stage.history.add(Outcome(True, "start", 1, "d"), 1.0, {})
    assert told(stage, f"/config/history?number={number}").status == 404
