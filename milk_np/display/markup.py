"""HTML and SVG as text: elements whose attributes and texts are escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from milk_np.text import printable

Attribute = str | float | None


class Markup(str):
    """Text that is already markup; any other string is escaped when it is inserted."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: Attribute) -> Markup:
    """Element `name`; `class_` and `aria_label` become class and aria-label, attributes that are None are left out."""
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inner = join(children)
    if name in ("meta", "link", "br", "hr"):
        return Markup(f"<{name}{''.join(parts)}>")
    return Markup(f"<{name}{''.join(parts)}>{inner}</{name}>")


def join(children: Iterable[object], between: str = "") -> Markup:
    """Children one after the other; None is left out, plain text escaped."""
    return Markup(between.join(_child(child) for child in children if child is not None))


def _child(child: object) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, (list, tuple)):
        return join(child)
    return escape(printable(str(child)), quote=False)


def _text(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
