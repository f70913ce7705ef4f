"""The way of a request through the parts of a cloud, as a small SVG picture: the same as the card draws.

It takes the colour of the text around it, has no ids (many of them stand in one page), and says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

_WIDTH, _HEIGHT, _GAP = 54.0, 24.0, 3.0
_PLACES: Final = {
    "CLC": (29.0, 48.0),
    "CC": (100.0, 48.0),
    "NC": (171.0, 48.0),
    "SC": (100.0, 98.0),
    "Walrus": (171.0, 98.0),
}
_YOU: Final = (29.0, 10.0)
Point = tuple[float, float]


def edge(begin: Point, towards: Point, gap: float = _GAP) -> Point:
    """Return where the line from the middle of a box to another point leaves the box."""
    across, down = towards[0] - begin[0], towards[1] - begin[1]
    share = min(
        (_WIDTH / 2 + gap) / abs(across) if across else math.inf,
        (_HEIGHT / 2 + gap) / abs(down) if down else math.inf,
    )
    return begin[0] + across * share, begin[1] + down * share


def way_svg(parts: Sequence[str], said: str, operation: str) -> str:
    """Return the picture.

    Parameters
    ----------
    parts : CLC, CC, NC, SC, Walrus, in the order in which the request passes them; others are not drawn.
    said : the same in words.
    operation : what was asked.
    """
    known = [part for part in parts if part in _PLACES]
    title = f"Way of {operation}: {' → '.join(known)}"
    label = escape(f"{title}. {said}")
    drawn = [_box(code, known.index(code) + 1 if code in known else 0) for code in _PLACES]
    before: Point | None = None
    for part in known:
        drawn.append(_arrow(before, _PLACES[part]))
        before = _PLACES[part]
    return (
        f'<svg viewBox="0 0 200 112" width="280" height="157" role="img" aria-label="{label}" fill="currentColor"'
        f' font-size="10" font-family="sans-serif"><title>{escape(title)}</title><desc>{escape(said)}</desc>'
        f'<text x="{_YOU[0]:g}" y="12" text-anchor="middle">you</text>{"".join(drawn)}</svg>'
    )


def _box(code: str, number: int) -> str:
    x, y = _PLACES[code]
    line = 'stroke-width="2"' if number else 'stroke-dasharray="3 2"'
    look = 'font-weight="bold"' if number else 'opacity="0.55"'
    return (
        f'<g {look}><rect x="{x - _WIDTH / 2:g}" y="{y - _HEIGHT / 2:g}" width="{_WIDTH:g}" height="{_HEIGHT:g}" rx="4"'
        f' fill="none" stroke="currentColor" {line}/>'
        f'<text x="{x:g}" y="{y + 4:g}" text-anchor="middle">{f"{number} {code}" if number else code}</text></g>'
    )


def _arrow(before: Point | None, to: Point) -> str:
    begin = edge(before, to) if before is not None else (_YOU[0], _YOU[1] + 5)
    end = edge(to, before or _YOU)
    turn = math.degrees(math.atan2(end[1] - begin[1], end[0] - begin[0]))
    return (
        f'<line x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="currentColor"'
        f' stroke-width="1.5"/><polygon points="0,0 -7,-3.5 -7,3.5"'
        f' transform="translate({end[0]:.1f} {end[1]:.1f}) rotate({turn:.1f})"/>'
    )
