"""Kinds of files and lines that are fuzzed: valid ones, how they are changed, and what reads them."""

from __future__ import annotations

import io
import json
import random
import sys
import warnings
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mutants
import numpy as np
from job_cases import CHANGES, MILK, QUIET, SEARCH, SIZES, data, in_parts, in_shards, inside, model, quietly, raw
from mutants import changed_bytes, changed_json, changed_lines, changed_npy, changed_npz, changed_table

from milk_np.cli import evaluate, merge, prepare, recommend, reproduce, train, tune
from milk_np.data import Dataset
from milk_np.data.importers.preparation import Preparation
from milk_np.data.importers.tables import from_tables
from milk_np.data.shards import load_shards
from milk_np.errors import MilkError
from milk_np.machine import threads
from milk_np.models.registry import load_settings, make_model, make_settings
from milk_np.models.stored import StoredModel, load
from milk_np.service.core import Service
from milk_np.serving.parts import KEY
from milk_np.serving.recommend import recommend_blocks

Files = dict[str, bytes]
Change = Callable[[random.Random, Files], Files]


class WrongError(Exception):
    """A program that ended as none may, or said so."""


@dataclass(frozen=True)
class Kind:
    """What is fuzzed.

    Attributes
    ----------
    make : writes valid files into a folder
    change : changes some of them
    use : reads them, with the folder as the working directory, and computes with them; returns what it found
    sealed : whether checksums tell of every change: it has to be refused, or to change nothing of what is found
    """

    make: Callable[[Path], None]
    change: Change
    use: Callable[[], Any]
    sealed: bool = False


def one_of(**changes: Callable[[random.Random, bytes], bytes]) -> Change:
    """Change one file, or two; `changes` are functions by the pattern of names, with __ for a dot."""
    patterns = {name.replace("__", "."): change for name, change in changes.items()}

    def change(rng: random.Random, files: Files) -> Files:
        found = dict(files)
        for _ in range(rng.choice((1, 1, 1, 2))):
            pattern = rng.choice(list(patterns))
            names = [name for name in files if fnmatch(name.rpartition("/")[2], pattern.replace("any", "*"))]
            name = rng.choice(names)
            if rng.random() < 0.02:
                found.pop(name, None)
            else:
                found[name] = patterns[pattern](rng, files[name])
        return found

    return change


def rarely(how: Callable[[random.Random, bytes], bytes]) -> Callable[[random.Random, bytes], bytes]:
    """That change, and changed bytes now and then."""
    return lambda rng, content: (how if rng.random() < 0.85 else changed_bytes)(rng, content)


# Data sets


def _digest(ds: Dataset) -> int:
    arrays = [ds.user, ds.item, ds.split, ds.item_split, ds.available, *ds.features.values()]
    named = [np.asarray(x).tobytes() for x in (ds.user_ids, ds.item_ids) if x is not None]
    return zlib.crc32(b"".join([*(np.ascontiguousarray(x).tobytes() for x in arrays), *named]))


def use_data(path: str) -> int:
    """Load a data set, describe it, rank with its features."""
    ds = Dataset.load(path)
    found = _digest(ds)
    ds.statistics()
    fitted = make_model(make_settings({"model": "profile"})).fit(ds)
    for _ in recommend_blocks(fitted, ds, np.arange(ds.n_users, dtype=np.int32), 2, candidates="all"):
        pass
    return found


def data_folder(folder: Path) -> None:
    """`set/`, a data set with checksums."""
    data(folder).save(folder / "set")


def change_folder(rng: random.Random, files: Files) -> Files:
    """An array or the meta of a folder, mostly with the checksum that it has now."""
    changed = one_of(any__npy=rarely(changed_npy), meta__json=changed_json)(rng, files)
    if rng.random() < 0.85:
        for name, content in changed.items():
            if name.endswith(".npy") and content is not files[name]:
                _seal(changed, name, content)
    return changed


