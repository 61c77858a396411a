"""Settings as keyword arguments: their types and defaults, for `inspect`, editors and type checkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, Literal

from milk_np.settings.option import Option

Defaults = Mapping[str, object]


def annotation(option: Option) -> tuple[str, Any]:
    """The type of a setting, as source and as `typing` has it."""
    text, kind = _scalar(option)
    several: Any = Sequence
    if option.many == "yes":
        text, kind = f"Sequence[{text}]", several[kind]
    if option.many == "maybe":
        text, kind = f"{text} | Sequence[{text}]", kind | several[kind]
    return (f"{text} | None", kind | None) if option.none else (text, kind)


def _scalar(option: Option) -> tuple[str, Any]:
    if option.number is not None:
        return f"{option.number.__name__} | str", option.number | str
    if not option.choices:
        return option.type.__name__, option.type
    words = ", ".join(f'"{word}"' for word in option.choices)
    return f"Literal[{words}]", Literal[option.choices]


def signature(first: Parameter, options: Mapping[str, Option], defaults: Defaults) -> Signature:
    """The signature of a function that takes `first`, and the settings by name."""
    settings = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation(option)[1])
        for name, option in options.items()
    ]
    return Signature([first, *settings])
