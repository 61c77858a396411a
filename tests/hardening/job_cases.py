"""Small jobs of every command that writes: how each begins, how it goes on after a stop, what it leaves.

A job runs in a folder that is its working directory, so that its results name no other place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.cli import evaluate, export, merge, prepare, recommend, reproduce, train, tune, update
from milk_np.data import Dataset, make_synthetic
from milk_np.files import write_text_atomic
from milk_np.models.stored import load
from milk_np.service.core import RefusedError, Service
from milk_np.training.run_folder import RunFolder

SIZES = ("--dim", "4", "--batch-size", "128", "--max-epochs", "3", "--eval-every", "1", "--topk", "5")
MILK = ("--protocol", "FTMT", *SIZES)
QUIET = ("--quiet", "--threads", "1")
TIMES = {"seconds", "core_seconds", "fit_core_seconds", "fit_bytes", "size", "token"}
"""What differs from run to run in JSON files."""
TOKEN = r"\.[0-9a-f]{16}\.npz$"
"""The end of a file's name that says to which version of a folder in parts it belongs."""
APPENDED = {"log.txt", "journal.jsonl", "told"}
"""Files that a resumed run writes on in: what they hold tells of the stop, too."""


@dataclass(frozen=True)
class Job:
    """One command on small data.

    Attributes
    ----------
    begin : puts what stands in the folder before into it
    run : runs the command; its exit code
    go_on : what a user does after a stop; its exit code
    whole : names of files and folders that are as before or as after at any moment
    program : module and line of the command, for a process that is started anew; a job without one has no command
    """

    name: str
    begin: Callable[[Path], None]
    run: Callable[[], int]
    go_on: Callable[[], int]
    whole: tuple[str, ...] = ()
    program: tuple[str, ...] = ()


def data(folder: Path, seed: int = 2) -> Dataset:
    """`data.npz`: users u0, u1, ... and items i0, i1, ..., half of them new."""
    ds = make_synthetic(40, 80, 600, {"image": 5, "text": 4}, new_items=0.5, seed=seed)
    users, items = (np.array([f"{kind}{n}" for n in range(size)]) for kind, size in (("u", 40), ("i", 80)))
    ds = replace(ds, user_ids=users, item_ids=items)
    ds.save(folder / "data.npz")
    return ds


def raw(folder: Path) -> None:
    """`pairs.csv` and two feature files."""
    ds = data(folder)
    lines = [f"u{u},{i}" for u, i in zip(ds.user.tolist(), ds.item.tolist(), strict=True)]
    (folder / "pairs.csv").write_text("\n".join(["user,item", *lines]) + "\n")
    for name in ds.modalities:
        np.save(folder / f"{name}.npy", np.asarray(ds.features[name]))
    (folder / "data.npz").unlink()


def model(folder: Path) -> None:
    """`data.npz` and `run/`, a finished run."""
    data(folder)
    with inside(folder):
        quietly(lambda: train.main(["--data", "data.npz", "--out", "run", "--preset", "best", "--topk", "5", *QUIET]))


def older(make: Callable[[Path], None], *line: str, change: int = 1) -> Callable[[Path], None]:
    """What `make` makes, and what a command wrote there before from other data."""

    def begin(folder: Path) -> None:
        make(folder)
        with inside(folder):
            quietly(lambda: prepare.main([*line, *QUIET[:1], "--split-seed", str(change)]))

    return begin


def command(main: Callable[[list[str]], int], *line: str) -> Callable[[], int]:
    """A command with its line."""
    return lambda: main(list(line))


def again(name: str, begin: Callable[[Path], None], main: Any, *line: str, whole: tuple[str, ...] = ()) -> Job:
    """A job that goes on by the same command."""
    run = command(main, *line)
    return Job(name, begin, run, run, whole, (main.__module__, *line))


def trained(name: str, *line: str, begin: Callable[[Path], Any] = data) -> Job:
    """A job of milk-train, which goes on with --resume if there is a run."""
    options = ("--data", "data.npz", "--out", "run", *line, *QUIET)

    def go_on() -> int:
        return train.main([*options, *(["--resume"] if RunFolder("run").exists else [])])

    program = (train.__name__, *options)
    return Job(name, lambda folder: void(begin(folder)), command(train.main, *options), go_on, program=program)


def void(_value: object) -> None:
    """Nothing."""


def in_shards(folder: Path) -> None:
    """`shards/`, a data set for several machines."""
    data(folder)
    with inside(folder):
        quietly(lambda: prepare.main(["data.npz", "--out", "shards", "--shards", "2", "--quiet"]))


def in_parts(folder: Path) -> None:
    """`lists/`, two parts of the lists of `run/`."""
    model(folder)
    (folder / "lists").mkdir()
    with inside(folder):
        for number in (1, 2):
            quietly(lambda: recommend.main([*part(number), *QUIET]))  # noqa: B023


