"""Searches, and lines of commands."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import mutants
from fuzz_kind import Files, cli
from job_cases import SEARCH, SIZES, data, inside, model, quietly, raw

from milk_np.cli import evaluate, prepare, recommend, reproduce, train, tune


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
        ("--data", "data.npz", "--out", "new", *SMALL),
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
