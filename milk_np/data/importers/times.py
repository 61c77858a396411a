"""Times of pairs: dates, ISO 8601 text, or numbers such as seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.coded import Coded
from milk_np.errors import DataError, SettingsError

_UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (np.inf, 1e-3))
"""Numbers since 1970 below the first value are seconds, then milliseconds, microseconds, nanoseconds; the second value
is one of them in microseconds."""


@dataclass(frozen=True, eq=False)
class Times:
    """Times (n) int64 or float64: microseconds since 1970 if they are `dates`, else numbers as the data has them."""

    values: NDArray[Any]
    dates: bool

    def where(self, kept: NDArray[np.bool_]) -> Times:
        """The rows `kept` (n,)."""
        return replace(self, values=self.values[kept])

    def point(self, text: str) -> Any:
        """What `text`, a date or a number, is in these times. SettingsError if it is neither."""
        if not self.dates:
            try:
                return float(text)
            except ValueError:
                pass
        try:
            moment = _microseconds(text)
        except ValueError as error:
            raise SettingsError(
                f"--new-since: expected a date such as 2024-05-31{'' if self.dates else ', a number'} or a share such "
                f"as 0.2, got {text!r}"
            ) from error
        return moment if self.dates else moment / self._unit()

    def text(self, value: Any) -> str:
        """A time as a person writes it."""
        if not self.dates:
            return f"{value:g}" if isinstance(value, float) and value % 1 else f"{int(value)}"
        moment = datetime.fromtimestamp(int(value) / 1e6, UTC)
        return moment.strftime("%Y-%m-%d" if int(value) % 86_400_000_000 == 0 else "%Y-%m-%d %H:%M:%S")

    def _unit(self) -> float:
        """Microseconds in one of the numbers, guessed from their size."""
        largest = float(np.abs(self.values).max(initial=0))
        return next(unit for below, unit in _UNITS if largest < below)


def times_of(column: NDArray[Any] | Coded, where: str) -> Times:
    """The times of a column."""
    if isinstance(column, Coded):
        if column.ids.dtype.kind == "i":
            return Times(column.values(), dates=False)
        return _of_text(column, where)
    if column.dtype.kind == "M":
        return Times(column.astype("datetime64[us]").astype(np.int64), dates=True)
    bad = np.flatnonzero(~np.isfinite(column))
    if len(bad):
        raise DataError(f"{where}: expected a time in each row, got {column[bad[0]]} in row {bad[0] + 1}")
    return Times(column, dates=False)


def _of_text(column: Coded, where: str) -> Times:
    try:
        return Times(column.ids.astype(np.float64)[column.codes], dates=False)
    except ValueError:
        pass
    moments = np.empty(len(column.ids), np.int64)
    for n, text in enumerate(column.ids.tolist()):
        try:
            moments[n] = _microseconds(text)
        except ValueError as error:
            row = int(np.flatnonzero(column.codes == n)[0]) + 1
            raise DataError(
                f"{where}: expected times such as 2024-05-31, 2024-05-31 17:00:00 or numbers, got {text!r} (row {row})"
            ) from error
    return Times(moments[column.codes], dates=True)


def _microseconds(text: str) -> int:
    """An ISO 8601 date or time in microseconds since 1970; without a zone it is UTC."""
    moment = datetime.fromisoformat(text.strip())
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