def part(number: int) -> tuple[str, ...]:
    """The line of a part of two."""
    out = ("--shard", f"{number}/2", "--out", f"lists/{number}.parquet")
    return ("--model", "run", "--users", "all", "--topk", "5", *out)


def two_models(folder: Path) -> None:
    """`run/` of one data set, and `tomorrow.npz`, another one."""
    model(folder)
    ds = data(folder, seed=3)
    ds.save(folder / "tomorrow.npz")
    data(folder)


PREPARE = ("pairs.csv", "image.npy", "text.npy", "--user-col", "user", "--item-col", "item")
PREPARED = (*PREPARE, "--out")
SEARCH = ("--trials", "2", "--jobs", "1", "--dim", "4", "--batch-size", "128", "--max-epochs", "2", "--eval-every", "2")
BIG = ("--synthetic", "--users", "30", "--items", "40", "--pairs", "300", "--widths", "image=3", "--out")


def lists(ending: str) -> Job:
    """A job of milk-recommend that replaces an earlier file."""

    def begin(folder: Path) -> None:
        model(folder)
        (folder / f"lists.{ending}").write_text("earlier\n")

    line = ("--model", "run", "--users", "all", "--topk", "5", "--out", f"lists.{ending}", *QUIET)
    return again(f"recommend {ending}", begin, recommend.main, *line, whole=(f"lists.{ending}",))


# A service's journal

CHANGES: tuple[tuple[str, Any], ...] = (
    ("put", {"fresh": {"image": [1.0, 0.5, 0.0, -0.5, 1.0], "text": None}}),
    ("remove", ["i3", "i5"]),
    ("put", {"i3": {"image": None, "text": [1.0, 0.0, 0.0, 1.0]}, "fresh": {"image": [0.0] * 4 + [1.0], "text": None}}),
    ("remove", ["fresh"]),
    ("put", {"late": {"image": [0.1, 0.2, 0.3, 0.4, 0.5], "text": [0.5, 0.0, 0.5, 0.0]}}),
)


def service() -> Service:
    """A service on the run, with a journal that is kept."""
    return Service(lambda: load(Path("run/model.npz")), "journal.jsonl")


def answer(each: Service) -> list[Any]:
    """What a service knows and answers, as JSON holds it."""
    found = each.recommend([f"u{n}" for n in range(6)], 8, candidates="all", exclude_seen=False)
    return [sorted(each.added), sorted(each.removed), found.found.tolist(), found.score.tolist()]


def serve() -> int:
    """Pass changes to a service, each noted in `told` when it is answered."""
    try:
        each = service()
    except OSError as error:
        print(error)
        return 3
    try:
        for number, (what, items) in enumerate(CHANGES):
            (each.put if what == "put" else each.remove)(items)
            _note(number)
            _compare(each)
        return _answered(each)
    except OSError as error:  # the answer is an error; nobody may take the change for done
        print(error)
        _compare(each)
        return 3


def _note(number: int) -> None:
    """The client hears that a change is done."""
    with open("told", "a", encoding="utf-8") as told:
        told.write(f"{number}\n")
        told.flush()
        os.fsync(told.fileno())


def _compare(each: Service) -> None:
    """A service and one that begins now answer alike."""
    if answer(each) != answer(service()):
        raise RuntimeError("another worker answers otherwise")


def serve_on() -> int:
    """A service that begins again knows what was told; the other changes follow."""
    told = min(Path("told").read_text().count("\n") if Path("told").exists() else 0, len(CHANGES))
    each = service()
    states = [_after(number) for number in (told, told + 1)]
    if answer(each) not in states:  # one change may be kept whose answer nobody heard
        raise RuntimeError(f"after {told} changes that were told, {answer(each)[:2]}")
    for number, (what, items) in enumerate(CHANGES[told:], told):
        with suppress(RefusedError):  # it is gone already, but nobody heard that
            (each.put if what == "put" else each.remove)(items)
        _note(number)
    _compare(each)
    return _answered(each)


def _after(count: int) -> list[Any]:
    """What a service answers after so many changes."""
    Path("other.jsonl").unlink(missing_ok=True)  # of one that was killed here
    each = Service(lambda: load(Path("run/model.npz")), os.devnull if count == 0 else "other.jsonl")
    try:
        for what, items in CHANGES[:count]:
            (each.put if what == "put" else each.remove)(items)
        return answer(each)
    finally:
        Path("other.jsonl").unlink(missing_ok=True)


def _answered(each: Service) -> int:
    write_text_atomic("served.json", json.dumps(answer(each)))
    Path("told").touch()
    return 0