def _seal(files: Files, name: str, content: bytes) -> None:
    """Give the meta beside an array its checksum, if the meta can still be read."""
    meta = f"{name.rpartition('/')[0]}/meta.json"
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        value = json.loads(files[meta])
        value["checksums"][Path(name).stem] = f"{zlib.crc32(content):08x}"
        files[meta] = json.dumps(value).encode()


def use_shards() -> int:
    """Load a data set in shards, all of it and a part."""
    load_shards("shards", [1])
    return _digest(load_shards("shards"))


# Models


def trained_by(*line: str) -> Callable[[Path], None]:
    """`data.npz` and `run/` of a model."""

    def make(folder: Path) -> None:
        data(folder)
        with inside(folder):
            quietly(lambda: train.main(["--data", "data.npz", "--out", "run", *line, *QUIET]))

    return make


def use_model() -> Any:
    """Load a model and ask it for everything."""
    trained = load("run/model.npz")
    found = trained.recommend(k=3, candidates="all")
    known = trained.catalogue
    trained.similar_items(known.items.words([0, known.n_items - 1]), k=2)
    if trained.serves_histories:
        trained.recommend_for_histories([known.items.words([0, 1])], k=2)
    trained.encode_items(
        {name: np.ones((1, width), np.float32) for name, width in trained.fitted_imputer().widths.items()}
    )
    return found.found.tobytes(), found.score.tobytes()


def cli(main: Callable[[list[str]], int], *line: str) -> tuple[int, str]:
    """The code of a command in this process, and what it printed if that is 0; WrongError for a fault."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        try:
            code = main(list(line))
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    if code not in (0, 2, 3, 4, 5) or "Traceback" in error.getvalue():
        raise WrongError(f"ended with {code}: {error.getvalue()[-3000:]}")
    if code and not error.getvalue().strip():
        raise WrongError(f"ended with {code} and no message")
    return code, out.getvalue() if code == 0 else ""


RESUMED = ("--data", "data.npz", "--out", "run", "--resume", "--max-epochs", "3", "--quiet", "--threads", "1")


def use_settings() -> None:
    """Read a file of settings as the commands do."""
    threads.requested(["--config", "config.toml"])
    load_settings("config.toml")


# Raw data


def raw_with_times(folder: Path) -> None:
    """`pairs.csv` with times and ratings, `image.npy` with `ids.txt`, and `text.npz` with ids."""
    raw(folder)
    lines = (folder / "pairs.csv").read_text().split()
    more = [f"{line},2024-05-{n % 28 + 1:02d},{n % 5 + 1}" for n, line in enumerate(lines[1:])]
    (folder / "pairs.csv").write_text("\n".join(["user,item,time,rating", *more]) + "\n")
    text = np.load(folder / "text.npy")
    np.savez(folder / "text.npz", ids=np.arange(len(text)).astype(str), vectors=text)
    (folder / "ids.txt").write_text("".join(f"{number}\n" for number in range(len(text))))


def use_tables(pairs: str = "pairs.csv", text: str = "text.npz") -> str:
    """A data set from tables."""
    columns = {"time_col": "time", "rating_col": "rating"}
    how = Preparation(min_rating=1.0)
    features, ids = {"image": "image.npy", "text": text}, {"image": "ids.txt"}
    return from_tables(pairs, features, how, ids=ids, **columns).statistics()


def parquet(folder: Path) -> None:
    """The same as Parquet."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    raw_with_times(folder)
    lines = [line.split(",") for line in (folder / "pairs.csv").read_text().split()]
    columns = dict(zip(lines[0], map(list, zip(*lines[1:], strict=True)), strict=True))
    pq.write_table(pa.table({**columns, "rating": [float(x) for x in columns["rating"]]}), folder / "pairs.parquet")
    text = np.load(folder / "text.npz")
    pq.write_table(
        pa.table({"item": text["ids"].tolist(), "vector": text["vectors"].tolist()}), folder / "text.parquet"
    )


