"""Pretrained tables: their gradients, what they learn, whose rows are zero, and that they are learned once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.backends.numba import NumpyBackend
from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.data.arrays import Split
from milk_np.errors import DivergedError
from milk_np.kernels.cpu import set_threads
from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements
from milk_np.nn.graph import bipartite, light_gcn_forward, make_graph, symmetric_normalised
from milk_np.settings.pretrained import BACKBONES, PretrainedSettings
from milk_np.training.pretraining import cache, learners
from milk_np.training.pretraining.cache import key, learned, pretrained
from milk_np.training.pretraining.objective import (
    penalty_backward,
    penalty_forward,
    ranking_backward,
    ranking_forward,
)

SMALL = {"dim": 8, "backbone_epochs": 12, "backbone_batch_size": 256, "backbone_lr": 0.02}
both = pytest.mark.parametrize("backbone", BACKBONES)


def how(**options: object) -> PretrainedSettings:
    return PretrainedSettings(**{**SMALL, **options})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    cache._RECENT.clear()


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return make_synthetic(90, 80, 1200, {"image": 6, "text": 5}, seed=3)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_gradients_of_ranking_and_penalty(seed: int, B: int, K: int) -> None:
    rows = list(np.random.default_rng(seed).standard_normal((3, B, K)))

    def loss() -> float:
        return float(ranking_forward(rows)[0] + penalty_forward(rows, 0.3)[0])

    ranked, short = ranking_backward(ranking_forward(rows)[1]), penalty_backward(penalty_forward(rows, 0.3)[1])
    gradients = [a + b for a, b in zip(ranked, short, strict=True)]
    checks = [check_direction(loss, rows, gradients, seed=seed), *check_elements(loss, rows, gradients)]
    assert [str(check) for check in checks if check.error > TOLERANCE] == []


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_gradient_through_the_graph(layers: int) -> None:
    rng = np.random.default_rng(layers)
    pairs = bipartite(rng.integers(0, 4, 9), rng.integers(0, 5, 9), 4, 5)
    graph = make_graph(symmetric_normalised(pairs), np.float64)
    E, ids = rng.standard_normal((9, 3)), np.array([0, 3, 3, 4, 5, 6, 8, 4, 7])

    def loss() -> float:
        out = light_gcn_forward(graph, E, layers)[0][ids]
        ranked = ranking_forward((out[:3], out[3:6], out[6:]))[0]
        return float(ranked + penalty_forward((E[ids[:3]], E[ids[3:6]], E[ids[6:]]), 0.2)[0])

    gradient = learners.light_gcn_gradient(graph, E, ids, layers, 0.2)
    checks = [check_direction(loss, [E], [gradient]), *check_elements(loss, [E], [gradient])]
    assert [str(check) for check in checks if check.error > TOLERANCE] == []


@both
def test_tables_rank_training_pairs_above_others(ds: Dataset, backbone: str) -> None:
    P, Q = learned(NumpyBackend(), ds, how(backbone=backbone, backbone_epochs=40))
    user, item = ds.interactions(Split.TRAIN)
    scores = P @ Q[ds.train_items].T
    mine = (P[user] * Q[item]).sum(axis=1)
    assert (mine[:, None] > scores[user]).mean() > 0.75  # 0.5 for tables that know nothing
    assert P.dtype == Q.dtype == np.float32


@both
def test_rows_without_training_pairs_are_zero(ds: Dataset, backbone: str) -> None:
    alone = replace(ds, meta=dict(ds.meta) | {"n_users": ds.n_users + 2}, check_features=False)
    P, Q = learned(NumpyBackend(), alone, how(backbone=backbone, backbone_epochs=1))
    user, item = alone.interactions(Split.TRAIN)
    for table, ids in ((P, user), (Q, item)):
        there = np.isin(np.arange(len(table)), ids)
        assert (~there).sum() >= 2
        assert not table[~there].any()
        assert table[there].any(axis=1).all()


def test_light_gcn_without_layers_is_bpr_mf(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {}

    def joined(backend: NumpyBackend, settings: PretrainedSettings, **rows: int) -> dict[str, np.ndarray]:
        made = original(backend, settings, P=ds.n_users, Q=ds.n_items)
        start.update(made)
        return made if "P" in rows else {"E": np.concatenate([made["P"], made["Q"]])}

    original = learners._start
    monkeypatch.setattr(learners, "_start", joined)
    settings = how(backbone_layers=0, backbone_epochs=3)
    P, Q = learners.bpr_mf(NumpyBackend(), ds, settings)
    other = learners.light_gcn(NumpyBackend(), ds, settings)
    np.testing.assert_allclose(other[0], P, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(other[1], Q, rtol=1e-3, atol=1e-5)


def test_singular_vectors_give_the_nearest_table_of_that_rank(ds: Dataset) -> None:
    P, Q = learned(NumpyBackend(), ds, how(backbone="svd"))
    R = np.zeros((ds.n_users, ds.n_items))
    R[ds.interactions(Split.TRAIN)] = 1
    left, values, right = np.linalg.svd(R, full_matrices=False)
    np.testing.assert_allclose(P @ Q.T, (left[:, :8] * values[:8]) @ right[:8], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(P, axis=0), np.linalg.norm(Q, axis=0), rtol=1e-4)
    wide = learned(NumpyBackend(), ds, how(backbone="svd", dim=500))
    np.testing.assert_allclose(wide.users @ wide.items.T, R, atol=1e-4)


@both
def test_same_bits_on_any_number_of_threads(ds: Dataset, backbone: str) -> None:
    made = []
    for threads in (1, 2):
        set_threads(threads)
        made.append(learned(NumpyBackend(), ds, how(backbone=backbone, backbone_epochs=3)))
    for one, two in zip(*made, strict=True):
        np.testing.assert_array_equal(one, two)


def test_learned_once_for_all_runs(ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pretrained(NumpyBackend(), ds, how(), tmp_path).tables
    (file,) = (tmp_path / "pretrained").iterdir()
    assert file.name == f"bpr-mf-{key(ds, how())}.npz"
    monkeypatch.setattr(cache, "learned", None)
    cache._RECENT.clear()
    again = pretrained(NumpyBackend(), ds, how(), tmp_path)
    masked = pretrained(NumpyBackend(), apply_protocol(ds, "MTMT"), how(lr=0.5, backbone_layers=4), tmp_path)
    assert again.core_seconds == again.spared >= 0
    for tables in (again.tables, masked.tables):
        np.testing.assert_array_equal(tables.users, first.users)
        np.testing.assert_array_equal(tables.items, first.items)


def test_a_process_remembers_the_last_few(ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pretrained(NumpyBackend(), ds, how(backbone_epochs=1)).tables
    monkeypatch.setattr(cache, "learned", lambda backend, ds, how: cache.Pretrained(np.zeros((1, 1)), np.ones((1, 1))))
    assert pretrained(NumpyBackend(), ds, how(backbone_epochs=1), tmp_path).tables is first
    assert len(list((tmp_path / "pretrained").iterdir())) == 1
    for seed in range(1, 1 + cache.KEPT):
        pretrained(NumpyBackend(), ds, how(backbone_epochs=1, seed=seed))
    assert pretrained(NumpyBackend(), ds, how(backbone_epochs=1)).tables is not first
    with pytest.raises(ValueError, match="read-only"):
        first.users[0] = 1


def test_a_damaged_file_is_made_again(ds: Dataset, tmp_path: Path) -> None:
    first = pretrained(NumpyBackend(), ds, how(), tmp_path).tables
    (file,) = (tmp_path / "pretrained").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:300])
    cache._RECENT.clear()
    np.testing.assert_array_equal(pretrained(NumpyBackend(), ds, how(), tmp_path).tables.items, first.items)
    assert file.stat().st_size >= 300  # its seconds differ


def test_a_folder_that_cannot_be_written_is_done_without(ds: Dataset, tmp_path: Path) -> None:
    (tmp_path / "pretrained").write_text("a file where the folder should be")
    assert pretrained(NumpyBackend(), ds, how(backbone_epochs=1), tmp_path).tables.items.any()


@pytest.mark.parametrize(
    "changed",
    [
        {"dim": 9}, {"seed": 1}, {"backbone_epochs": 2}, {"backbone_lr": 0.1}, {"backbone_reg": 0.5},
        {"backbone_batch_size": 64}, {"backbone": "light-gcn"}, {"backbone": "light-gcn", "backbone_layers": 3},
    ],
)  # fmt: skip
def test_the_key_follows_what_decides_the_tables(ds: Dataset, changed: dict[str, object]) -> None:
    same = {name: value for name, value in changed.items() if name == "backbone" and len(changed) > 1}
    assert key(ds, how(**changed)) != key(ds, how(**same))


def test_the_key_follows_the_pairs(ds: Dataset) -> None:
    first = int(np.flatnonzero(ds.split == Split.TRAIN)[0])
    user, item, split = (np.delete(array, first) for array in (ds.user, ds.item, ds.split))
    other = replace(ds, user=user, item=item, split=split, check_features=False)
    assert key(other, how()) != key(ds, how())


def test_divergence_is_told(ds: Dataset) -> None:
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match=r"pretraining \(bpr-mf\).*--backbone-lr"):
        learned(NumpyBackend(), ds, how(backbone_lr=1e30))
