"""One setting, described once: its type, range, choices, help and spellings.

The command line, the TOML reader and the checks of the Python interface are all derived from `Option`, so
that a setting is described in one place only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from milk_np.errors import SettingsError
from milk_np.text import nearest

Scalar = int | float | str
Value = Scalar | tuple[Scalar, ...] | None
_Type = type  # `type` is a field of Option

_WORDS: dict[type, str] = {int: "whole number", float: "number", str: "name"}


@dataclass(frozen=True)
class Option:
    """What a setting accepts.

    `many` says whether it is one value ("no"), a sequence ("yes") or either ("maybe": a count or a list).
    `low` and `high` are inclusive bounds, `above` is an exclusive one; `choices` match in any case.
    `number` is the type of the numbers that a text may be besides its `choices`, and keeps as text; a text without
    choices may be anything else too, which `words` describe. `none` says what an unset value means; if it is empty,
    the setting can't be unset. `nothing` is the word of the help for a default that stands for nothing given: an empty
    text or list ("none" where there is no word), or 0.
    """

    type: type
    group: str
    help: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    number: _Type | None = None
    words: str = ""
    many: Literal["no", "yes", "maybe"] = "no"
    none: str = ""
    nothing: str = ""
    metavar: str = ""

    def expected(self) -> str:
        """What the setting accepts, in words."""
        if self.many == "no":
            return self._expected_scalar()
        if self.many == "maybe":
            return f"{self._expected_scalar()}, or several separated by commas"
        return f"values separated by commas, each {self._expected_scalar()}"

    def _expected_scalar(self) -> str:
        if self.words:
            return self.words
        if self.number is not None:
            return f"{self._in_words(self.number)}, or {' or '.join(self.choices)}"
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return self._in_words(self.type)

    def _in_words(self, kind: _Type) -> str:
        unbounded = "finite " if kind is float and self.high is None else ""
        return f"a {unbounded}{_WORDS[kind]}{self._range()}"

    def _range(self) -> str:
        if self.low is not None and self.high is not None:
            return f" from {self.low:g} to {self.high:g}"
        lower = "" if self.low is None else f" of at least {self.low:g}"
        if self.above is not None:
            lower = f" above {self.above:g}"
        if self.high is None:
            return lower
        return f"{lower}{' and' if lower else ''} at most {self.high:g}"

    def from_text(self, text: str) -> Value:
        """Value of a text from the command line; raises ValueError with what was expected."""
        if self.many == "yes" or (self.many == "maybe" and "," in text):
            return tuple(self._scalar_from_text(part) for part in _parts(text))
        return self._scalar_from_text(text.strip())

    def _scalar_from_text(self, text: str) -> Scalar:
        try:
            value: Scalar = self.type(text)
        except ValueError:
            raise ValueError(f"got {text!r}, expected {self.expected()}") from None
        return self._checked(value)

    def check(self, value: object) -> Value:
        """The value in its normal form (tuples, floats, choices as listed), or ValueError."""
        if value is None and self.none:
            return None
        if self.many != "no" and isinstance(value, str):
            return self.from_text(value)
        if self.many != "no" and isinstance(value, Iterable):
            return _same(tuple(self._checked(part) for part in value), value)
        if self.many == "yes":
            raise ValueError(f"got {value!r}, expected {self.expected()}")
        return self._checked(value)

    def _checked(self, value: object) -> Scalar:
        scalar = self._number_as_text(value) or _as_type(value, self.type)
        if isinstance(scalar, str) and not self._is_number(scalar) and self.choices:
            scalar = {choice.lower(): choice for choice in self.choices}.get(scalar.lower())
        if scalar is None or not self._in_range(scalar):
            raise ValueError(f"got {value!r}, expected {self.expected()}")
        return scalar

    def _number_as_text(self, value: object) -> str:
        """The text of a number, as somebody would type it; empty if the setting takes none, or not this one."""
        number = None if self.number is None else _as_type(value, self.number)
        return "" if number is None else repr(number).removesuffix(".0")

    def _is_number(self, text: str) -> bool:
        """Whether a text is a number that the setting takes."""
        try:
            return self.number is not None and self._in_range(self.number(text))
        except ValueError:
            return False

    def _in_range(self, value: Scalar) -> bool:
        if isinstance(value, str):
            return True
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
        )


def option(default: Value, type_: type, group: str, help_: str, **more: Any) -> Any:
    """Dataclass field of a setting; `more` are further attributes of `Option`."""
    return field(default=default, metadata={"option": Option(type_, group, help_, **more)})


def retold(parent: Any, name: str, help_: str) -> Any:
    """Dataclass field of a setting of `parent`, with other help: for a model to which it means less."""
    inherited = parent.__dataclass_fields__[name]
    return field(default=inherited.default, metadata={"option": replace(inherited.metadata["option"], help=help_)})


def _same(found: tuple[Scalar, ...], given: Iterable[object]) -> tuple[Scalar, ...]:
    """`given` itself if it is in its normal form already, which scikit-learn's clone asks for."""
    normal = isinstance(given, tuple) and all(one is other for one, other in zip(found, given, strict=True))
    return cast("tuple[Scalar, ...]", given) if normal else found


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _as_type(value: object, type_: type) -> Scalar | None:
    """`value` as an int, float or str without loss, or None; NumPy scalars pass, booleans never do."""
    if type_ is str:
        return value if isinstance(value, str) else None
    if isinstance(value, (bool, str)) or not (hasattr(value, "__index__") or hasattr(value, "__float__")):
        return None
    if type_ is float:
        return _as_float(value)
    return int(value.__index__()) if hasattr(value, "__index__") else None


def _as_float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return None


def refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise SettingsError for the first unknown name, with the nearest known one."""
    known = list(known)
    for name in names:
        if name not in known:
            raise SettingsError(f"{what} {name!r} is unknown{nearest(name, known)}")