def change_parquet(rng: random.Random, content: bytes) -> bytes:
    """A Parquet file whose columns have other types, values, names, or bytes."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    if rng.random() < 0.3:
        return changed_bytes(rng, content)
    table = pq.read_table(io.BytesIO(content))
    kept = table.schema.metadata
    at = rng.randrange(table.num_columns)
    name, size = table.column_names[at], table.num_rows
    columns: tuple[Callable[[], Any], ...] = (
        lambda: pa.array([None] * size),
        lambda: pa.array(list(range(size)), pa.uint64()),
        lambda: pa.array([rng.choice(mutants.WORDS[:18]) for _ in range(size)]),
        lambda: pa.array([b"\xff" * rng.randrange(4) for _ in range(size)]),
        lambda: pa.array([[1.0] * rng.randrange(3) for _ in range(size)]),
        lambda: pa.array([rng.choice(mutants.FLOATS) for _ in range(size)]),
        lambda: pa.array([2**64 - 1 - n for n in range(size)], pa.uint64()),
        lambda: pa.array([{"a": n} for n in range(size)]),
        lambda: pa.array(list(range(size)), pa.timestamp("ns")),
        lambda: table.column(at).slice(0, size).combine_chunks().dictionary_encode(),
        lambda: pa.array([rng.choice((True, False, None)) for _ in range(size)]),
        lambda: pa.array([[[1.0]]] * size),
    )
    with suppress(pa.ArrowException):
        column = rng.choice(columns)()
        match rng.randrange(6):
            case 0:
                table = table.append_column(name, column)
            case 1:
                table = table.rename_columns(
                    [rng.choice(("", "user", "item", "x")) if n == name else n for n in table.column_names]
                )
            case 2:
                table = table.slice(0, rng.choice((0, 1)))
            case _:
                table = table.set_column(at, name, column)
    table = table.replace_schema_metadata(kept)
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def shards_trained(folder: Path) -> None:
    """`run/` of data in shards, a model in a folder of parts."""
    in_shards(folder)
    with inside(folder):
        quietly(lambda: train.main(["--data", "shards", "--out", "run", *MILK, *QUIET]))


def change_part(rng: random.Random, content: bytes) -> bytes:
    """A part of lists with other columns, or that says otherwise of what it is a part."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    if rng.random() < 0.5:
        return change_parquet(rng, content)
    table, file = pq.read_table(io.BytesIO(content)), io.BytesIO()
    about = (table.schema.metadata or {}).get(KEY, b"{}")
    with suppress(pa.ArrowException, ValueError):
        pq.write_table(table.replace_schema_metadata({KEY: changed_json(rng, about)}), file)
        return file.getvalue()
    return content


# Services, lists, results


def served(folder: Path) -> None:
    """`run/`, a journal, titles, ids and new items."""
    model(folder)
    lines = [json.dumps({what: items}) for what, items in CHANGES]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "titles.csv").write_text("id,title\ni1,One\ni2,Two\n")
    (folder / "users.txt").write_text("u1\nu2\nu3\n")
    np.savez(
        folder / "new.npz", image=np.ones((2, 5), np.float32), text=np.ones((2, 4), np.float32), item_ids=["n1", "n2"]
    )


@cache
def _unchanged_model() -> StoredModel:
    """The model of the service, which no case changes."""
    return load("run/model.npz")


def use_journal() -> None:
    """Begin a service on a journal, ask it and change something."""
    each = Service(_unchanged_model, "journal.jsonl")
    each.recommend(["u1"], 3, candidates="all")
    each.put({"mine": {"image": [1.0] * 5, "text": None}})
    again = Service(_unchanged_model, "journal.jsonl")
    if "mine" not in again.added:
        raise WrongError("a change was lost")


def use_titles() -> None:
    """Read the titles of a service."""
    from milk_np.service.start import read_titles  # which needs the extra serve

    read_titles("titles.csv")


def change_journal(rng: random.Random, content: bytes) -> bytes:
    """A journal with another line, a torn one, or other bytes."""
    lines = content.rstrip(b"\n").split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = changed_json(rng, lines[at])
    return b"\n".join(lines) + rng.choice((b"\n", b"\n", b"", b"\n\n", b"\n{"))


