"""MILK as a model: what its options change, its vectors, its files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.data import apply_protocol, make_synthetic
from milk_np.errors import DataError, ModalityError, SettingsError
from milk_np.models.milk.model import Milk, objective_weights
from milk_np.models.milk.settings import MilkSettings

OPTIONS = {"dim": 8, "epochs": 2, "eval_every": 2, "batch_size": 256, "topk": (10,)}


def small_set(M=2, **options):
    widths = {f"m{m}": 6 + 5 * m for m in range(M)}
    return make_synthetic(n_users=80, n_items=60, n_pairs=600, widths=widths, seed=1, **options)


@pytest.fixture(scope="module")
def ds():
    return apply_protocol(small_set(), "MTMT")


@pytest.fixture(scope="module")
def model(ds):
    return Milk(**OPTIONS).fit(ds)


def test_score_is_the_mean_of_the_modalities(ds, model):
    from milk_np.data import feature_tables

    tables = feature_tables(ds, model.imputer)
    c = [t.rows() @ W + b for t, W, b in zip(tables, model.params.W, model.params.b, strict=True)]
    np.testing.assert_allclose(model.item_factors(), np.mean(c, axis=0), atol=1e-5)
    np.testing.assert_array_equal(model.item_factors(np.array([5, 0])), model.item_factors()[[5, 0]])
    np.testing.assert_array_equal(model.user_factors(np.array([7])), model.user_factors()[[7]])


def test_encodes_an_item_of_the_data_as_itself(ds, model):
    """A brand-new item with the features and the missing modalities of an old one gets the old one's vector."""
    items = np.arange(ds.n_items)
    features = {name: np.where(ds.available[:, [m]], ds.features[name], 7.0) for m, name in enumerate(ds.modalities)}
    encoded = model.encode_items(features, ds.available)
    np.testing.assert_allclose(encoded, model.item_factors(items), atol=1e-6)


def test_encodes_an_item_without_a_modality(ds, model):
    only = {"m1": ds.features["m1"][:3]}
    alone = model.encode_items(only)
    masked = model.encode_items({**only, "m0": np.zeros((3, 6), np.float32)}, np.array([[False, True]] * 3))
    np.testing.assert_array_equal(alone, masked)
    with pytest.raises(ModalityError, match="m9"):
        model.encode_items({"m9": ds.features["m1"][:3]})
    with pytest.raises(ModalityError, match=r"\(3, 11\)"):
        model.encode_items({"m1": ds.features["m1"][:3, :4]})


@pytest.mark.parametrize("impute", ["zero", "mean", "map", "nearest"])
def test_saves_and_loads(ds, tmp_path, impute):
    model = Milk(**OPTIONS, impute=impute).fit(ds)
    model.save(tmp_path / "model.npz")
    again = Milk.load(tmp_path / "model.npz")
    assert again.settings == model.settings
    np.testing.assert_array_equal(again.user_factors(), model.user_factors())
    np.testing.assert_array_equal(again.item_factors(), model.item_factors())
    new = {"m0": ds.features["m0"][:4]}
    np.testing.assert_array_equal(again.encode_items(new), model.encode_items(new))
    again.save(tmp_path / "copy.npz")
    assert (tmp_path / "copy.npz").read_bytes() == (tmp_path / "model.npz").read_bytes()


def test_an_unfitted_model_round_trips(tmp_path):
    Milk(dim=3).save(tmp_path / "model.npz")
    again = Milk.load(tmp_path / "model.npz")
    assert again.settings.dim == 3
    for call in (again.user_factors, again.item_factors, again.arrays, lambda: again.encode_items({})):
        with pytest.raises(SettingsError, match="isn't fitted"):
            call()


def test_refuses_a_file_that_holds_something_else(ds, tmp_path):
    ds.save(tmp_path / "data.npz")
    with pytest.raises(DataError, match=r"data\.npz"):
        Milk.load(tmp_path / "data.npz")
    with pytest.raises(DataError, match=r"none\.npz"):
        Milk.load(tmp_path / "none.npz")


