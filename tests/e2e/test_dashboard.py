"""The dashboard in a real browser: live, by keyboard, in the dark, on a phone, and unimpressed.

Every visit ends with a look at what it should not have done: a word on the console, or a request
to anybody but the sidecar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from meshproxy.control.live import LISTENERS

from .browser import Visit, chromium
from .harness import Client, Origin, Sidecar, answering, eventually, fetch, reply

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.server("chromium")

HOSTILE = "x\"'><img src=x onerror=document.title='pwned'><script >document.title='pwned'</script>"
CONFIG = """
service: {name: "<b >orders</b>", version: "1.2"}
inbound:
  listen: <inbound>
  app: http://<app>
  rate_limits: [{name: few, limit: 600/m}]
  routes:
    - {name: '<HOSTILE>', match: GET /hostile}
    - {match: GET /orders/*}
outbound:
  listen: <outbound>
  defaults: {retry: off, circuit_breaker: {consecutive_failures: 50}}
  services:
    users: {endpoints: [<app>]}
""".replace("<HOSTILE>", HOSTILE.replace("'", "''"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, sidecar: Sidecar, origin: Origin) -> Iterator[Open]:
    """Opens the page of the sidecar; everything held by hand is let go of afterwards."""
    visits: list[Visit] = []

    def look(**how: Any) -> Visit:
        visits.append(Visit(browser, sidecar.admin, **how))
        return visits[-1]

    yield look
    for each in visits:
        each.close()
    sidecar.write(CONFIG)
    assert sidecar.reload().status == 200


def call(sidecar: Sidecar, times: int = 1, path: str = "/orders/7") -> None:
    for _ in range(times):
        assert fetch(sidecar.inbound, path).status < 500


def forced(sidecar: Sidecar) -> str:
    clusters: Any = sidecar.admin_json("/clusters")
    (users,) = [one for one in clusters if one["name"] == "users"]
    found: str = users["endpoints"][0].get("forced", "")
    return found


def press_until(page: Page, what: str) -> None:
    """Walk on with the Tab key alone until the element that matches has the focus."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate("what => document.activeElement.matches(what)", what):
            return
    raise AssertionError(f"no way by keyboard to {what}")


def test_figures_move_with_traffic(visit: Open, sidecar: Sidecar) -> None:
    page = visit().page
    assert page.title().endswith("· meshproxy")
    row = page.locator(".routes tr", has_text="GET /orders/*")
    row.wait_for()
    assert row.locator(".c-rps.zero").count() == 1
    call(sidecar, 30)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.routes tr')].some(row =>"
        " row.textContent.includes('GET /orders/*') && !row.querySelector('.c-rps.zero'))"
    )
    assert row.locator(".c-success").inner_text() == "100%"
    assert row.locator(".c-p95").inner_text().endswith("ms")
    assert page.locator("#charts canvas").count() == 3
    label = page.locator("#charts .canvas").first.get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Traffic, per second: requests")


def test_a_breaker_is_forced_by_keyboard_alone(visit: Open, sidecar: Sidecar) -> None:
    page = visit().page
    page.locator("#upstreams .endpoint").first.wait_for()
    press_until(page, "#upstreams button[data-force=open]")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Enter")  # the focus is on Cancel
    page.get_by_role("dialog").wait_for(state="hidden")
    assert forced(sidecar) == ""
    assert page.evaluate("document.activeElement.dataset.force") == "open"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    eventually(lambda: forced(sidecar) == "open", what="the breaker forced open")
    page.get_by_text("open, by hand").wait_for()
    assert page.locator("#banners").inner_text().startswith("Held by hand until the next reload")
    assert fetch(sidecar.outbound, "/", headers={"Host": "users"}).status == 503
    failure = page.locator("#failures button.row", has_text="UO")
    failure.wait_for()
    failure.focus()
    page.keyboard.press("Enter")
    details = page.locator("#failures .fields:visible")
    assert "forced by an operator" in details.inner_text()
    assert "(meshproxy.yaml:" in details.inner_text()


HURRIED = """
() => {
  const force = [...document.querySelectorAll("#upstreams button[data-force=open]")]
    .find((button) => button.checkVisibility());
  const [no, yes] = document.querySelectorAll("#confirm button");
  for (const button of [force, no, force, yes]) button.click();
}
"""


def test_no_answer_goes_to_another_question(visit: Open, sidecar: Sidecar) -> None:
    page = visit().page
    page.locator("#upstreams .endpoint").first.wait_for()
    orders: list[str] = []
    page.on("request", lambda asked: orders.append(asked.method))
    page.evaluate(HURRIED)
    page.get_by_text("open, by hand").wait_for()
    assert orders == ["POST"]


def test_a_limit_changes_its_mode(visit: Open, sidecar: Sidecar) -> None:
    page = visit().page
    limit = page.locator("#limits .limit", has_text="few")
    limit.get_by_role("combobox").select_option("shadow")
    limit.get_by_role("button").click()
    limit.get_by_text("shadow, by hand").wait_for()
    assert sidecar.admin_json("/rate-limits")[0]["mode"] == "shadow"
    limit.get_by_role("combobox").select_option("auto")
    limit.get_by_role("button").click()
    limit.get_by_text("by hand").wait_for(state="detached")


def test_a_request_is_explained(visit: Open, sidecar: Sidecar) -> None:
    one = visit()
    page = one.page
    page.keyboard.press("7")
    page.keyboard.type("http://users/who?token=s3cret")
    page.keyboard.press("Enter")
    answer = page.locator("#explain-answer")
    answer.get_by_text("Step by step").wait_for()
    assert "of users" in answer.inner_text()
    assert "meshproxy.yaml:" in answer.inner_text()
    assert "s3cret" not in answer.inner_text()
    page.fill("#explain-url", "nonsense")
    page.keyboard.press("Enter")
    answer.locator(".banner.bad").wait_for()
    one.complaints = [said for said in one.complaints if "422" not in said]


def test_reloads_and_what_they_changed_are_shown(visit: Open, sidecar: Sidecar) -> None:
    page = visit().page
    sidecar.write(CONFIG.replace("600/m", "300/m"))
    assert sidecar.reload().status == 200
    page.locator("#reloads button.row", has_text="1 change").first.click()
    page.locator("#reloads .l.added", has_text="limit: 300/m").wait_for()
    page.fill("#config-search", "300/M")
    page.locator("#config-text .hit.here", has_text="limit: 300/m").wait_for()
    sidecar.write(CONFIG + "nonsense: 1\n")
    assert sidecar.reload().status == 422
    page.get_by_text("ready, reload failed").wait_for()
    assert "nonsense" in page.locator("#banners").inner_text()


def test_hostile_names_are_text(visit: Open, sidecar: Sidecar, app: Origin) -> None:
    one = visit()
    page = one.page
    app.forget(answering(reply(500)))
    fetch(sidecar.inbound, "/hostile?<script>document.title='pwned'</script>")
    fetch(sidecar.outbound, "/", headers={"Host": "<img src=x onerror=document.title='pwned'>"})
    failures = page.locator("#failures button.row", has_text="<img src=x onerror")
    failures.first.wait_for()
    failures.first.click()
    assert page.locator("#service").inner_text() == "<b >orders</b>"
    page.locator(".routes button", has_text=HOSTILE).click()
    assert HOSTILE in page.locator("#subject").inner_text()
    assert page.locator("img, main script, b b").count() == 0
    assert "pwned" not in page.title()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(visit: Open, sidecar: Sidecar, scheme: str) -> None:
    call(sidecar, 3)
    page = visit(color_scheme=scheme).page
    page.locator("#limits .limit").first.wait_for()
    page.locator("#config-text .l").first.wait_for()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, dark[4:-1].split(","))) < 200) == (scheme == "dark")
    assert page.evaluate(FAINT) == []


FAINT = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
  const ground = node => over(numbers(getComputedStyle(node).backgroundColor),
    node.parentElement ? ground(node.parentElement) : [255, 255, 255]);
  const linear = c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255)
    + .0722 * linear(b / 255);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = new Set();
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.checkVisibility()) continue;
    if (node.closest('noscript, script, datalist, :disabled')) continue;
    const below = ground(node);
    const both = [light(over(numbers(getComputedStyle(node).color), below)), light(below)];
    const ratio = (Math.max(...both) + .05) / (Math.min(...both) + .05);
    if (ratio < 4.5) faint.add(`${node.className} ${text.data.trim()} ${ratio.toFixed(2)}`);
  }
  return [...faint];
}"""
"""Texts whose contrast is below 4.5 to 1 (WCAG 2.2, 1.4.3)."""


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(visit: Open, sidecar: Sidecar, width: int) -> None:
    call(sidecar, 2, "/hostile")
    page = visit(viewport={"width": width, "height": 800}).page
    page.locator("#config-text .l").first.wait_for()
    page.locator("#reloads button.row").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_every_control_has_a_name_and_the_keys_are_told(visit: Open, sidecar: Sidecar) -> None:
    page = visit(reduced_motion="reduce").page
    page.locator("#limits .limit").first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button, input, select, textarea, [role=meter]')]"
        ".filter(one => one.checkVisibility() && !one.textContent.trim())"
        ".filter(one => !one.ariaLabel && !one.labels?.length).length"
    )
    assert nameless == 0
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    assert "explain a request" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    page.get_by_text("ready, paused").wait_for()
    page.keyboard.press("p")
    page.get_by_text("ready", exact=True).wait_for()
    page.keyboard.press("?")
    page.get_by_label("single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    assert page.get_by_text("ready, paused").count() == 0


def test_routes_are_sorted_by_what_is_asked_for(visit: Open, sidecar: Sidecar) -> None:
    page = visit().page
    head = page.get_by_role("button", name="Route", exact=True)
    head.click()
    names = page.locator(".routes tbody th button").all_inner_texts()
    assert names == sorted(names, key=str.casefold)
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Route")
    head.click()
    page.locator("th[aria-sort=descending]").wait_for()


def test_a_page_too_many_says_so_and_waits_for_its_turn(browser: Browser) -> None:
    config = "inbound: {listen: <inbound>, app: 'http://127.0.0.1:1'}\n"
    with Sidecar.running(config) as sidecar, ExitStack() as crowd:
        for _ in range(LISTENERS):
            reader = crowd.enter_context(Client(sidecar.admin))
            reader.send(b"GET /live?every=60s HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert reader.reader.response_head().status == 200
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{sidecar.admin[1]}")
        page.get_by_text("refuses another live reader").wait_for()
        crowd.close()
        page.get_by_text("ready", exact=True).wait_for()
        assert page.locator("#banners").inner_text() == ""
        page.close()


def test_a_lost_connection_is_said_and_found_again(browser: Browser) -> None:
    config = "inbound: {listen: <inbound>, app: 'http://127.0.0.1:1'}\n"
    with Sidecar.running(config) as first:
        visit = Visit(browser, first.admin)
        given = {name: f"127.0.0.1:{first.where(name)[1]}" for name in ("inbound", "admin")}
        visit.page.locator(".routes").wait_for()
    visit.page.get_by_text("connection lost").wait_for()
    assert "does not answer since" in visit.page.locator("#banners").inner_text()
    with Sidecar.running(config, **given):
        visit.page.get_by_text("ready", exact=True).wait_for()
        assert visit.page.locator("#banners").inner_text() == ""
        visit.complaints = [one for one in visit.complaints if "ERR_" not in one]
        visit.close()
