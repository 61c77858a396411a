"""A self-contained page: no script, nothing loaded, light or dark like the reader's system, narrow or wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from milk_np.reports.markup import Markup, join, tag
from milk_np.reports.svg import STYLE as SVG_STYLE

STYLE = (
    """
:root{color-scheme:light dark;--back:#fff;--card:#f5f6f8;--text:#1b1f24;--muted:#545c66;--grid:#d9dee4;--edge:#9aa4af;
--good:#0a6b46;--bad:#a52a1d;--c0:#0b5cad;--c1:#b0490a;--c2:#0a7350;--c3:#7a3ea3;--c4:#5b5f00}
@media (prefers-color-scheme:dark){:root{
--back:#13161a;--card:#1d2228;--text:#e8eaed;--muted:#aab3bd;--grid:#343b44;--edge:#6b7683;
--good:#58c896;--bad:#ff8f80;--c0:#6db3ff;--c1:#f2a15c;--c2:#4fc793;--c3:#cda0ef;--c4:#c9ca57}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:1rem;background:var(--back);color:var(--text);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.3rem;margin:2.2rem 0 .4rem;
border-top:1px solid var(--grid);padding-top:1rem}h3{font-size:1.08rem;margin:1.4rem 0 .3rem}
h4{font-size:1rem;margin:1rem 0 .2rem}
p{margin:.4rem 0;max-width:72ch}.muted,caption,figcaption{color:var(--muted)}
nav a{display:inline-block;margin:.15rem .8rem .15rem 0;padding:.2rem 0}a{color:var(--c0)}
.wide{overflow-x:auto;margin:.5rem 0 1rem;border:1px solid var(--grid);border-radius:6px;background:
linear-gradient(to right,var(--back) 40%,transparent) 0 0/3rem 100% no-repeat local,
linear-gradient(to left,var(--back) 40%,transparent) 100% 0/3rem 100% no-repeat local,
linear-gradient(to right,var(--edge),transparent) 0 0/1.2rem 100% no-repeat scroll,
linear-gradient(to left,var(--edge),transparent) 100% 0/1.2rem 100% no-repeat scroll}
.wide pre{margin:0;padding:.6rem;font:.82rem/1.4 ui-monospace,monospace}
.wide:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.4rem .6rem;font-size:.9rem}
th,td{padding:.3rem .6rem;text-align:right;white-space:nowrap;border-top:1px solid var(--grid)}
th:first-child,td:first-child{text-align:left}tbody th{font-weight:400}
.key tbody th{white-space:normal;min-width:11rem}
.words{text-align:left}thead th{background:var(--card)}
tr.best td,tr.best th{font-weight:700}.good{color:var(--good)}.bad{color:var(--bad)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:1rem;align-items:start}
figure{margin:.5rem 0;background:var(--card);border-radius:6px;padding:.7rem}
figcaption{font-size:.88rem;margin-top:.3rem}
details{margin:.4rem 0 1rem}summary{cursor:pointer;padding:.2rem 0}
code{font:.86em ui-monospace,monospace;overflow-wrap:anywhere}
@media (max-width:600px){body{padding:.7rem;font-size:15px}
.key th,.key td{white-space:normal}}
@media print{.wide{overflow:visible}}
"""
    + SVG_STYLE
)


def page(title: str, *body: object) -> str:
    """The whole document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    main = tag("main", tag("h1", title), *body)
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', main), lang='en')}\n"


def table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    best: frozenset[int] = frozenset(),
    *,
    words: frozenset[int] = frozenset(),
    class_: str | None = None,
) -> Markup:
    """A table that scrolls sideways on its own; rows numbered in `best` are bold, columns in `words` hold text."""
    columns = [tag("th", name, scope="col", class_=_class(place, words)) for place, name in enumerate(head)]
    heading = tag("thead", tag("tr", *columns))
    lines = [_row(row, number in best, words) for number, row in enumerate(rows)]
    whole = tag("table", tag("caption", caption), heading, tag("tbody", *lines), class_=class_)
    return tag("div", whole, class_="wide", tabindex="0", role="group", aria_label=caption)


def _row(row: Sequence[object], best: bool, words: frozenset[int]) -> Markup:
    first, *rest = row
    cells = [tag("td", cell, class_=_class(place, words)) for place, cell in enumerate(rest, 1)]
    return tag("tr", tag("th", first, scope="row"), *cells, class_="best" if best else None)


def _class(place: int, words: frozenset[int]) -> str | None:
    return "words" if place in words else None


def text(caption: str, lines: str) -> Markup:
    """Lines of text in columns, as a command prints them, in a frame that scrolls sideways on its own."""
    return tag("div", tag("pre", lines), class_="wide", tabindex="0", role="group", aria_label=caption)


def key_values(caption: str, values: Mapping[str, object]) -> Markup:
    """Names and values, two columns."""
    rows = [(name, value) for name, value in values.items()]
    return table(caption, ("name", "value"), rows, words=frozenset({1}), class_="key")


def plot(svg: Markup, caption: str) -> Markup:
    """A plot with a caption."""
    return tag("figure", svg, tag("figcaption", caption))


def plots(*figures: Markup) -> Markup:
    """Plots next to each other if there is room."""
    return tag("div", *figures, class_="plots")


def more(summary: str, *children: object) -> Markup:
    """Content that is collapsed until the reader opens it."""
    return tag("details", tag("summary", summary), *children)


def contents(sections: Mapping[str, str]) -> Markup:
    """Links to sections by their ids."""
    return tag("nav", *[tag("a", title, href=f"#{id_}") for id_, title in sections.items()], aria_label="Contents")


def section(id_: str, title: str, *children: object) -> Markup:
    """A part with a heading that can be linked to."""
    return tag("section", tag("h2", title, id=id_), join(children), aria_labelledby=id_)
