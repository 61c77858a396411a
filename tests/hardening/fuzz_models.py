"""Models, what is served of them, and lists in parts."""

from __future__ import annotations

import io
import json
import random
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_data import change_parquet
from fuzz_kind import WrongError
from job_cases import CHANGES, MILK, QUIET, data, in_shards, inside, model, quietly
from mutants import changed_json

from milk_np.cli import train
from milk_np.cli.settings import read_settings
from milk_np.machine import threads
from milk_np.models.registry import load_settings, make_settings
from milk_np.models.stored import StoredModel, load
from milk_np.service.core import Service
from milk_np.serving.parts import KEY
from milk_np.settings.toml import toml_value

RESUMED = ("--data", "data.npz", "--out", "run", "--resume", "--max-epochs", "3", "--quiet", "--threads", "1")


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


def settings_of_two(folder: Path) -> None:
    """`config.toml` of MILK, with the kernel profile's settings at their defaults, as version 0.1.0 wrote them."""
    milk, other = (make_settings({"model": name}).to_dict() for name in ("milk", "kernel-profile"))
    values = {name: value for name, value in (other | milk).items() if value is not None}
    (folder / "config.toml").write_text("".join(f"{name} = {toml_value(value)}\n" for name, value in values.items()))


def use_settings() -> None:
    """Read a file of settings as the commands do: for the threads, as a run's own, and as the one of --config."""
    threads.requested(["--config", "config.toml"])
    load_settings("config.toml")
    read_settings(Namespace(config="config.toml"))


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