def test_modules_are_removed(ds):
    full = objective_weights(MilkSettings().resolve())
    assert full.alignment
    assert full.invariance
    assert not objective_weights(MilkSettings(without=("cmam",)).resolve()).alignment
    assert not objective_weights(MilkSettings(without=("ceim",)).resolve()).invariance
    plain = Milk(**OPTIONS, without=("cmam", "ceim")).fit(ds)
    losses = plain.history.records[-1]["losses"]
    assert losses["alignment"] == losses["variance"] == 0
    assert losses["bpr"] == losses["bpr0"]


def test_presets():
    paper, reference = (objective_weights(MilkSettings(preset=p).resolve()) for p in ("paper", "reference"))
    assert paper.base(4) == 0.25
    assert reference.base(4) == 1


def test_a_sum_of_risks_is_a_mean_at_smaller_weights(ds):
    """Under Adam, which no constant factor touches, the presets are one another's rescaling (section 4)."""
    E = 3
    shared = {**OPTIONS, "negatives": "train", "reg": 0.0}
    summed = Milk(**shared, risk="sum", invariance_weight=30.0, align_weight=0.3).fit(ds)
    mean = Milk(**shared, risk="mean", invariance_weight=30.0 / E, align_weight=0.3 / E).fit(ds)
    np.testing.assert_allclose(summed.user_factors(), mean.user_factors(), atol=2e-4)


def test_paper_preset_never_shows_a_new_item_in_training(ds):
    seen = {}
    for preset in ("paper", "reference"):
        model = Milk(**OPTIONS, preset=preset)
        sampler = model.trainer(ds).engine.sampler
        seen[preset] = np.concatenate([sampler.batch(e, s)[1] for e in range(5) for s in range(sampler.steps)])
    assert not np.isin(seen["paper"], ds.new_items()).any()
    assert np.isin(seen["reference"], ds.new_items()).any()


@settings(max_examples=15, deadline=None)
@given(
    M=st.integers(1, 5),
    environments=st.sampled_from(["cyclic", "no-equal", "independent", "once"]),
    draws=st.integers(1, 3),
    without=st.sampled_from([(), ("cmam",), ("ceim",), ("cmam", "ceim")]),
    reg_scope=st.sampled_from(["batch", "all"]),
    batch_size=st.sampled_from([1, 33, 10_000]),
)
def test_trains_with_any_options(M, environments, draws, without, reg_scope, batch_size):
    ds = small_set(M)
    if M > 1:
        ds = apply_protocol(ds, "MTMT")
    options = {**OPTIONS, "epochs": 1 if batch_size == 1 else 3, "batch_size": batch_size, "lr": 0.01}
    model = Milk(**options, environments=environments, env_draws=draws, without=without, reg_scope=reg_scope)
    trainer = model.trainer(ds)
    first = []
    for epoch in range(1, options["epochs"] + 1):
        for step in range(trainer.steps):
            trainer.step(epoch, step)
        first.append(trainer.losses(trainer.steps)["bpr0"])
    assert first[-1] < 0.7
    assert model.user_factors().dtype == model.item_factors().dtype == np.float32


def test_half_precision_and_memory_mapped_features_train_alike(tmp_path):
    half = small_set(half=True)
    half.save(tmp_path / "folder")
    from milk_np import Dataset

    mapped = Dataset.load(tmp_path / "folder")
    assert isinstance(mapped.features["m0"], np.memmap)
    single = replace(half, features={k: v.astype(np.float32) for k, v in half.features.items()})
    factors = [Milk(**OPTIONS).fit(ds).user_factors() for ds in (half, mapped, single)]
    np.testing.assert_array_equal(factors[0], factors[1])
    np.testing.assert_allclose(factors[0], factors[2], atol=1e-5)
