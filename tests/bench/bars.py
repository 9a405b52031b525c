"""Bar charts as SVG that reads on light and on dark pages and loads nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape


class Row(NamedTuple):
    """One bar: the median, and a thinner one behind it that goes on to the 99th percentile; both in milliseconds."""

    label: str
    p50: float
    p99: float
    ours: bool


class Panel(NamedTuple):
    """Bars on one scale."""

    heading: str
    rows: Sequence[Row]


WIDTH, LABELS, VALUES, MARGIN = 960, 176, 96, 24
TOP, HEADING, BAR, BOTTOM, COLUMNS = 84, 34, 24, 34, 2
STYLE = """
    .page{fill:#fff;stroke:#d0d7de} .title{font-size:17px;font-weight:600} text{fill:#1f2328}
    .soft{fill:#59636e;font-size:12px} .head{font-weight:600} .line{stroke:#d8dee4}
    .other{fill:#9aa4af} .ours{fill:#1f6feb} .tail{opacity:.35}
    @media (prefers-color-scheme: dark){
      .page{fill:#0d1117;stroke:#30363d} text{fill:#e6edf3} .soft{fill:#9198a1} .line{stroke:#30363d}
      .other{fill:#6e7681} .ours{fill:#58a6ff}
    }"""


def chart(title: str, note: str, panels: Sequence[Panel]) -> str:
    """A picture of panels, two in a row, each with a scale of its own.

    Args:
        title: What is shown.
        note: How to read it, in one line.
        panels: What to draw.

    Returns:
        An SVG document.
    """
    width = (WIDTH - MARGIN * (COLUMNS + 1)) / COLUMNS
    parts: list[str] = []
    top = float(TOP)
    for start in range(0, len(panels), COLUMNS):
        line = panels[start : start + COLUMNS]
        for column, panel in enumerate(line):
            parts += _panel(panel, MARGIN + column * (width + MARGIN), top, width)
        top += max(_height(panel) for panel in line)
    box = f'viewBox="0 0 {WIDTH} {top:.0f}" font-family="system-ui, sans-serif" font-size="13"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-labelledby="title">',
            f'  <title id="title">{escape(title)}</title>',
            f"  <style>{STYLE}\n  </style>",
            f'  <rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{top - 1:.0f}" rx="8"/>',
            f'  <text class="title" x="{MARGIN}" y="34">{escape(title)}</text>',
            f'  <text class="soft" x="{MARGIN}" y="56">{escape(note)}</text>',
            *(f"  {part}" for part in parts),
            "</svg>\n",
        ]
    )


def _height(panel: Panel) -> float:
    return HEADING + BAR * len(panel.rows) + BOTTOM


def _panel(panel: Panel, left: float, top: float, width: float) -> Iterator[str]:
    zero = left + LABELS
    room = width - LABELS - VALUES
    step, most = _scale(max(max(row.p50, row.p99) for row in panel.rows))
    bottom = top + HEADING + BAR * len(panel.rows)
    yield f'<text class="head" x="{left:.1f}" y="{top + 16:.1f}">{escape(panel.heading)}</text>'
    for number in range(round(most / step) + 1):
        x = zero + room * number * step / most
        yield f'<path class="line" d="M{x:.1f} {top + HEADING - 6:.1f}V{bottom:.1f}"/>'
        yield f'<text class="soft" text-anchor="middle" x="{x:.1f}" y="{bottom + 15:.1f}">{number * step:g}</text>'
    for place, row in enumerate(panel.rows):
        yield from _bar(row, left, top + HEADING + BAR * place, room / most)


def _bar(row: Row, left: float, top: float, scale: float) -> Iterator[str]:
    zero, middle = left + LABELS, top + BAR / 2
    colour = "ours" if row.ours else "other"
    p50, p99 = (max(0.0, value) * scale for value in (row.p50, row.p99))
    weight = ' font-weight="600"' if row.ours else ""
    yield f'<text text-anchor="end" x="{zero - 8:.1f}" y="{middle + 4:.1f}"{weight}>{escape(row.label)}</text>'
    yield f'<rect class="{colour} tail" x="{zero:.1f}" y="{middle - 4:.1f}" width="{p99:.1f}" height="8" rx="2"/>'
    yield f'<rect class="{colour}" x="{zero:.1f}" y="{middle - 8:.1f}" width="{p50:.1f}" height="16" rx="2"/>'
    said = f"{_digits(row.p50)} / {_digits(row.p99)}"
    yield f'<text class="soft" x="{zero + max(p50, p99) + 6:.1f}" y="{middle + 4:.1f}">{said}</text>'


def _scale(largest: float) -> tuple[float, float]:
    """The step between two lines, and the last line's value: four or five lines that reach the largest value."""
    largest = max(largest, 1e-3)
    magnitude = 10 ** math.floor(math.log10(largest / 4))
    step = next(one * magnitude for one in (1, 2, 2.5, 5, 10) if one * magnitude * 5 >= largest)
    return step, step * math.ceil(largest / step)


def _digits(value: float) -> str:
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"
