"""MICRO: its graphs against the plain formula, and items that have no part in them."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.backends.numba import NumpyBackend
from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.data.arrays import Split
from milk_np.models.micro.model import Micro
from milk_np.models.micro.neighbours import links, normalised, row_sums
from milk_np.models.micro.objective import fused, propagated

OPTIONS = {"topk": (10,), "dim": 6, "max_epochs": 2, "batch_size": 32, "neighbours": 4}


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return apply_protocol(make_synthetic(60, 50, 700, {"a": 6, "b": 5}, new_items=0.3, seed=1), "MTMT")


@pytest.fixture(scope="module")
def model(ds: Dataset) -> Micro:
    return Micro(**OPTIONS).fit(ds)


def plain_graph(x: np.ndarray, landmarks: np.ndarray, k: int) -> np.ndarray:
    """Row by row: the k largest cosines above 0, over the roots of both sums."""

    def weights(rows: np.ndarray) -> np.ndarray:
        cosines = rows.astype(np.float64) @ landmarks.T.astype(np.float64)
        kept = np.zeros_like(cosines)
        for t, row in enumerate(cosines):
            best = np.argsort(-row, kind="stable")[:k]
            kept[t, best] = np.maximum(row[best], 0)
        return kept

    mine, theirs = weights(x), weights(landmarks)
    sums = np.sqrt(np.outer(mine.sum(axis=1), theirs.sum(axis=1)))
    return np.where(sums > 0, mine / np.where(sums > 0, sums, 1), 0)


def test_links_are_those_of_the_plain_formula() -> None:
    rng = np.random.default_rng(0)
    landmarks = rng.standard_normal((30, 6)).astype(np.float32)
    landmarks /= np.linalg.norm(landmarks, axis=1, keepdims=True)
    landmarks[7] = 0
    x = np.concatenate([landmarks[3:9], -landmarks[:2]])
    top_k = NumpyBackend().top_k
    sums = row_sums(links(top_k, landmarks, landmarks, 5))
    found = normalised(links(top_k, x, landmarks, 5), sums, 30).toarray()
    np.testing.assert_allclose(found, plain_graph(x, landmarks, 5), atol=1e-6)
    assert not found[4].any(), "a row of zeros has links"
    assert not found[:, 7].any(), "a row of zeros is a neighbour"


def test_no_items_and_no_landmarks() -> None:
    top_k, none = NumpyBackend().top_k, np.zeros((0, 3), np.float32)
    assert normalised(links(top_k, none, np.eye(3, dtype=np.float32), 2), np.ones(3, np.float32), 3).shape == (0, 3)
    assert normalised(links(top_k, np.eye(3, dtype=np.float32), none, 2), np.zeros(0, np.float32), 0).shape == (3, 0)


def test_vectors_are_those_of_the_plain_formula(ds: Dataset, model: Micro) -> None:
    tables, old = model.tables, ds.train_items
    x = model._split(model._x)
    parts = [plain_graph(rows, rows[old], 4) @ tables["Q"] for rows in x]
    owned = np.stack([rows.any(axis=1) for rows in x], axis=1)
    h, _ = fused(tables, np.stack(parts).astype(np.float32), owned)
    pairs = np.zeros((60, len(old)))
    user, item = ds.interactions(Split.TRAIN)
    pairs[user, np.searchsorted(old, item)] = 1
    A = np.block([[np.eye(60), pairs], [pairs.T, np.eye(len(old))]])
    A /= A.sum(axis=1, keepdims=True)
    both = np.concatenate([tables["P"], tables["Q"]]).astype(np.float64)
    both = (both + A @ both + A @ A @ both) / 3
    np.testing.assert_allclose(model.user_factors(), both[:60], atol=1e-5)
    expected = h.astype(np.float64)
    expected[old] += both[60:]
    np.testing.assert_allclose(model.item_factors(), expected, atol=1e-4)


def test_a_missing_modality_has_no_links_whatever_its_features_say(ds: Dataset, model: Micro) -> None:
    gone = ~ds.available
    for m, rows in enumerate(model._split(model._x)):
        assert not rows[gone[:, m]].any()
    graphs, owned = model.links_of(model._x)
    np.testing.assert_array_equal(owned, ds.available)
    assert [int((np.diff(graph.matrix.indptr) > 0).sum()) for graph in graphs] == ds.available.sum(axis=0).tolist()


def test_new_items_are_not_drawn_and_nobodys_neighbours(ds: Dataset, model: Micro) -> None:
    trainer = model.learner(ds, model._x)
    assert len(model.tables["Q"]) == len(model.tables["landmarks"]) == len(ds.train_items)
    batch = trainer.batch(1, 0)  # type: ignore[attr-defined]
    assert len(set(batch.users.tolist())) == 32
    assert batch.ids.max() < len(ds.train_items)
    old, pairs = ds.train_items, {(int(u), int(i)) for u, i in zip(*ds.interactions(Split.TRAIN), strict=True)}
    for places, chosen in ((batch.better, True), (batch.worse, False)):
        items = old[batch.ids[places]]
        assert {(int(u), int(i)) in pairs for u, i in zip(batch.users, items, strict=True)} == {chosen}


def test_without_a_contrast_there_is_none(ds: Dataset) -> None:
    model = Micro(**OPTIONS, contrast=0.0).fit(ds)
    assert model.history is not None
    assert model.history.records[0]["losses"]["contrast"] == 0


def test_no_layers_leave_the_vectors_as_they_are(ds: Dataset) -> None:
    model = Micro(**OPTIONS, layers=0).fit(ds)
    np.testing.assert_array_equal(model.user_factors(), model.tables["P"])
    assert propagated(model.tables, model.pairs(), 0)[0].shape == (60 + len(ds.train_items), 6)
