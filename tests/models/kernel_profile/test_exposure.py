"""Even exposure: gains of items that lack modalities, and what they make of the items' vectors."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from kernel_profile_cases import OPTIONS, small

from milk_np.data import Dataset
from milk_np.files import read_npz, write_npz_atomic
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.exposure import LEAST_PAIRS, MOST_GAIN, evened, modality_gains, set_gains
from milk_np.models.kernel_profile.held_out import _sets
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.stored import load
from milk_np.serving.index import ItemIndex

KERNEL = ContentKernel(1.0, 1.0, (0.5, 0.5), (0.0, 0.0))


def planted(shrunk: float, users: int = 300, items: int = 400, seed: int = 0) -> SimpleNamespace:
    """Two folds whose users choose what they score highest, before items without the second modality are shrunk."""
    rng = np.random.default_rng(seed)
    sets, which = _sets(2), rng.choice([0, 1], 2 * items)  # all, the first alone
    folds, scores = [], []
    for f in range(2):
        inside = np.arange(2 * items) // items == f
        values = rng.standard_normal((users, items))
        user, item = np.nonzero(values >= -np.partition(-values, 19, axis=1)[:, 19:20])
        values[:, which[inside] == 1] *= shrunk
        folds.append(SimpleNamespace(inside=inside, user=user, item=item))
        scores.append((values + 5 * rng.standard_normal((users, 1))).astype(np.float32))
    return SimpleNamespace(sets=sets, which=which, folds=folds, scores=lambda _: scores)


@pytest.mark.parametrize("shrunk", [1.0, 0.8, 0.6, 1.25])
def test_the_gain_undoes_what_shrinks_the_scores(shrunk: float) -> None:
    held = planted(shrunk)
    lacks = ~held.sets[held.which]
    assert not lacks[:, 0].any()  # so that nothing is known of the first one's gain
    assert modality_gains(held, KERNEL) == pytest.approx([1.0, 1 / shrunk], rel=0.05)


def test_gains_are_bounded_and_stay_where_little_is_known() -> None:
    assert modality_gains(planted(0.01), KERNEL)[1] == pytest.approx(MOST_GAIN)
    few = planted(0.5, users=2, items=300)
    assert sum((few.which[np.flatnonzero(f.inside)[f.item]] == 1).sum() for f in few.folds) < LEAST_PAIRS
    np.testing.assert_array_equal(modality_gains(few, KERNEL), [1, 1])
    short = planted(0.5, items=20)  # lists that hold all items
    np.testing.assert_array_equal(modality_gains(short, KERNEL), [1, 1])


def test_sets_multiply_the_gains_of_what_they_lack() -> None:
    sets = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1]], np.bool_)
    gains = np.array([2.0, 3.0, 5.0])
    np.testing.assert_allclose(set_gains(gains, sets, 1.0), [1, 3, 6])
    np.testing.assert_allclose(set_gains(gains, sets, 0.5), [1, 3**0.5, 6**0.5])
    np.testing.assert_array_equal(set_gains(gains, sets, 0.0), 1)


def test_vectors_are_spread_around_their_mean() -> None:
    rng = np.random.default_rng(0)
    similar, coefficients = rng.random((2, 9, 4)), rng.standard_normal((2, 4, 3)).astype(np.float32)
    gains = np.array([1.0, 1.7])
    found, offset = evened(coefficients, similar.mean(axis=1), gains)
    assert (found.dtype, offset.dtype) == (np.float32, np.float32)
    for s in range(2):
        z = similar[s] @ coefficients[s]
        expected = z.mean(axis=0) + gains[s] * (z - z.mean(axis=0))
        np.testing.assert_allclose(similar[s] @ found[s] + offset[s], expected, rtol=1e-5)
    np.testing.assert_array_equal(found[0], coefficients[0])
    np.testing.assert_array_equal(offset[0], 0)


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small()


@pytest.fixture(scope="module")
def models(ds: Dataset) -> tuple[KernelProfile, KernelProfile]:
    """Plain and even, with gains that the module says."""
    given = {"whitening": (0.0, 0.0), "kernel_noise": 0.3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("milk_np.models.kernel_profile.fit.modality_gains", lambda *_: np.array([1.5, 3.0]))
        return tuple(KernelProfile(**OPTIONS, **given, even_exposure=x).fit(ds) for x in (0.0, 1.0))


def test_complete_items_stay_and_the_others_are_spread(
    ds: Dataset, models: tuple[KernelProfile, KernelProfile]
) -> None:
    plain, even = models
    P, before, after = plain.user_factors(), plain.item_factors(), even.item_factors()
    old, new = P @ before.T, even.user_factors() @ after.T
    whole = ds.available.all(axis=1)
    np.testing.assert_allclose(new[:, whole], old[:, whole], atol=1e-4 * np.abs(old).max())
    for m, gain in enumerate((1.5, 3.0)):
        mine = ~ds.available[:, m]
        spread = np.var(new[:, mine], axis=1).sum() / np.var(old[:, mine], axis=1).sum()
        assert spread == pytest.approx(gain**2, rel=1e-3)


def test_an_even_model_serves_the_same_everywhere(
    ds: Dataset, models: tuple[KernelProfile, KernelProfile], tmp_path: Path
) -> None:
    model = models[1]
    features = {name: ds.features[name] for name in ds.modalities}
    np.testing.assert_allclose(model.encode_items(features, ds.available), model.item_factors(), atol=1e-4)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.arrays()["offset"], model.arrays()["offset"])
    for one, two in (
        (again.recommend(k=5), model.recommend(k=5)),
        (again.similar_items([0, 7], 4), model.similar_items([0, 7], 4)),
        (ItemIndex(again).recommend(ds.user[:3], 5), model.recommend(ds.user[:3], 5)),
    ):
        np.testing.assert_array_equal(one.found.astype(str), two.found.astype(str))


def test_files_of_earlier_versions_have_no_offset(models: tuple[KernelProfile, KernelProfile], tmp_path: Path) -> None:
    models[0].save(tmp_path / "model.npz")
    arrays, meta = read_npz(tmp_path / "model.npz", "model")
    assert not arrays.pop("offset").any()
    write_npz_atomic(tmp_path / "old.npz", arrays, {**meta, "kind": "model"})
    old = load(tmp_path / "old.npz")
    np.testing.assert_array_equal(old.item_factors(), models[0].item_factors())
