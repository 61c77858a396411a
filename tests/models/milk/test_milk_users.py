"""MILK with profiles of users: vectors, new users, files, resuming, threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise

import numpy as np
import pytest

from milk_np.data import apply_protocol, feature_tables, make_synthetic
from milk_np.errors import DataError, SettingsError
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.duif.model import Duif
from milk_np.models.extractors.trainer import TripletTrainer
from milk_np.models.milk.axes import orthonormal
from milk_np.models.milk.model import Milk
from milk_np.models.milk.settings import MilkSettings
from milk_np.training.run_folder import RunFolder

OPTIONS = {"dim": 8, "epochs": 4, "eval_every": 2, "batch_size": 256, "topk": (10,), "lr": 0.01}
KINDS = ("profile", "both")


def small_set():
    """Some users have one training item, some none."""
    ds = make_synthetic(n_users=120, n_items=90, n_pairs=900, widths={"image": 20, "text": 6}, seed=3)
    return apply_protocol(ds, "MTMT")


@pytest.fixture(scope="module")
def ds():
    return small_set()


@pytest.fixture(scope="module", params=KINDS)
def model(request, ds):
    return Milk(**OPTIONS, users=request.param).fit(ds)


def written_out(ds, model):
    """exp(g) v / |v| of every user, v the sum over their training items of the mean of owned modalities."""
    tables = feature_tables(ds, model.imputer)
    c = np.stack([t.rows() @ W + b for t, W, b in zip(tables, model.params.W, model.params.b, strict=True)])
    h = (c * ds.available.T[:, :, None]).sum(axis=0) / ds.available.sum(axis=1)[:, None]
    indptr, items = ds.csr(0)
    v = np.stack([h[items[a:b]].sum(axis=0) for a, b in pairwise(indptr)])
    length = np.linalg.norm(v, axis=1, keepdims=True)
    return np.exp(model.params.scale) * np.divide(v, length, out=np.zeros_like(v), where=length > 0)


def test_user_vectors_are_profiles_of_all_training_items(ds, model):
    expected = written_out(ds, model)
    if model.settings.users == "both":
        expected = expected + model.params.P
    else:
        assert model.params.P.shape == (0, 8)
    found = model.user_factors()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(model.user_factors(np.array([7, 3])), found[[7, 3]])


def test_a_new_user_with_an_old_ones_items_gets_her_profile(ds, model):
    indptr, items = ds.csr(0)
    histories = [items[a:b] for a, b in pairwise(indptr)]
    np.testing.assert_allclose(model.encode_users(histories), written_out(ds, model), atol=1e-4)
    twice = [np.concatenate([own[::-1], own]) for own in histories]
    np.testing.assert_array_equal(model.encode_users(twice), model.encode_users(histories))
    np.testing.assert_array_equal(model.encode_users([[]]), np.zeros((1, 8), np.float32))
    assert model.encode_users([]).shape == (0, 8)


def test_refuses_histories_that_are_none(ds, model):
    with pytest.raises(DataError, match="from 0 to 89, history 1"):
        model.encode_users([[0], [90]])
    with pytest.raises(DataError, match="item numbers"):
        model.encode_users([np.array([0.5])])
    with pytest.raises(SettingsError, match="--users profile"):
        Milk(**{**OPTIONS, "epochs": 1}).fit(ds).encode_users([[0]])


def test_saves_and_loads(ds, model, tmp_path):
    model.save(tmp_path / "model.npz")
    again = Milk.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.user_factors(), model.user_factors())
    np.testing.assert_array_equal(again.encode_users([[1, 5]]), model.encode_users([[1, 5]]))
    new = {"image": ds.features["image"][:4]}
    np.testing.assert_array_equal(again.encode_items(new), model.encode_items(new))
    np.testing.assert_array_equal(again.recommend(k=5).found, model.recommend(k=5).found)
    again.save(tmp_path / "copy.npz")
    assert (tmp_path / "copy.npz").read_bytes() == (tmp_path / "model.npz").read_bytes()


def test_starts_centred_at_the_principal_axes(ds):
    model = Milk(**OPTIONS, users="profile")
    model.trainer(ds)
    for m, table in enumerate(feature_tables(ds, model.imputer)):
        x = table.rows(np.flatnonzero((ds.item_split == 0) & ds.available[:, m])).astype(np.float64)
        W = model.params.W[m].astype(np.float64)
        np.testing.assert_allclose((x @ W + model.params.b[m]).mean(axis=0), 0, atol=1e-5)
        k = min(W.shape)
        np.testing.assert_allclose(W[:, :k].T @ W[:, :k], np.eye(k), atol=1e-5)
        spectrum = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)[:k]
        assert np.sum(((x - x.mean(axis=0)) @ W[:, :k]) ** 2) > 0.98 * np.sum(spectrum**2)


def test_dependent_columns_leave_no_axis():
    columns = np.random.default_rng(0).standard_normal((6, 2)) @ np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 1.0]])
    found = orthonormal(columns)
    np.testing.assert_allclose(found.T @ found, np.diag([1.0, 0.0, 1.0]), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_learns(ds, kind):
    model = Milk(**OPTIONS, users=kind).fit(ds)
    losses = [record["losses"]["total"] for record in model.history.records]
    assert losses == sorted(losses, reverse=True)
    random = 4.5436 / 18  # the mean discount of the first 10 of 18 candidates, all others aside
    assert evaluate(model, ds, topk=(10,)).metrics["ndcg@10"] > random


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop_at", [(1, 1), (3, 0)])
def test_an_interrupted_run_resumes_to_the_bit(ds, tmp_path, monkeypatch, kind, stop_at):
    options = {**OPTIONS, "users": kind}
    runs = [RunFolder.create(tmp_path / name, MilkSettings(**options), data_hash=ds.content_hash) for name in "ab"]
    Milk(**options).fit(ds, run=runs[0])
    original = TripletTrainer.step

    def step_and_interrupt(self, epoch, step):
        original(self, epoch, step)
        if (epoch, step) == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TripletTrainer, "step", step_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        Milk(**options).fit(ds, run=runs[1])
    monkeypatch.undo()
    Milk(**options).fit(ds, run=runs[1], resume=True)
    assert runs[0].model.read_bytes() == runs[1].model.read_bytes()


PROGRAM = """
    import sys
    sys.path.insert(0, {tests!r})
    from test_milk_users import OPTIONS, Milk, small_set
    import numba
    numba.set_num_threads({threads})
    Milk(**OPTIONS, users="both").fit(small_set()).save(sys.argv[1])
"""


def test_threads_do_not_change_one_bit(tmp_path):
    saved = []
    for threads in (1, min(2, os.cpu_count() or 1)):
        program = textwrap.dedent(PROGRAM).format(tests=os.path.dirname(__file__), threads=threads)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "m.npz")], check=True, env=environment)
        saved.append((tmp_path / "m.npz").read_bytes())
    assert saved[0] == saved[1]


def test_equals_a_plain_run_of_the_references(ds):
    from milk_np.backends.numba import NumpyBackend

    fast, plain = Milk(**OPTIONS, users="both"), Milk(**OPTIONS, users="both")
    plain._lazy_backend = NumpyBackend("reference")
    for model in (fast, plain):
        trainer = model.trainer(ds)
        trainer.step(1, 0)
        trainer.flush()
    for (name, a), (_, b) in zip(fast.params.arrays(), plain.params.arrays(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-3, err_msg=name)


def test_duif_takes_profiles_too(ds):
    model = Duif(**{**OPTIONS, "epochs": 2}).fit(ds)
    assert np.isfinite(model.user_factors()).all()
