"""Finished runs on disk, by the hash of all that affects their results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from milk_np.errors import DataError
from milk_np.experiments.runs import Result, Run
from milk_np.files import Arrays, read_npz, write_json_atomic, write_npz_atomic
from milk_np.files.parsing import json_object

KIND = "per-user"


class Store:
    """A folder with `KEY.json` (metrics) and `KEY.npz` (values of each test user) for every finished run."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

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
            return json_object(self._json(run))
        except DataError as error:
            raise DataError(f"{error}; delete it to repeat the run") from error

    def per_user(self, run: Run) -> Arrays:
        """`users` and each metric's values for them."""
        return read_npz(self._npz(run), KIND)[0]

    def _json(self, run: Run) -> Path:
        return self.folder / f"{run.key}.json"

    def _npz(self, run: Run) -> Path:
        return self.folder / f"{run.key}.npz"
