"""Arrow: Parquet files, folders of Parquet parts, and whatever gives an Arrow stream. Columns come in batches."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.coded import Coded, coded_numbers, renamed, text_ids
from milk_np.errors import DataError, MissingExtraError
from milk_np.files import refuse_special

_BATCH = 1 << 20
_MOST_WORDS = 1 << 24


def pyarrow(where: object) -> ModuleType:
    """The library, or the extra that installs it."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError(
            f"{where}: reading Parquet and data frames needs pyarrow; pip install 'milk-np[parquet]', or use CSV or "
            "NumPy arrays"
        ) from error
    module: ModuleType = pyarrow
    return module


class ArrowTable:
    """A table that gives its columns in batches, in the same order each time.

    `names` are its columns, `where` is what messages call it, `n` its rows.
    """

    def __init__(self, where: str, schema: Any, n: int, scan: Callable[[list[str]], Iterator[Any]]) -> None:
        self.where, self.schema, self.n, self._scan = where, schema, n, scan
        try:
            self.names: list[str] = list(schema.names)
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: a column's name isn't UTF-8 ({error}); write or copy it again") from error

    @classmethod
    def of_path(cls, path: Path) -> ArrowTable:
        """A Parquet file, or a folder with parts of one."""
        refuse_special(path)
        arrow = pyarrow(path)
        import pyarrow.dataset as dataset

        try:
            found = dataset.dataset(path, format="parquet", partitioning="hive")
            rows = found.count_rows()
        except (arrow.ArrowException, OSError) as error:
            raise DataError(f"{path}: can't be read as Parquet ({error}); write or copy it again") from error

        def scan(columns: list[str]) -> Iterator[Any]:
            seen = 0
            try:
                for batch in found.to_batches(columns=columns, batch_size=_BATCH):
                    seen += len(batch)
                    if seen <= rows:
                        yield batch
            except (arrow.ArrowException, OSError) as error:
                raise DataError(f"{path}: can't be read as Parquet ({error}); write or copy it again") from error
            if seen != rows:
                raise DataError(f"{path}: expected {rows:,} rows, got {seen:,} of {', '.join(columns)}; copy it again")

        return cls(str(path), found.schema, rows, scan)

    @classmethod
    def of_frame(cls, frame: Any, where: str) -> ArrowTable:
        """A data frame: anything with `__arrow_c_stream__`."""
        table = pyarrow(where).table(frame)
        return cls(where, table.schema, len(table), lambda columns: iter(table.select(columns).to_batches()))

    def column(self, name: str) -> Iterator[Any]:
        """The batches of a column; DataError if a value is missing."""
        at = 0
        for batch in self._scan([name]):
            array = batch.column(0)
            if array.null_count:
                first = at + int(np.flatnonzero(np.asarray(array.is_null()))[0])
                raise DataError(
                    f"{self.where}: column {name!r} is empty in row {first + 1}; fill it in or delete the row (other "
                    "rows may lack it too)"
                )
            at += len(array)
            yield array

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Record batches of several columns."""
        return self._scan(list(columns))

    def kind(self, name: str) -> Any:
        """The type of a column; that of its values if they are numbered words."""
        kind = self.schema.field(name).type
        return kind.value_type if pyarrow(self.where).types.is_dictionary(kind) else kind


def read_ids(table: ArrowTable, name: str) -> Coded:
    """A column of ids: whole numbers, text, or bytes that hold UTF-8 text."""
    types, kind = pyarrow(table.where).types, table.kind(name)
    with _reading(table, name):
        if types.is_integer(kind):
            none = Coded(np.zeros(0, np.int32), np.zeros(0, np.int64))
            return coded_numbers(_numbers(table, name)) if table.n else none
        if _is_text(types, kind) or types.is_decimal(kind) or str(kind).startswith("extension<arrow.uuid"):
            return _read_words(table, name)
    raise DataError(
        f"{table.where}: expected integers or strings in column {name!r}, got {kind}; cast it, since ids are compared "
        "letter by letter"
    )


@contextmanager
def _reading(table: ArrowTable, name: str) -> Iterator[None]:
    """Name the column in an error of Arrow's."""
    try:
        yield
    except pyarrow(table.where).ArrowException as error:
        raise DataError(f"{table.where}: column {name!r} can't be read ({error}); write it again") from error


