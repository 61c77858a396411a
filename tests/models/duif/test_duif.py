"""DUIF: its gradients against finite differences, its loss against the plain formula, its vectors, its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milk_np.backends.numba import NumpyBackend
from milk_np.data import Dataset, FeatureTable, apply_protocol, make_synthetic
from milk_np.errors import SettingsError
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.baselines.random_order import RandomOrder
from milk_np.models.duif.model import Duif, DuifRaw
from milk_np.models.extractors.objective import BackendTable, parts
from milk_np.models.extractors.parameters import initial_parameters
from milk_np.models.extractors.step import TripletStep
from milk_np.models.registry import make_model, make_settings
from milk_np.models.stored import load
from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements

REG = 0.3


@pytest.fixture(scope="module")
def ds() -> Dataset:
    whole = make_synthetic(30, 60, 260, {"image": 4, "text": 3}, new_items=0.3, seed=5)
    return apply_protocol(whole, "MTMT", seed=1)


class Step:
    """One batch of DUIF in float64: the model's own rows, settings, environments and step."""

    def __init__(self, ds: Dataset, model: Duif, B: int = 24) -> None:
        backend = NumpyBackend("reference")
        model.trainer(ds)
        table = model._tables[0]
        self.rows = np.asarray(table.raw)
        table = BackendTable(*(np.asarray(part) for part in table))
        self.scale = table.scale
        self.params = initial_parameters(backend, ds.n_users, [self.rows.shape[1]], 3, 0, np.float64)
        owned = np.ones((ds.n_items, 1), bool)
        joined = replace(ds, modalities=("content",), features={"content": self.rows}, available=owned)
        self.step = TripletStep(backend, joined, model.settings, [table], self.params, model.task(joined))
        self.weights = self.step.weights
        self.theta = self.step._epoch_theta(1)[0]
        self.record = np.zeros((1, len(self.theta) + 2))
        rng = np.random.default_rng(3)
        self.users = rng.integers(0, ds.n_users, B).astype(np.int32)
        self.items = rng.integers(0, ds.n_items, 2 * B).astype(np.int32)

    def loss(self) -> float:
        self.gradients()
        return parts(self.record, self.weights)["total"]

    def gradients(self) -> list[Any]:
        g = self.step._objective(self.params, self.users, self.items, self.theta, self.record[0])
        dP = np.zeros_like(self.params.P)
        dP[g.users] = g.P
        return [dP, g.W[0].copy(), g.b[0].copy()]

    def variables(self) -> list[Any]:
        return [self.params.P, self.params.W[0], self.params.b[0]]

    def plain(self) -> float:
        """Geng et al.: mean softplus of minus p_u . (x_i - x_j) W, and the squared norms of what the batch touches."""
        x = self.rows.astype(np.float64) * self.scale[:, None]
        z = x @ self.params.W[0] + self.params.b[0]
        B = len(self.users)
        p, zi, zj = self.params.P[self.users], z[self.items[:B]], z[self.items[B:]]
        margin = (p * (zi - zj)).sum(axis=1)
        norms = (p**2).sum(axis=1) + (zi**2).sum(axis=1) + (zj**2).sum(axis=1)
        return float(np.logaddexp(0, -margin).mean() + REG * norms.mean())


def model(kind: type[Duif]) -> Duif:
    return kind(dim=3, reg=REG, batch_size=64, threads=1)


@pytest.mark.parametrize("kind", [Duif, DuifRaw])
def test_gradients_against_finite_differences(ds: Dataset, kind: type[Duif]) -> None:
    case = Step(ds, model(kind))
    for seed in range(5):
        check = check_direction(case.loss, case.variables(), case.gradients(), seed=seed)
        assert check.error < TOLERANCE, str(check)
    for check in check_elements(case.loss, case.variables(), case.gradients()):
        assert check.error < TOLERANCE, str(check)


@pytest.mark.parametrize("kind", [Duif, DuifRaw])
def test_loss_is_the_plain_formula(ds: Dataset, kind: type[Duif]) -> None:
    case = Step(ds, model(kind))
    assert case.theta.tolist() == [[1.0]]  # one environment over the whole content: no module of MILK is left
    assert case.loss() == pytest.approx(case.plain(), rel=1e-6)


def test_rows_are_the_modalities_side_by_side(ds: Dataset) -> None:
    owned = ds.available.all(axis=1)
    unit, raw = Step(ds, model(Duif)), Step(ds, model(DuifRaw))
    expected = [ds.features[name][owned].astype(np.float64) for name in ds.modalities]
    np.testing.assert_allclose(raw.rows[owned], np.hstack(expected), rtol=1e-6)
    assert (raw.scale == 1).all()
    expected = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in expected]
    np.testing.assert_allclose(unit.rows[owned], np.hstack(expected), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(unit.scale[owned], 1 / np.sqrt(2), rtol=1e-5)


@pytest.mark.parametrize("name", ["duif", "duif-raw"])
def test_trains_saves_loads_and_encodes_new_items(tmp_path: Path, name: str) -> None:
    ds = apply_protocol(make_synthetic(200, 150, 4000, {"image": 12, "text": 8}, seed=1), "FTMT")
    settings = make_settings(
        {
            "model": name,
            "dim": 8,
            "lr": 0.02,
            "epochs": 40,
            "eval_every": 10,
            "batch_size": 256,
            "topk": (10,),
            "threads": 1,
        }
    )
    trained = make_model(settings).fit(ds)
    assert isinstance(trained, Duif)
    chance = evaluate(RandomOrder().fit(ds), ds, topk=(10,)).metrics["ndcg@10"]
    assert evaluate(trained, ds, topk=(10,)).metrics["ndcg@10"] > 1.5 * chance
    trained.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert type(again) is type(trained)
    np.testing.assert_array_equal(again.item_factors(), trained.item_factors())
    new = ds.new_items()
    rows = {modality: ds.features[modality][new] for modality in ds.modalities}
    np.testing.assert_allclose(again.encode_items(rows, ds.available[new]), trained.item_factors(new), atol=1e-6)


def test_modules_of_milk_are_left_out_whatever_is_asked() -> None:
    assert Duif().settings.model == "duif"
    for option in ({"without": ()}, {"users": "profile"}):
        with pytest.raises(SettingsError, match="a setting of milk"):
            Duif(**option)


def test_a_table_as_it_is_keeps_zero_rows_and_lengths() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    joined = model(DuifRaw)._joined([FeatureTable.complete(rows)])
    np.testing.assert_array_equal(joined, rows)
