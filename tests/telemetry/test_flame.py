"""The picture is XML that needs nothing else, and as wide at every call as that took."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest

from meshproxy.telemetry.flame import MARGIN, ROW, WIDTH, svg
from meshproxy.telemetry.profile import Stacks, tree
from meshproxy.telemetry.stacks import Call

NS = "{http://www.w3.org/2000/svg}"
FULL = WIDTH - 2 * MARGIN
A = Call("meshproxy/a.py", 1, "Conductor.begin")
B = Call("aiohttp/b.py", 20, "Handler.<lambda>")
C = Call("", 0, "(waiting)")
SOME: Stacks = {(A,): 1, (A, B): 4, (A, B, A): 3, (C,): 8}


class Box:
    """One call of the picture."""

    def __init__(self, group: ElementTree.Element) -> None:
        title, rect = group.find(f"{NS}title"), group.find(f"{NS}rect")
        assert title is not None
        assert rect is not None
        self.hover = title.text or ""
        self.left, self.top = float(rect.get("x", "")), int(rect.get("y", ""))
        self.width = float(rect.get("width", ""))
        self.fill = rect.get("fill", "")
        text = group.find(f"{NS}text")
        self.label = text.text if text is not None else None


def boxes(stacks: Stacks, title: str = "orders: 5 s", period: float = 0.01) -> list[Box]:
    root = ElementTree.fromstring(svg(tree(stacks), title, period))
    return [Box(group) for group in root.findall(f"{NS}g")]


def test_each_call_is_as_wide_as_its_share() -> None:
    widths = {box.hover.partition("\n")[0]: box.width for box in boxes({(A, B): 1, (C,): 3})}
    assert widths["all"] == pytest.approx(FULL)
    assert widths["Conductor.begin meshproxy/a.py:1"] == pytest.approx(FULL / 4, abs=0.01)
    assert widths["Handler.<lambda> aiohttp/b.py:20"] == pytest.approx(FULL / 4, abs=0.01)
    assert widths["(waiting)"] == pytest.approx(FULL * 3 / 4, abs=0.01)


def test_what_was_called_stands_on_its_caller_and_does_not_stick_out() -> None:
    made = boxes(SOME)
    rows = sorted({box.top for box in made}, reverse=True)
    assert [rows[0] - row for row in rows] == [ROW * n for n in range(4)]
    for box in made:
        if box.top != rows[0]:
            below = [
                other
                for other in made
                if other.top == box.top + ROW
                and other.left - 0.02 <= box.left
                and box.left + box.width <= other.left + other.width + 0.02
            ]
            assert len(below) == 1
    for row in rows:
        row_of = sorted((box.left, box.width) for box in made if box.top == row)
        assert sum(width for _, width in row_of) <= FULL + 0.1
        for (left, width), (after, _) in itertools.pairwise(row_of):
            assert left + width <= after + 0.02


def test_it_says_how_long_to_whoever_points_at_it() -> None:
    hovers = [box.hover for box in boxes(SOME)]
    assert "Conductor.begin meshproxy/a.py:1\n50.0% (0.080 s), itself 6.2% (0.010 s)" in hovers


def test_a_label_fits_its_call_or_is_left_out() -> None:
    long = Call("meshproxy/a.py", 1, "Outermost.quite_a_long_name_of_a_function")
    made = {box.hover.partition(" ")[0]: box for box in boxes({(long,): 5, (A,): 1, (C,): 94})}
    assert made["Outermost.quite_a_long_name_of_a_function"].label == "quite.."
    assert made["Conductor.begin"].label is None
    assert made["(waiting)\n94.0%"].label == "(waiting)"


def test_it_needs_no_script_no_style_and_nothing_from_elsewhere() -> None:
    text = svg(tree(SOME), "orders", 0.01)
    assert "<script" not in text
    assert "style" not in text
    assert re.findall(r"https?://\S+", text) == ['http://www.w3.org/2000/svg"']


def test_whatever_a_function_is_called_it_is_xml() -> None:
    odd = Call("meshproxy/<frozen> & \x00\x1b.py", 1, '<lambda> & "x" \ud800')
    (_, box) = boxes({(odd,): 1}, title="<orders> & \x07")
    assert box.label is not None
    assert box.label.startswith("<lambda> & ")


def test_ours_and_others_differ_and_the_same_call_looks_the_same() -> None:
    first, second = boxes(SOME), boxes(dict(reversed(SOME.items())))
    assert [vars(box) for box in first] == [vars(box) for box in second]
    fills = {box.hover.split()[0]: box.fill for box in first}
    assert len(set(fills.values())) == 4


def test_no_sample_is_said_in_words() -> None:
    assert "no sample was taken" in svg(tree({}), "orders", 0.01)
    assert boxes({}) == []


def test_a_crowd_of_rare_calls_does_not_make_a_large_file() -> None:
    many: Stacks = {(Call("a.py", n, "f"),): 1 for n in range(20_000)} | {(A,): 10_000_000}
    assert len(boxes(many)) == 2
