"""Five days of a shop: tables by id, from day to day, to a model that is trained once and served ever after.

Day 0 has pairs with times, image vectors for 80 % of the items and text for 95 %. It gives a run that holds the latest
items out, and a final model of everything. On days 1 to 5 users and items come and go. Every list is compared with what
a slow program computes from the tables, by id.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from milk_np.cli import evaluate, prepare, recommend, train, update
from milk_np.data import Dataset, Preparation
from milk_np.models.stored import StoredModel, load

pa = pytest.importorskip("pyarrow", reason="Parquet tables need pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

WIDTHS = {"image": 10, "text": 8}
COVERAGE = {"image": 0.8, "text": 0.95}
K = 5
MODELS = {
    "kernel-profile": ["--landmarks", "60", "--profile-width", "12", "--kernel-noise", ".05", "--whitening", "0"],
    "milk": ["--users", "profile", "--epochs", "3", "--eval-every", "1", "--dim", "8", "--batch-size", "256"],
}


@dataclass
class Day:
    """What the shop's tables hold on one day."""

    pairs: list[tuple[str, str, int]]
    rows: dict[str, dict[str, NDArray[np.float32]]]
    folder: Path

    @property
    def items(self) -> list[str]:
        """Items that have a vector of any kind."""
        return sorted(set().union(*self.rows.values()))

    def history(self) -> dict[str, set[str]]:
        """Items that each user chose, as far as the shop still has them."""
        found: dict[str, set[str]] = defaultdict(set)
        for user, item, _ in self.pairs:
            found[user].add(item)
        return found

    def write(self) -> list[str]:
        """The tables, with rows in an order of their own; the line that prepares them."""
        self.folder.mkdir(parents=True)
        user, item, time = zip(*sorted(self.pairs, key=lambda row: hash_of(*row[:2])), strict=True)
        pq.write_table(pa.table({"user": user, "item": item, "time": time}), self.folder / "clicks.parquet")
        line = [str(self.folder / "clicks.parquet")]
        for name, rows in self.rows.items():
            ids = sorted(rows, key=lambda i: hash_of(i, name))
            vectors = pa.array([rows[i].tolist() for i in ids], pa.list_(pa.float32(), WIDTHS[name]))
            pq.write_table(pa.table({"item": ids, "vector": vectors}), self.folder / f"{name}.parquet")
            line += ["--features", f"{name}={self.folder / name}.parquet"]
        return line


def hash_of(*words: str) -> int:
    """An order that has nothing to do with ids."""
    return int.from_bytes("".join(words).encode()[::-1], "little") * 2654435761 % 1000003


@dataclass
class Shop:
    """Everything that will ever happen: users, items, times, by a taste that vectors show."""

    folder: Path
    n_users: int = 130
    n_items: int = 150
    seed: int = 11
    days: list[Day] = field(default_factory=list)

    def open(self) -> None:
        rng = np.random.default_rng(self.seed)
        users = [f"user-{n * 7919 % 1000:03}" for n in range(self.n_users)]
        items = [f"sku/{n * 104729 % 9973:04}" for n in range(self.n_items)]
        taste, content = rng.normal(size=(self.n_users, 4)), rng.normal(size=(self.n_items, 4))
        born = np.sort(rng.integers(0, 100, self.n_items))
        born[-30:] = 100 + np.repeat(np.arange(6), 5)[:30] * 10  # five items arrive each day
        joined = np.concatenate([np.zeros(self.n_users - 30), 100 + np.repeat(np.arange(5), 6) * 10])
        liked = np.argsort(-(taste @ content.T + rng.normal(size=(self.n_users, self.n_items))), axis=1)[:, :25]
        events = []
        for u in range(self.n_users):
            for i in liked[u]:
                start = max(int(joined[u]), int(born[i]) + 8 * (born[i] >= 100))
                events.append((users[u], items[i], start + int(rng.integers(0, 60))))
        rows = {}
        for name, width in WIDTHS.items():
            shown = content @ rng.normal(size=(4, width)) + 0.1 * rng.normal(size=(self.n_items, width))
            rows[name] = dict(zip(items, shown.astype(np.float32), strict=True))
        lacking = {"image": set(items[0::5]), "text": set(items[3::20])}
        lacking["text"] -= lacking["image"]
        for day in range(6):
            gone = set(items[2 : 2 + day])
            there = {items[i] for i in range(self.n_items) if born[i] < 100 + 10 * day} - gone
            left = set(users[5 : 5 + day])
            self.days.append(
                Day(
                    [e for e in events if e[2] < 100 + 10 * day and e[1] in there and e[0] not in left],
                    {n: {i: r for i, r in all_.items() if i in there - lacking[n]} for n, all_ in rows.items()},
                    self.folder / f"day{day}",
                )
            )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.open()
    for n, day in enumerate(shop.days):
        line, out = day.write(), ["--out", str(shop.folder / f"day{n}.npz"), "--quiet"]
        assert prepare.main([*line, "--new-items", "0", *out]) == 0
    line = [*shop.days[0].folder.glob("clicks.parquet"), *features_of(shop.days[0])]
    split = ["--split", "time", "--new-since", "0.3", "--out", str(shop.folder / "held.npz"), "--quiet"]
    assert prepare.main([*map(str, line), *split]) == 0
    return shop