STEPPED, CLOSED = ("gar", "micro", "clcrec", "duif"), ("svd-ridge", "feature-ials", "marec", "content-knn")
JOBS = {
    job.name: job
    for job in (
        trained("train", *MILK),
        trained("train two seeds", "--seeds", "2", *MILK),
        trained("train best", "--preset", "best", "--topk", "5"),
        trained("train final", "--final", *SIZES[:-2]),
        trained("train pretrained", "--model", "heater", *SIZES),
        *(trained(f"train {name}", "--model", name, *SIZES) for name in STEPPED),
        *(trained(f"train {name}", "--model", name, "--topk", "5") for name in CLOSED),
        trained("train shards", "--data", "shards", *MILK, begin=in_shards),
        again("prepare shards", in_shards, prepare.main, "data.npz", "--out", "shards", "--shards", "3",
              whole=("shards",)),
        again("recommend shard", in_parts, recommend.main, *part(2), *QUIET, whole=("lists/2.parquet",)),
        again("merge", in_parts, merge.main, "lists", "--out", "lists.csv", "--quiet", whole=("lists.csv",)),
        again("prepare file", older(raw, *PREPARED, "out.npz"), prepare.main, *PREPARED, "out.npz", whole=("out.npz",)),
        again("prepare folder", older(raw, *PREPARED, "out"), prepare.main, *PREPARED, "out", whole=("out",)),
        again("prepare synthetic", lambda folder: None, prepare.main, *BIG, "out", whole=("out",)),
        again("tune", data, tune.main, "--data", "data.npz", "--out", "tuned", "--models", "milk,svd-ridge", *SEARCH),
        again("reproduce", data, reproduce.main, "table4", "--data", "data.npz", "--out", "results", "--repeats", "1",
              "--systems", "milk", "--new-items", "0.6", *SEARCH),
        lists("csv"),
        lists("jsonl"),
        lists("parquet"),
        again("update", two_models, update.main, "--model", "run", "--data", "tomorrow.npz", *QUIET,
              whole=("run/model.npz",)),
        again("evaluate", model, evaluate.main, "--model", "run", "--data", "data.npz", "--json", "found.json",
              "--per-user", "users.npz", *QUIET),
        again("export", model, export.main, "--model", "run", "--out", "vectors.parquet", "--quiet"),
        Job("serve", model, serve, serve_on),
    )
}  # fmt: skip


# What a folder holds


@contextmanager
def inside(folder: Path) -> Any:
    """With `folder` as the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def quietly(body: Callable[[], int]) -> None:
    """Run a command that has to end with 0 and print nothing."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        if code := body():
            raise RuntimeError(f"a command that prepares a case ended with {code}")


def contents(folder: Path) -> dict[str, object]:
    """What each file of a folder holds, as far as it doesn't depend on the time or on a stop."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = re.sub(TOKEN, ".TOKEN.npz", str(path.relative_to(folder)))
        found[f"{name}, a second one" if name in found else name] = content(path)
    return found


def content(path: Path) -> object:
    """What a file holds: bytes, or JSON without times; nothing of pages and logs but that they are whole."""
    if any(part.endswith(".tmp") for part in path.parts):  # unfinished when the process died
        return path.read_bytes()
    if path.name in APPENDED:
        return "appended"
    if path.suffix == ".html":
        return path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    if path.name in ("env.json", "results.json", "results.csv", "results.md", "results.tex"):
        return bool(path.read_bytes())
    if path.name == "metrics.jsonl":  # a resumed run sorts the keys
        *lines, _torn = path.read_text(encoding="utf-8").split("\n")  # readers pass over a line without its end
        return [json.loads(line) for line in lines]
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text(encoding="utf-8")))
    timed = "last" in (path.stem, path.parent.name) or path.parent.name == "pretrained"
    return without_meta(path) if timed else path.read_bytes()


def without_times(value: Any) -> Any:
    """A JSON value without what differs from run to run."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in TIMES}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def without_meta(path: Path) -> object:
    """Arrays of a training state, or of pretrained tables; their meta has times."""
    with np.load(path) as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files if name != "meta"}


def damage(folder: Path) -> list[str]:
    """Files under their final names that are torn."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and not is_whole(path)]


def is_whole(path: Path) -> bool:
    """Whether a file is whole; temporary ones and those that grow by lines needn't be."""
    if path.name.endswith(".tmp") or any(part.name.endswith(".tmp") for part in path.parents):
        return True
    try:
        if path.suffix in (".npz", ".npy"):
            np.load(path, allow_pickle=False)
        return content(path) is not False
    except Exception:
        return False


def fresh(folder: Path, of: Path) -> Path:
    """`folder` anew, as a copy of `of`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(of, folder)
    return folder


if __name__ == "__main__":
    print("\n".join(JOBS), file=sys.stderr)
