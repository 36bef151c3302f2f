"""A flame graph as one SVG file that needs nothing else: no script, no style, no font.

Draws a tree of calls: what is wide took long, what stands on another was called by it. Each
call says where it is, how long it took and how much of that itself, to whoever points at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

from meshproxy.telemetry.profile import Node

WIDTH = 1200
MARGIN = 10
ROW = 18
HEAD = 46
FONT = 11
LETTER = 6.65
"""Width of a letter at that size in the common monospaced fonts."""
NARROWEST = 0.2
"""Calls that would be narrower are left out: nobody could see them."""

OURS, LIBRARIES, LOOP = (24, 78), (212, 45), (0, 0)
"""Hue and saturation of our own code, of everybody else's, and of what is no code of Python."""


def svg(root: Node, title: str, period: float) -> str:
    """The whole picture; one sample stands for `period` seconds."""
    rows = root.depth()
    height = HEAD + rows * ROW + MARGIN
    scale = (WIDTH - 2 * MARGIN) / root.total if root.total else 0.0
    boxes = _boxes(root, float(MARGIN), 0, scale)
    shapes = [_shape(box, root, height - MARGIN, scale, period) for box in boxes]
    if not root.total:
        shapes = [_text(MARGIN, HEAD + FONT, "no sample was taken: nothing ran")]
    note = "width: time; bottom: outermost call; orange: meshproxy, blue: libraries, grey: the loop"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
            f'width="{WIDTH}" height="{height}" font-family="monospace" font-size="{FONT}">',
            f"<title>{_escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#fffdf8"/>',
            f'<text x="{MARGIN}" y="20" font-size="15" font-weight="bold">{_escape(title)}</text>',
            f'<text x="{MARGIN}" y="36" fill="#666">{_escape(note)}</text>',
            *shapes,
            "</svg>",
            "",
        ]
    )


def _boxes(node: Node, left: float, row: int, scale: float) -> Iterator[tuple[Node, float, int]]:
    """Every call that can be seen, with its left edge and its row from the bottom."""
    if node.total * scale < NARROWEST:
        return
    yield node, left, row
    for inner in node.sorted():
        yield from _boxes(inner, left, row + 1, scale)
        left += inner.total * scale


def _shape(
    box: tuple[Node, float, int], root: Node, bottom: int, scale: float, period: float
) -> str:
    node, left, row = box
    width = node.total * scale
    top = bottom - (row + 1) * ROW
    place = f" {node.call.file}:{node.call.line}" if node.call.file else ""
    hover = (
        f"{node.call.function}{place}\n{_share(node.total, root.total, period)}"
        f", itself {_share(node.own, root.total, period)}"
    )
    shape = (
        f'<rect x="{left:.2f}" y="{top}" width="{width:.2f}" height="{ROW - 1}" rx="1" '
        f'fill="{_colour(node)}"/>'
    )
    letters = int((width - 6) / LETTER)
    if letters >= 3:
        shape += _text(left + 3, top + 13, _cut(node.call.function, letters))
    return f"<g><title>{_escape(hover)}</title>{shape}</g>"


def _text(left: float, top: int, words: str) -> str:
    return f'<text x="{left:.2f}" y="{top}">{_escape(words)}</text>'


def _share(count: int, total: int, period: float) -> str:
    return f"{count / total:.1%} ({count * period:.3f} s)"


def _cut(text: str, letters: int) -> str:
    """The function says more than the class that it is in."""
    if len(text) > letters:
        text = text.rpartition(".")[2]
    return text if len(text) <= letters else f"{text[: letters - 2]}.."


def _colour(node: Node) -> str:
    """The same for the same function in every picture."""
    file = node.call.file
    hue, saturation = OURS if file.startswith("meshproxy/") else LIBRARIES if file else LOOP
    spread = crc32(f"{file} {node.call.function}".encode("utf-8", "replace"))
    return f"hsl({hue + spread % 23 - 11}, {saturation}%, {70 + spread // 23 % 13}%)"


def _escape(text: str) -> str:
    """As XML 1.0 takes it."""
    kept = "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
    return kept.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
