"""Results as tables: columns by name, handed over to Arrow and pandas, shown in notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from milk_np.display.arrow import arrow_column
from milk_np.display.markup import Markup, tag
from milk_np.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas
    import pyarrow

Columns = Mapping[str, NDArray[Any]]
"""Columns of equal length by name: whole numbers, floats, booleans or text."""

SHOWN_ROWS = 10
_STYLE = "text-align:left;font-variant-numeric:tabular-nums"


class Tabular(ABC):
    """A result that is a table. pandas, polars, pyarrow, DuckDB and others take it as it is, or by these methods."""

    @abstractmethod
    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name, of equal length."""

    def to_arrow(self) -> pyarrow.Table:
        """The table in Arrow. Raises MissingExtraError without pyarrow (the extra `parquet`)."""
        return arrow_table(self.columns())

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a data frame. Raises MissingExtraError without pandas (the extra `frames`)."""
        try:
            import pandas
        except ImportError:
            raise MissingExtraError('to_pandas needs pandas; pip install "milk-np[frames]"') from None
        return pandas.DataFrame({name: _plain(column) for name, column in self.columns().items()})

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table for any library that speaks Arrow: `polars.DataFrame(result)`, `pyarrow.table(result)`."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        """What a notebook shows: what it is, and the first rows."""
        return html_table(repr(self), self.columns())


class Table(Tabular):
    """Columns by name."""

    def __init__(self, columns: Columns) -> None:
        self._columns = dict(columns)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name."""
        return dict(self._columns)

    def __repr__(self) -> str:
        return f"table of {row_count(self._columns):,} rows: {', '.join(self._columns)}"


def arrow_table(columns: Columns) -> Any:
    """Columns as an Arrow table."""
    arrow = pyarrow_module("to_arrow needs pyarrow, which is not installed")
    made = [arrow_column(arrow, column) for column in columns.values()]
    return arrow.Table.from_arrays(made, names=list(columns))


def _plain(column: NDArray[Any]) -> Any:
    """A column for pandas: text as a list, numbers as they are."""
    return column.tolist() if column.dtype.kind == "U" else column


def pyarrow_module(why: str, otherwise: str = "") -> Any:
    """pyarrow, or MissingExtraError that begins with `why`."""
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError(f'{why}; pip install "milk-np[parquet]"{otherwise}') from None
    return pyarrow


def row_count(columns: Columns) -> int:
    """Rows of a table."""
    return len(next(iter(columns.values()), ()))


def html_table(title: str, columns: Columns, most: int = SHOWN_ROWS) -> Markup:
    """A table in HTML, with its first rows; ids and names are escaped."""
    n = row_count(columns)
    rows = zip(*(_cells(column[:most]) for column in columns.values()), strict=True)
    head = tag("thead", tag("tr", *[tag("th", name, scope="col", style=_STYLE) for name in columns]))
    body = tag("tbody", *[tag("tr", *[tag("td", cell, style=_STYLE) for cell in row]) for row in rows])
    more = tag("p", f"and {n - most:,} more rows") if n > most else None
    return tag("div", tag("table", tag("caption", title, style="text-align:left"), head, body), more)


def facts_table(title: str, facts: Mapping[str, object]) -> Markup:
    """Names and values, two columns."""
    rows = [
        tag("tr", tag("th", name, scope="row", style=_STYLE), tag("td", value, style=_STYLE))
        for name, value in facts.items()
    ]
    return tag("table", tag("caption", title, style="text-align:left"), tag("tbody", *rows))


def _cells(column: NDArray[Any]) -> Sequence[str]:
    if column.dtype.kind == "f":
        return ["" if np.isnan(value) else f"{value:.4f}" for value in column.tolist()]
    return [str(value) for value in column.tolist()]