def _is_text(types: Any, kind: Any) -> bool:
    checks = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    return any(getattr(types, f"is_{check}", _never)(kind) for check in checks)


def _never(kind: Any) -> bool:
    return False


def _numbers(table: ArrowTable, name: str) -> NDArray[Any]:
    """A column of numbers as one array."""
    out: NDArray[Any] | None = None
    at = 0
    for array in table.column(name):
        values = _plain(array).to_numpy(zero_copy_only=False)
        out = np.empty(table.n, values.dtype) if out is None else out
        out[at : at + len(values)] = values
        at += len(values)
    return np.zeros(0, np.int64) if out is None else out


def _plain(array: Any) -> Any:
    """Values themselves, in place of numbers of words."""
    return array.dictionary_decode() if hasattr(array, "dictionary_decode") else array


def _read_words(table: ArrowTable, name: str) -> Coded:
    """A column of text: batches have words of their own, which are brought together before they take much memory."""
    arrow = pyarrow(table.where)
    parts: list[NDArray[np.int32]] = []
    words, waiting, size = None, [], 0
    for array in table.column(name):
        part = array if hasattr(array, "dictionary") else _comparable(arrow, array).dictionary_encode()
        waiting.append(_narrow(arrow, part))
        size += len(part.dictionary)
        if size > _MOST_WORDS:
            words, size = _unite(arrow, words, waiting, parts), 0
            waiting.clear()
    words = _unite(arrow, words, waiting, parts)
    codes = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    distinct = [] if words is None else [str(word) for word in _decoded(words, table, name)]
    return _merged(codes, distinct, f"{table.where}: column {name!r}")


def _comparable(arrow: Any, array: Any) -> Any:
    """Words of a type that Arrow can number and unite."""
    array = getattr(array, "storage", array)
    if not _is_text(arrow.types, array.type):
        return array
    return array.cast(arrow.large_string() if "string" in str(array.type) else arrow.large_binary())


def _narrow(arrow: Any, part: Any) -> Any:
    """Numbered words whose numbers are int32."""
    return arrow.DictionaryArray.from_arrays(part.indices.cast(arrow.int32()), _comparable(arrow, part.dictionary))


def _unite(arrow: Any, words: Any, waiting: list[Any], parts: list[NDArray[np.int32]]) -> Any:
    """All words so far; the numbers of the parts that wait are appended to `parts`."""
    if not waiting:
        return words
    first = [] if words is None else [arrow.DictionaryArray.from_arrays(arrow.array([], arrow.int32()), words)]
    united = arrow.chunked_array([*first, *waiting]).unify_dictionaries()
    parts.extend(chunk.indices.to_numpy(zero_copy_only=False) for chunk in united.chunks[len(first) :])
    return united.chunks[-1].dictionary if len(united.chunks) else words


def _decoded(words: Any, table: ArrowTable, name: str) -> list[Any]:
    try:
        values: list[Any] = words.to_pylist()
        if str(words.type).startswith("fixed"):
            return [uuid.UUID(bytes=value) for value in values]
        return [value.decode() if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{table.where}: column {name!r} holds bytes that are no text in UTF-8 ({error.object[:16]!r}); expected "
            "text: write them as hexadecimal digits, for example"
        ) from error


def _merged(codes: NDArray[np.int32], distinct: list[str], where: str) -> Coded:
    """A column of text; words of categories that no row has are dropped."""
    return renamed(codes, text_ids(distinct, where)).compact()


def read_values(table: ArrowTable, name: str) -> NDArray[Any] | Coded:
    """A column of times or ratings: numbers as they are, dates as datetime64[us], text as ids."""
    arrow = pyarrow(table.where)
    kind = table.kind(name)
    with _reading(table, name):
        if arrow.types.is_temporal(kind):
            micro = arrow.timestamp("us", getattr(kind, "tz", None))
            parts = [array.cast(micro, safe=False) for array in table.column(name)]  # nanoseconds are cut
            return np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts]).astype("datetime64[us]")
        if arrow.types.is_integer(kind) or arrow.types.is_floating(kind):
            return _numbers(table, name)
        if arrow.types.is_decimal(kind):
            return np.concatenate([np.array(array.cast(arrow.float64())) for array in table.column(name)])
    return read_ids(table, name)
