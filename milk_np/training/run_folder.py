"""The run folder: settings, environment, log, metrics, summary and models of one run."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from milk_np.errors import DataError, SettingsError
from milk_np.files import write_json_atomic, write_text_atomic
from milk_np.files.appending import append_line
from milk_np.files.parsing import json_object, parse_json
from milk_np.files.writing import remove_leftovers, sync
from milk_np.machine.environment import environment
from milk_np.settings.shared import Settings
from milk_np.training.history import History
from milk_np.training.run_lock import RunLock, locked

CONFIG, ENV, LOG, METRICS, SUMMARY = "config.toml", "env.json", "log.txt", "metrics.jsonl", "summary.json"
MODEL, LAST = "model.npz", "last.npz"


class RunFolder:
    """Paths and writers of a run's files. `model.npz` is the best epoch, `last.npz` what resuming needs."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: RunLock | None = None

    @classmethod
    def create(
        cls, path: str | Path, settings: Settings, *, data_hash: str, command: Sequence[str] = (), final: bool = False
    ) -> Self:
        """A new run's folder, holding its settings and environment; `final` if nothing is held out from the training.

        Raises SettingsError if the folder already holds a run or another process is writing one there, OSError if it
        can't be written.
        """
        run = cls(path)
        run.path.mkdir(parents=True, exist_ok=True)
        run._lock = locked(run.path)
        if run.exists:
            raise SettingsError(
                f"--out {path}: already holds a run; continue it with --resume or choose another folder"
            )
        write_json_atomic(run.file(ENV), {"data_hash": data_hash, "final": final, **environment(command)})
        run.write_settings(settings)  # last: it marks the folder as a run
        return run

    @classmethod
    def reopen(cls, path: str | Path, *, data_hash: str | None = None) -> Self:
        """The folder of a run to continue, without the temporary files that a killed process left.

        Raises SettingsError if it holds no run or another process is writing it, DataError if the run was made on
        other data.
        """
        run = cls(path)
        if not run.exists:
            raise SettingsError(f"--out {path}: holds no run to resume; leave out --resume to start one")
        run._lock = locked(run.path)
        remove_leftovers(run.path)
        if data_hash is not None:
            run._refuse_other_data(data_hash)
        return run

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run; one that was killed at its very beginning isn't one."""
        begun = any(self.file(name).exists() for name in (ENV, MODEL, LAST, SUMMARY))
        return begun and self.file(CONFIG).exists()

    @property
    def final(self) -> bool:
        """Whether nothing is held out from the training."""
        return bool(json_object(self.file(ENV)).get("final"))

    @property
    def model(self) -> Path:
        """The best epoch's model."""
        return self.file(MODEL)

    @property
    def last(self) -> Path:
        """The state of the last epoch, from which training resumes."""
        return self.file(LAST)

    def file(self, name: str) -> Path:
        """Path of a file of the run."""
        return self.path / name

    @property
    def config(self) -> Path:
        """The settings that the run was started with."""
        return self.file(CONFIG)

    def write_settings(self, settings: Settings) -> None:
        """Write `config.toml`."""
        write_text_atomic(self.file(CONFIG), settings.to_toml())

    def log(self, line: str) -> None:
        """Append a line to `log.txt`."""
        append_line(self.file(LOG), line)

    def append_metrics(self, record: Mapping[str, object]) -> None:
        """Append one epoch's record, which must hold "epoch", to `metrics.jsonl`."""
        append_line(self.file(METRICS), json.dumps(record, allow_nan=False))

    def metrics(self) -> list[dict[str, Any]]:
        """The records of `metrics.jsonl`; a truncated last line is skipped."""
        try:
            lines = self.file(METRICS).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        records = [self._record(line, number) for number, line in enumerate(lines, 1)]
        if None in records[:-1]:
            raise DataError(f"{self.file(METRICS)}: line {records.index(None) + 1} is not JSON; fix or delete it")
        return [record for record in records if record is not None]

    def history(self, valid_metric: str) -> History | None:
        """The history of a run that learned by steps, from `metrics.jsonl`; None of a closed form's."""
        history = History(self.metrics())
        for record in history.records:
            if valid_metric in record.get("valid", {}):
                history.judge(record["epoch"], record["valid"][valid_metric])
        return history if history.records else None

    def rewrite_metrics(self, records: Sequence[Mapping[str, object]]) -> None:
        """Replace the contents of `metrics.jsonl` by `records`: a resumed run writes the others again."""
        lines = [json.dumps(record, allow_nan=False) + "\n" for record in records]
        write_text_atomic(self.file(METRICS), "".join(lines))

    def write_summary(self, summary: Mapping[str, object]) -> None:
        """Write `summary.json`, which marks a run as finished: nothing of it may be lost when the power fails."""
        if self.file(METRICS).exists():
            sync(self.file(METRICS))
        write_json_atomic(self.file(SUMMARY), dict(summary))

    def summary(self) -> dict[str, Any] | None:
        """The summary of a finished run, None while it isn't finished."""
        if not self.file(SUMMARY).exists():
            return None
        found = json_object(self.file(SUMMARY))
        for name in ("epochs", "best_epoch"):
            several = found.get(name, 0)
            if not all(type(value) is int for value in (several if isinstance(several, list) else [several])):
                where = self.file(SUMMARY)
                raise DataError(f"{where}: {name}: expected a whole number, got {several!r}; was it edited?")
        return found

    def _record(self, line: str, number: int) -> dict[str, Any] | None:
        try:
            record = parse_json(line, number)
        except DataError:
            return None
        if not isinstance(record, dict) or not isinstance(record.get("epoch"), int):
            raise DataError(f'{self.file(METRICS)}: line {number} has no whole number "epoch"')
        return record

    def _refuse_other_data(self, data_hash: str) -> None:
        recorded = json_object(self.file(ENV)).get("data_hash")
        if recorded != data_hash:
            raise DataError(
                f"--resume {self.path}: the run was made on data with hash {recorded}, "
                f"not {data_hash}; give the same --data and missing-modality options"
            )


