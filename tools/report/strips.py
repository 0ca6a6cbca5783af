"""Rows of states over time as inline SVG: modes, line states, refills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from tools.report.svg import BOTTOM, RIGHT, WIDTH, Array, Mark, ticks

__all__ = ["Strip", "strips"]

_STRIP_H, _STRIP_GAP, _STRIP_LEFT = 15, 5, 118


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A row of states: ``texts`` from ``x`` on, each with the style that ``css`` gives it."""

    name: str
    x: Array
    texts: Sequence[str]
    css: dict[str, str] = field(default_factory=dict)


def strips(rows: Sequence[Strip], x: tuple[float, float], marks: Sequence[Mark] = ()) -> str:
    """Rows of states over time, in one wide ``svg`` element."""
    wide = 2 * WIDTH
    above = 12
    height = above + len(rows) * (_STRIP_H + _STRIP_GAP) + BOTTOM + 4

    def px(value: float) -> float:
        return _STRIP_LEFT + (value - x[0]) / (x[1] - x[0]) * (wide - _STRIP_LEFT - RIGHT)

    out = [f'<svg class="strips" viewBox="0 0 {wide} {height}" role="img" aria-label="states">']
    for i, row in enumerate(rows):
        y = above + i * (_STRIP_H + _STRIP_GAP) + 2
        out.append(
            f'<text class="tick end" x="{_STRIP_LEFT - 8}" y="{y + 11}">{escape(row.name)}</text>'
        )
        for first, last, text in _spans(row, x[1]):
            left, right = px(max(first, x[0])), px(min(last, x[1]))
            if right <= left or last <= x[0]:
                continue
            css = row.css.get(text, "")
            if not css:
                continue
            out.append(
                f'<rect class="state {css}" x="{left:.1f}" y="{y}" width="{right - left:.1f}" '
                f'height="{_STRIP_H}"><title>{escape(text)}: {first:.1f} to {last:.1f} min</title>'
                "</rect>"
            )
            if right - left > 6.2 * len(text) + 8:
                out.append(
                    f'<text class="state-text {css}-text" x="{left + 4:.1f}" y="{y + 11}">'
                    f"{escape(text)}</text>"
                )
    bottom = height - BOTTOM
    for mark in marks:
        if x[0] <= mark.x <= x[1]:
            at = px(mark.x)
            out.append(
                f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{above}" y2="{bottom}">'
                f"<title>{escape(mark.text)}</title></line>"
                f'<text class="number mid" x="{at:.1f}" y="{above - 2}">{mark.number or ""}</text>'
            )
    for value in ticks(*x, most=12):
        out.append(f'<text class="tick mid" x="{px(value):.1f}" y="{bottom + 14}">{value:g}</text>')
    out.append(f'<text class="tick end" x="{_STRIP_LEFT - 8}" y="{bottom + 14}">min</text></svg>')
    return "".join(out)


def _spans(row: Strip, end: float) -> list[tuple[float, float, str]]:
    """Runs of equal texts: from, to, text."""
    spans: list[tuple[float, float, str]] = []
    for i, text in enumerate(row.texts):
        until = float(row.x[i + 1]) if i + 1 < len(row.texts) else end
        if spans and spans[-1][2] == text:
            spans[-1] = (spans[-1][0], until, text)
        else:
            spans.append((float(row.x[i]), until, text))
    return spans