def reproduced(folder: Path) -> None:
    """`results/` of an experiment."""
    data(folder)
    with inside(folder):
        quietly(lambda: reproduce.main([*REPRODUCE, "--quiet"]))


_ONE = ("--repeats", "1", "--systems", "milk", "--new-items", "0.6")
REPRODUCE = ("table4", "--data", "data.npz", "--out", "results", *_ONE, *SEARCH)


def tuned(folder: Path) -> None:
    """`tuned/` of a search."""
    data(folder)
    with inside(folder):
        quietly(lambda: tune.main(list(TUNE)))


TUNE = ("--data", "data.npz", "--out", "tuned", "--models", "milk", *SEARCH, "--quiet")

# Command lines

_OPTIONS = """--lr --dim --topk --data --out --model --preset --seed --seeds --protocol --epochs --batch-size
    --missing-mix
    --missing-train --users --items --candidates --split --config --threads --landmarks --beta --valid-metric --impute
    --info --k-core --new-items --json --features --user-col --item-col --separator --time-col --new-since --min-rating
    --similar --history --new-item --quiet --resume --final --like --help --nonsense --widths --users --synthetic
    --pairs --device --patience --eval-every --format --name"""
_VALUES = """data.npz run run/model.npz pairs.csv image.npy image=image.npy absent . / u1 u1,u2 i1,,i2 all new milk
    profile
    best paper FTMT ndcg@5 ndcg@0 0.5,0.5 1 2 3 5 csv out.csv out.npz x.parquet cpu gpu"""
OPTIONS, VALUES = tuple(_OPTIONS.split()), (*_VALUES.split(), *mutants.WORDS[:30])
SMALL = ("--protocol", "FTMT", *SIZES[:4], "--max-epochs", "1", "--quiet")
LINES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (
        train.main,
        ("--data", "data.npz", "--out", "new", "--protocol", "FTMT", *SIZES[:4], "--max-epochs", "1", "--quiet"),
    ),
    (train.main, ("--data", "data.npz", "--out", "new", "--preset", "best", "--topk", "5", "--quiet")),
    (prepare.main, ("pairs.csv", "image.npy", "--out", "out.npz", "--quiet")),
    (prepare.main, ("--info", "data.npz")),
    (prepare.main, ("data.npz", "--protocol", "MTMT", "--out", "out.npz")),
    (recommend.main, ("--model", "run", "--users", "u1,u2", "--topk", "3")),
    (recommend.main, ("--model", "run", "--similar", "i1")),
    (recommend.main, ("--model", "profile", "--data", "data.npz", "--history", "i1,i2", "--out", "out.csv")),
    (evaluate.main, ("--model", "run", "--data", "data.npz", "--topk", "5", "--json", "out.json")),
)


def change_line(rng: random.Random, files: Files) -> Files:
    """A command line with other options and values, as JSON in the file `line`."""
    number = rng.randrange(len(LINES))
    line = list(LINES[number][1])
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(line) + 1)
        match rng.randrange(6):
            case 0:
                line[at:at] = [rng.choice(OPTIONS)]
            case 1:
                line[at:at] = [rng.choice(OPTIONS), rng.choice(VALUES)]
            case 2:
                line[at : at + 1] = []
            case 3:
                line[at:at] = [f"{rng.choice(OPTIONS)}={rng.choice(VALUES)}"]
            case _:
                line[at : at + 1] = [rng.choice(VALUES)]
    return {
        **files,
        "line": json.dumps([number, [part.replace("\x00", "").replace("\ud800", "?") for part in line]]).encode(),
    }


def use_line() -> None:
    """Run the command of the file `line`."""
    number, line = json.loads(Path("line").read_text())
    cli(LINES[number][0], *line, "--threads", "1")


def for_lines(folder: Path) -> None:
    """Everything that lines name."""
    raw(folder)
    model(folder)
    (folder / "line").write_text(json.dumps([3, list(LINES[3][1])]))