class OthersRun(RunFolder):
    """A run that another process writes: it can be read, and what would be written is left to that process."""

    def write_settings(self, settings: Settings) -> None:
        """Nothing."""

    def rewrite_metrics(self, records: Sequence[Mapping[str, object]]) -> None:
        """Nothing."""

    def write_summary(self, summary: Mapping[str, object]) -> None:
        """Nothing."""

    def log(self, line: str) -> None:
        """Nothing."""

    def append_metrics(self, record: Mapping[str, object]) -> None:
        """Nothing."""


def model_in(path: str | Path, argument: str = "") -> Path:
    """The model in a run's folder; `path` itself where that isn't a folder.

    Raises SettingsError, which begins with `argument`, for a folder without a model; that of several runs is told one.
    """
    file = RunFolder(path).model if Path(path).is_dir() else Path(path)
    if file.is_file() or not Path(path).is_dir():
        return file
    seeds = sorted(str(seed) for seed in Path(path).glob("seed-*") if RunFolder(seed).model.is_file())
    if seeds:
        raise SettingsError(f"{argument}{path}: contains several runs; choose one, such as {seeds[0]}")
    raise SettingsError(f"{argument}{path}: has no {file.name}; expected the folder of a run, or the file of a model")


def default_folder(data_name: str, settings: Settings, root: str | Path = "runs") -> Path:
    """`runs/<data>-<model>-<preset>-s<seed>-<time>-<random>`, with characters unsuitable for file names replaced."""
    name = re.sub(r"[^A-Za-z0-9._]+", "_", data_name).strip("._") or "data"
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Path(root) / f"{name}-{settings.model}-{settings.preset}-s{settings.seed}-{stamp}-{secrets.token_hex(3)}"