def features_of(day: Day) -> list[str]:
    return [word for name in WIDTHS for word in ("--features", f"{name}={day.folder / name}.parquet")]


@pytest.fixture(scope="module", params=list(MODELS))
def runs(request: pytest.FixtureRequest, shop: Shop) -> dict[str, str]:
    """The run that holds items out, and the final model with its settings and epochs."""
    name = request.param
    held, live = (str(shop.folder / f"{name}-{kind}") for kind in ("held", "live"))
    line = ["--data", str(shop.folder / "held.npz"), "--model", name, "--topk", "5", "--valid-metric", "ndcg@5"]
    assert train.main([*line, *MODELS[name], "--out", held, "--quiet"]) == 0
    line = ["--data", str(shop.folder / "day0.npz"), "--final", "--like", held]
    assert train.main([*line, "--out", live, "--quiet"]) == 0
    return {"name": name, "held": held, "live": live}


# The slow program: everything by id, one user and one item at a time


class Slow:
    """Vectors of a model for the ids of a day, from its arrays and the day's tables."""

    def __init__(self, model: StoredModel, day: Day) -> None:
        self.model, self.day, self.known = model, day, model.catalogue
        self.item, self.own_mean = cache(self._item), cache(self._own_mean)

    def _item(self, name: str) -> Any:
        rows = {m: self.day.rows[m].get(name) for m in WIDTHS}
        given = {m: np.zeros((1, WIDTHS[m]), np.float32) if row is None else row[None] for m, row in rows.items()}
        owned = np.array([[row is not None for row in rows.values()]])
        return self.model.encode_items(given, owned)[0]

    def by_history(self, history: set[str]) -> Any:
        """The vector of somebody who chose these items."""
        arrays = self.model.arrays()
        if self.model.name == "kernel-profile":
            ids = self.known.item_ids.tolist()
            parts = [arrays["history"][ids.index(name)] for name in history if name in ids]
            return np.sum(parts, axis=0) + self.model.settings.prior * arrays["mean_item"]
        v = np.sum([self.own_mean(name) for name in history], axis=0)
        return np.exp(arrays["scale"][0]) * v / np.linalg.norm(v)

    def _own_mean(self, name: str) -> Any:
        arrays, parts = self.model.arrays(), []
        for m, modality in enumerate(WIDTHS):
            row = self.day.rows[modality].get(name)
            if row is not None:
                parts.append(row / np.linalg.norm(row) @ arrays[f"W{m}"] + arrays[f"b{m}"])
        return np.mean(parts, axis=0)

    def list_of(self, vector: Any, candidates: set[str], k: int) -> list[tuple[str, float]]:
        scores = {name: float(self.item(name) @ vector) for name in candidates}
        return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


def lists(*line: str, code: int = 0) -> dict[str, list[tuple[str, float]]]:
    """What milk-recommend prints, by user."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        assert recommend.main(["--topk", str(K), *line]) == code
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(out.getvalue())):
        found[row["user"]].append((row["item"], float(row["score"])))
    return found


def same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    """Equal lists; of items whose scores rounding can't tell apart, any order."""
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], rtol=2e-4, atol=2e-5)
    for (mine, _), (theirs, score) in zip(found, expected, strict=True):
        close = {name for name, s in expected if abs(s - score) < 1e-4}
        assert mine == theirs or mine in close


# The days