KINDS: dict[str, Kind] = {
    "data": Kind(data, one_of(data__npz=rarely(changed_npz)), lambda: use_data("data.npz")),
    "data, bytes": Kind(data, one_of(data__npz=changed_bytes), lambda: use_data("data.npz"), sealed=True),
    "folder": Kind(data_folder, change_folder, lambda: use_data("set")),
    "folder, bytes": Kind(data_folder, one_of(any__npy=changed_bytes), lambda: use_data("set"), sealed=True),
    "shards": Kind(in_shards, change_folder, use_shards),
    "model": Kind(model, one_of(model__npz=rarely(changed_npz)), use_model),
    "model, bytes": Kind(model, one_of(model__npz=changed_bytes), use_model, sealed=True),
    "model milk": Kind(trained_by(*MILK), one_of(model__npz=rarely(changed_npz)), use_model),
    "model ridge": Kind(
        trained_by("--model", "svd-ridge", "--dim", "4", "--topk", "5"),
        one_of(model__npz=rarely(changed_npz)),
        use_model,
    ),
    "run": Kind(
        trained_by(*MILK, "--max-epochs", "2"),
        one_of(config__toml=changed_lines, env__json=changed_json, metrics__jsonl=change_journal,
               summary__json=changed_json,
               last__npz=rarely(changed_npz)),
        lambda: cli(train.main, *RESUMED),
    ),
    "settings": Kind(
        lambda folder: void((folder / "config.toml").write_text(make_settings({"model": "milk"}).to_toml())),
        one_of(config__toml=changed_lines),
        use_settings,
    ),
    "tables": Kind(raw_with_times, one_of(pairs__csv=changed_table), use_tables),
    "features": Kind(
        raw_with_times,
        one_of(image__npy=rarely(changed_npy), text__npz=rarely(changed_npz), ids__txt=changed_lines),
        use_tables,
    ),
    "parquet": Kind(
        parquet, one_of(any__parquet=change_parquet), lambda: use_tables("pairs.parquet", "text.parquet")
    ),
    "journal": Kind(served, one_of(journal__jsonl=change_journal), use_journal),
    "titles": Kind(served, one_of(titles__csv=changed_table), use_titles),
    "ids": Kind(
        served, one_of(users__txt=changed_lines), lambda: cli(recommend.main, "--model", "run", "--users", "users.txt")
    ),
    "new items": Kind(
        served,
        one_of(new__npz=rarely(changed_npz)),
        lambda: cli(recommend.main, "--model", "run", "--new-item", "new.npz"),
    ),
    "results": Kind(
        reproduced,
        one_of(any__json=changed_json, any__npz=rarely(changed_npz)),
        lambda: cli(reproduce.main, *REPRODUCE, "--report-only"),
    ),
    "model in parts": Kind(
        shards_trained,
        one_of(parts__json=changed_json, any__npz=rarely(changed_npz)),
        lambda: cli(recommend.main, "--model", "run", "--users", "all", "--topk", "3"),
    ),
    "parts": Kind(in_parts, one_of(any__parquet=change_part), lambda: cli(merge.main, "lists", "--out", "all.csv")),
    "tuned": Kind(
        tuned,
        one_of(any__json=changed_json, any__toml=changed_lines, any__npz=rarely(changed_npz)),
        lambda: cli(tune.main, *TUNE),
    ),
    "lines": Kind(for_lines, change_line, use_line),
}  # fmt: skip
if find_spec("uvicorn") is None:
    del KINDS["titles"]
COMMANDS = ("run", "ids", "new items", "results", "model in parts", "parts", "tuned", "lines")
LOADERS = tuple(name for name in KINDS if name not in COMMANDS)
"""Kinds that call readers; the others are whole commands."""


REFUSED = "refused"


def void(_value: object) -> None:
    """Nothing."""


def outcome(kind: Kind) -> Any:
    """What `use` finds, or REFUSED; raises what nothing may raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return kind.use()
        except MilkError as error:
            if not str(error).strip():
                raise WrongError("an error without a message") from error
            return REFUSED
        except OSError:  # a command tells it
            return REFUSED
        finally:
            if Path("UNPICKLED").exists():
                print("unpickled", file=sys.stderr)
                raise WrongError("something was unpickled")
