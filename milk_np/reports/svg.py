"""What plots share: a frame with title and description, markers of different shapes and colours, a legend."""

from __future__ import annotations

from collections.abc import Sequence

from milk_np.reports.markup import Markup, join, tag

WIDTH = 400
"""Width in user units: text stays readable when a phone scales the plot to its own width."""
LETTER = 7.4
"""Approximate width of a letter at the plots' font size."""
MARKS = ("circle", "square", "triangle", "diamond", "cross")

STYLE = """
svg{display:block;width:100%;height:auto;max-width:540px;font:13px system-ui,sans-serif}
svg text{fill:var(--text)}
svg .axis{fill:var(--muted)}
svg .strong{font-weight:700}
svg .grid{stroke:var(--grid);stroke-width:1;fill:none}
svg .level{stroke:var(--muted);stroke-width:1.5;stroke-dasharray:4 3;fill:none}
svg .single{fill:var(--text)}
svg .bar,svg .curve{fill:none;stroke-width:2}
svg .s0{stroke:var(--c0)}svg .s1{stroke:var(--c1)}svg .s2{stroke:var(--c2)}
svg .s3{stroke:var(--c3)}svg .s4{stroke:var(--c4)}
svg .m0{fill:var(--c0)}svg .m1{fill:var(--c1)}svg .m2{fill:var(--c2)}svg .m3{fill:var(--c3)}svg .m4{fill:var(--c4)}
"""

_SHAPES = {
    "circle": "M{x0} {y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    "square": "M{x0} {y0}h9v9h-9Z",
    "triangle": "M{x} {y0}l5.5 9.5h-11Z",
    "diamond": "M{x} {y1}l6 6l-6 6l-6 -6Z",
    "cross": "M{x0} {y2}h3v-3h4v3h3v4h-3v3h-4v-3h-3Z",
}


def figure(title: str, description: str, height: float, *children: object) -> Markup:
    """An SVG of WIDTH x height with a title and description for screen readers."""
    shown = join([tag("title", title), tag("desc", description), *children])
    box = f"0 0 {WIDTH} {height:.0f}"
    return tag("svg", shown, viewBox=box, role="img", aria_label=f"{title}. {description}")


def mark(series: int, x: float, y: float) -> Markup:
    """The marker of a series, centred at (x, y)."""
    shape = _SHAPES[MARKS[series % len(MARKS)]]
    places = {"x": x, "y": y, "x0": x - 5, "y0": y - 5, "y1": y - 6, "y2": y - 2}
    return tag("path", d=shape.format(**{k: f"{v:.1f}" for k, v in places.items()}), class_=f"m{series % len(MARKS)}")


def legend(series: Sequence[str], rows: int) -> Markup:
    """Marker and name of every series, two per row; nothing if `rows` is 0."""
    if rows == 0:
        return Markup()
    entries = []
    for k, name in enumerate(series):
        x, y = 12 + (k % 2) * WIDTH / 2, 14 + 22 * (k // 2)
        entries.append(tag("g", mark(k, x, y), tag("text", name, x=x + 12, y=y + 4)))
    return join(entries)
