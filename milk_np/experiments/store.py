"""Finished runs on disk, by the hash of all that affects their results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from milk_np.errors import DataError
from milk_np.experiments.runs import Result, Run
from milk_np.files import Arrays, read_npz, write_json_atomic, write_npz_atomic
from milk_np.files.parsing import json_object
from milk_np.files.schema import FLOATS, WHOLE, Field, check, check_plain

KIND = "per-user"
COSTS = ("seconds", "core_seconds", "fit_core_seconds", "fit_bytes")


class Store:
    """A folder with `KEY.json` (metrics) and `KEY.npz` (values of each test user) for every finished run."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def beside(self) -> Path:
        """The folder that this one stands in, where runs keep what they share."""
        return self.folder.parent

    def has(self, run: Run) -> bool:
        """Whether the run is finished."""
        return self._json(run).exists()

    def put(self, run: Run, result: Result) -> None:
        """Store a result; the JSON file, written last, marks the run as finished."""
        meta = {"kind": KIND, "split": "test"}
        write_npz_atomic(self._npz(run), result.per_user, meta)
        write_json_atomic(self._json(run), result.summary)

    def get(self, run: Run) -> dict[str, Any]:
        """The summary of a finished run. Raises DataError if its file is damaged."""
        try:
            found = json_object(self._json(run))
            _check(self._json(run), found, run)
            return found
        except DataError as error:
            raise DataError(f"{error}; delete it to repeat the run") from error

    def per_user(self, run: Run) -> Arrays:
        """`users` and each metric's values for them. Raises DataError if the file is damaged."""
        path = self._npz(run)
        arrays, _ = read_npz(path, KIND)
        schema = {**dict.fromkeys(arrays, Field(FLOATS, ("n",))), "users": Field(WHOLE, ("n",), low=0)}
        check_plain(path, arrays, schema)
        check(path, arrays, schema, {})
        return arrays

    def _json(self, run: Run) -> Path:
        return self.folder / f"{run.key}.json"

    def _npz(self, run: Run) -> Path:
        return self.folder / f"{run.key}.npz"


def _check(path: Path, summary: dict[str, Any], run: Run) -> None:
    """Raise DataError unless a summary is that of a run, with numbers where tables look for them."""
    for name, value in json.loads(json.dumps(run.identity())).items():
        if summary.get(name, value) != value:
            raise DataError(f"{path}: {name} is that of another run")
    if wrong := [name for name in COSTS if summary.get(name) is not None and not _is_number(summary[name])]:
        raise DataError(f"{path}: {wrong[0]} is not a number")
    if "diverged" in summary:
        return
    _check_metrics(f"{path}: valid", summary.get("valid"), run.settings.valid_metric)
    if "test" in summary:
        test = summary["test"]
        _check_metrics(f"{path}: test", test, run.settings.valid_metric)
        slices = test.get("slices")
        for name, values in slices.items() if isinstance(slices, dict) else [("slices", slices)]:
            _check_metrics(f"{path}: test: {name}", values)
        _check_exposure(f"{path}: test: exposure", test.get("exposure", {}))


def _check_exposure(where: str, groups: object) -> None:
    """Raise DataError unless these are shares by name, for each group of items."""
    of_each = groups.values() if isinstance(groups, dict) else [None]
    if not all(isinstance(shares, dict) and all(map(_is_number, shares.values())) for shares in of_each):
        raise DataError(f"{where}: expected shares by groups of items")


def _check_metrics(where: str, values: object, *names: str) -> None:
    """Raise DataError unless these are metrics by name, with those of `names` among them."""
    if not isinstance(values, dict) or not all(name in values for name in names):
        raise DataError(f"{where}: expected metrics {', '.join(names)}")
    for name, value in values.items():
        if "@" in name and not _is_number(value):
            raise DataError(f"{where}: {name} is not a number")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
