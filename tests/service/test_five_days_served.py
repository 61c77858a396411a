"""The shop's five days, served: items come and go by request, a broken row is told, each night brings a model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("pyarrow", reason="Parquet tables need pyarrow")
from service_cases import TestClient
from test_five_days import MODELS, WIDTHS, Day, Shop

from milk_np.cli import prepare, train, update
from milk_np.models.stored import StoredModel, load
from milk_np.service.app import make_app
from milk_np.service.core import Service

K = 5


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.open()
    for n, day in enumerate(shop.days):
        out = ["--out", str(shop.folder / f"day{n}.npz"), "--quiet"]
        assert prepare.main([*day.write(), "--new-items", "0", *out]) == 0
    return shop


@pytest.mark.parametrize("name", list(MODELS))
def test_five_days(shop: Shop, tmp_path: Path, name: str) -> None:
    line = ["--data", str(shop.folder / "day0.npz"), "--final", "--model", name, *MODELS[name]]
    line = [word if word != "--epochs" else "--max-epochs" for word in line]
    assert (
        train.main([*line, "--topk", "5", "--valid-metric", "ndcg@5", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    )
    file = tmp_path / "live.npz"
    shutil.copy(tmp_path / "run" / "model.npz", file)
    service = Service(lambda: load(file), str(tmp_path / "journal.jsonl"))
    with TestClient(make_app(service), base_url="http://localhost") as client:
        for number, day in enumerate(shop.days[1:], 1):
            model = load(file)
            candidates = at_the_gate(client, model, day)
            check_lists(client, model, day, candidates)
            data = str(shop.folder / f"day{number}.npz")
            assert update.main(["--model", str(file), "--data", data, "--quiet"]) == 0
            assert client.post("/reload").json()["lost"] == []
            check_like(client, load(file))


def at_the_gate(client: TestClient, model: StoredModel, day: Day) -> set[str]:
    """Tell the service of the day's items, with a broken one among them; what it can list as new."""
    known = set(model.catalogue.item_ids.tolist())  # type: ignore[union-attr]
    fresh, offered = set(day.items) - known, set(model.catalogue.items.words(model.catalogue.all_items().tolist()))
    broken = {"id": "broken", "features": {"image": [1.0, 2.0]}}
    for item in sorted(fresh):
        rows = {m: day.rows[m][item].tolist() for m in WIDTHS if item in day.rows[m]}
        assert client.put("/items", json={"items": [{"id": item, "features": rows}]}).status_code == 200
    told = client.put("/items", json={"items": [broken]})
    assert (told.status_code, told.json()["errors"][0]["field"]) == (422, "items.0.features.image")
    gone = sorted(offered - set(day.items))
    if gone:
        assert client.request("DELETE", "/items", json={"items": gone}).status_code == 200
    new = set(model.catalogue.items.words(model.catalogue.new_items().tolist()))
    return (new | fresh) - set(gone)


def check_lists(client: TestClient, model: StoredModel, day: Day, candidates: set[str]) -> None:
    """Lists of some users are those of a slow program: one item at a time, from the day's tables."""
    users = model.catalogue.user_ids.tolist()[::9]  # type: ignore[union-attr]
    answer = client.post("/recommend", json={"users": users, "k": K}).json()
    vectors = model.user_factors(model.catalogue.users.numbers(users))
    items = {name: encoded(model, day, name) for name in candidates}
    assert len(candidates) >= K
    assert all(len(found["items"]) == K for found in answer["lists"])
    for user, vector, found in zip(users, vectors, answer["lists"], strict=True):
        seen = set(model.catalogue.items.words(seen_by(model, user)))
        scores = {name: float(row @ vector) for name, row in items.items() if name not in seen}
        best = sorted(scores.values(), reverse=True)[:K]
        assert [entry["score"] for entry in found["items"]] == pytest.approx(best, rel=1e-4, abs=1e-5)
        for entry in found["items"]:
            assert entry["score"] == pytest.approx(scores[entry["id"]], rel=1e-4, abs=1e-5)


def encoded(model: StoredModel, day: Day, name: str) -> Any:
    rows = {m: day.rows[m].get(name) for m in WIDTHS}
    return model.encode_items({m: None if row is None else row[None] for m, row in rows.items()})[0]


def seen_by(model: StoredModel, user: str) -> list[int]:
    known = model.catalogue
    (number,) = known.users.numbers([user])
    return known.seen_items[known.seen_indptr[number] : known.seen_indptr[number + 1]].tolist()


def check_like(client: TestClient, model: StoredModel) -> None:
    """After a night, lists are the new model's, bit for bit."""
    users = model.catalogue.user_ids.tolist()[::7]  # type: ignore[union-attr]
    new = len(model.catalogue.new_items())
    for candidates, k in (("all", K), *([("new", min(K, new))] if new else [])):
        answer = client.post("/recommend", json={"users": users, "k": k, "candidates": candidates}).json()
        expected = model.recommend(users, k, candidates=candidates)
        found = [[entry["id"] for entry in each["items"]] for each in answer["lists"]]
        assert found == [[name for name in row if name] for row in expected.found.tolist()]
        scores = np.array([entry["score"] for each in answer["lists"] for entry in each["items"]], np.float32)
        np.testing.assert_array_equal(scores, expected.score[~np.isneginf(expected.score)])