def test_day_0_has_what_it_should(shop: Shop) -> None:
    ds, held = (Dataset.load(shop.folder / name) for name in ("day0.npz", "held.npz"))
    owned = ds.available.mean(axis=0)
    assert owned[ds.modalities.index("image")] == pytest.approx(COVERAGE["image"], abs=0.03)
    assert owned[ds.modalities.index("text")] == pytest.approx(COVERAGE["text"], abs=0.03)
    assert set(map(str, ds.item_ids)) == set(shop.days[0].items)
    assert len(held.new_items(1)) > 3
    assert len(held.new_items(2)) > 3
    ids = [set(day.items) for day in shop.days]
    assert all(ids[n] - ids[n - 1] and ids[n - 1] - ids[n] for n in range(1, 6))
    users = [set(day.history()) for day in shop.days]
    assert all(users[n] - users[n - 1] and users[n - 1] - users[n] for n in range(1, 6))


def test_the_held_out_run_has_figures_and_the_final_model_none(shop: Shop, runs: dict[str, str]) -> None:
    held, live = (json.loads(Path(runs[kind], "summary.json").read_text()) for kind in ("held", "live"))
    assert held["test"]["users"] > 0
    assert live["final"] is True
    assert "test" not in live
    assert live.get("epochs") == held.get("best_epoch")
    assert evaluate.main(["--model", runs["held"], "--data", str(shop.folder / "held.npz"), "--quiet"]) == 0
    assert evaluate.main(["--model", runs["live"], "--data", str(shop.folder / "held.npz"), "--quiet"]) == 3


@pytest.mark.parametrize("n", range(1, 6))
def test_the_models_as_they_were_trained_meet_the_day(shop: Shop, runs: dict[str, str], n: int) -> None:
    """Known users keep their vectors, new ones are served by what they chose of what the model knows."""
    day, data = shop.days[n], str(shop.folder / f"day{n}.npz")
    for kind, trained_on in (("held", "held.npz"), ("live", "day0.npz")):
        model = load(Path(runs[kind], "model.npz"))
        slow, before = Slow(model, day), Dataset.load(shop.folder / trained_on)
        user, item = before.interactions(0)
        then: dict[str, set[str]] = defaultdict(set)
        for u, i in zip(user, item, strict=True):
            then[str(before.user_ids[u])].add(str(before.item_ids[i]))
        now, known = day.history(), set(map(str, model.catalogue.item_ids))
        fresh = set(day.items) - {item for _, item, _ in day.pairs}
        old = Slow(model, shop.days[0])  # whose vectors a history is made of
        served = {name for name in now if name in then or now[name] & known}
        found = lists("--model", runs[kind], "--data", data, "--users", "all", code=0 if served == set(now) else 3)
        assert set(found) == served
        for name, mine in found.items():
            same(mine, slow.list_of(old.by_history(then.get(name) or now[name] & known), fresh, K))


def test_the_final_model_is_updated_every_day(shop: Shop, runs: dict[str, str], tmp_path: Path) -> None:
    """From the model's own file: histories of everybody, and the new items, as the day's tables have them."""
    path = tmp_path / "model.npz"
    path.write_bytes(Path(runs["live"], "model.npz").read_bytes())
    trained = load(path)
    history: dict[str, set[str]] = defaultdict(set)
    for name, items in shop.days[0].history().items():
        history[name] |= items
    rows: dict[str, dict[str, NDArray[np.float32]]] = {name: dict(of) for name, of in shop.days[0].rows.items()}
    for n in range(1, 6):
        day = shop.days[n]
        assert update.main(["--model", str(path), "--data", str(shop.folder / f"day{n}.npz"), "--quiet"]) == 0
        for name, items in day.history().items():
            history[name] |= items
        for name, of in day.rows.items():
            rows[name] |= of
        slow = Slow(trained, Day(day.pairs, rows, day.folder))
        fresh = set(day.items) - {item for _, item, _ in day.pairs}
        found = lists("--model", str(path), "--users", "all")
        assert set(found) == set(history)
        for name, mine in found.items():
            same(mine, slow.list_of(slow.by_history(history[name]), fresh, K))
        name = sorted(history)[n]
        everything = lists("--model", str(path), "--users", name, "--candidates", "all", "--topk", "40")[name]
        assert not {item for item, _ in everything} & history[name]
        assert {item for item, _ in everything} <= set(day.items)


def test_frames_give_the_same_set_as_the_tables(shop: Shop) -> None:
    day = shop.days[0]
    tables = {name: pq.read_table(day.folder / f"{name}.parquet") for name in ("clicks", *WIDTHS)}
    made = Dataset.from_frames(tables.pop("clicks"), tables, Preparation(new_items=0))
    assert made.content_hash == Dataset.load(shop.folder / "day0.npz").content_hash
