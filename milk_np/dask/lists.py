"""Lists of many users as tasks: a block of users each, in memory or as a Parquet file that is whole or absent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.dask.engine import DaskEngine
from milk_np.errors import DataError, SettingsError
from milk_np.models.serving import Excluded, exclusions
from milk_np.models.stored import StoredModel, load
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.identity import IdList
from milk_np.serving.output import Table, parquet_module
from milk_np.serving.parts import Part, different, numbers_print, read_part, write_part
from milk_np.serving.recommend import Ranked, recommend
from milk_np.serving.rows import Exclusions


@dataclass(frozen=True, eq=False)
class Job:
    """Which lists are to be made."""

    model: tuple[str, str]
    """The model's file, and its fingerprint."""
    users: NDArray[np.int32] | None
    """Numbers of the users; all if None."""
    n_users: int
    """How many these are."""
    k: int
    candidates: str | NDArray[np.int32]
    exclude_seen: bool
    exclude: Exclusions
    of: int
    """Blocks that the users are divided into."""

    @classmethod
    def made(
        cls,
        model: StoredModel,
        file: tuple[str, str],
        users: IdList | None,
        *,
        k: int,
        candidates: str | IdList,
        exclude_seen: bool,
        exclude: Excluded,
        block_users: int,
    ) -> Self:
        """Lists of `model`, whose file and fingerprint are `file`; raises what making them would begin with."""
        if block_users < 1:
            raise SettingsError(f"block_users: expected at least 1, got {block_users}")
        known = model.catalogue
        numbers = None if users is None else known.users.numbers(users)
        chosen = candidates if isinstance(candidates, str) else known.items.numbers(candidates)
        never = exclusions(exclude, known.users, known.items)
        n = known.n_users if numbers is None else len(numbers)
        job = cls(file, numbers, n, k, chosen, exclude_seen, never, max(1, -(-n // block_users)))
        recommend(model, known, np.zeros(0, np.int32), k, **job.how)
        return job

    @property
    def how(self) -> dict[str, Any]:
        """What lists may hold."""
        return {"candidates": self.candidates, "exclude_seen": self.exclude_seen, "exclude": self.exclude}

    def parts(self) -> list[Part]:
        """One for each block."""
        candidates = self.candidates if isinstance(self.candidates, str) else numbers_print(self.candidates)
        everyone = np.arange(self.n_users, dtype=np.int32) if self.users is None else self.users
        about = {
            "model": self.model[1],
            "users": numbers_print(everyone),
            "topk": self.k,
            "candidates": candidates,
            "include_seen": not self.exclude_seen,
            "exclude": numbers_print(self.exclude.items, self.exclude.query, self.exclude.found),
        }
        return [Part(number, self.of, about) for number in range(1, self.of + 1)]

    def lists(self, part: Part) -> Ranked:
        """The lists of a block of users, by number."""
        rows = part.rows(self.n_users)
        users = np.arange(rows.start, rows.stop, dtype=np.int32) if self.users is None else self.users[rows]
        model = _model(*self.model)
        return recommend(model, model.catalogue, users, self.k, **self.how)


def gathered(engine: DaskEngine, job: Job) -> Ranked:
    """All lists, in the memory of this process."""
    found = list(engine.each(_named, job, job.parts()))
    query, items, score = (
        np.concatenate([getattr(each, name) for each in found]) for name in ("query", "found", "score")
    )
    return Ranked(query, items, score, "user", "item")


def written(engine: DaskEngine, job: Job, folder: Path) -> list[Path]:
    """The files of all blocks in `folder`; those that are there already aren't made again."""
    parquet_module()
    folder.mkdir(parents=True, exist_ok=True)
    parts = job.parts()
    paths = [path_of(folder, part) for part in parts]
    _refuse_strangers(folder, paths)
    missing = [part for part, path in zip(parts, paths, strict=True) if not is_there(path, part)]
    for _ in engine.each(make, (job, str(folder.resolve())), missing):
        pass
    return paths


def path_of(folder: Path, part: Part) -> Path:
    """The file of a part."""
    return folder / f"part-{part.number:05d}-of-{part.of:05d}.parquet"


def _refuse_strangers(folder: Path, paths: list[Path]) -> None:
    others = sorted({*folder.glob("*.parquet")} - {*paths})
    if others:
        raise DataError(f"out: {folder} has other lists, such as {others[0].name}; choose another folder, or empty it")


def is_there(path: Path, part: Part) -> bool:
    """Whether a file has the lists of `part`. Raises DataError if it has others."""
    if not path.exists():
        return False
    if what := different(part, read_part(path)):
        raise DataError(f"{path}: has lists of other {what}; choose another folder, or remove it")
    return True


def make(state: tuple[Job, str], part: Part) -> None:
    """Write the lists of a block of users, unless a worker that was lost afterwards did."""
    job, folder = state
    path = path_of(Path(folder), part)
    if not is_there(path, part):
        write_part(path, tables(job, part), part)


def tables(job: Job, part: Part) -> Iterator[Table]:
    """The lists of a block of users as a table of ids."""
    yield _named(job, part).columns()


def _named(job: Job, part: Part) -> Ranked:
    """The lists of a block of users, by id."""
    known: Catalogue = _model(*job.model).catalogue
    return job.lists(part).named(known.users.names, known.items.names, "user", "item")


@lru_cache(2)
def _model(path: str, _: str) -> StoredModel:
    """The model, loaded once by each worker; its fingerprint tells it from another under the same name."""
    return load(path)
