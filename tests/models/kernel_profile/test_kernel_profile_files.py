"""Files and runs of the kernel profile: what is written, read again and resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kernel_profile_cases import EMPTY, OPTIONS, small

from milk_np import models
from milk_np.data import Dataset
from milk_np.errors import DataError, SettingsError
from milk_np.files import read_npz, write_npz_atomic
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.settings.shared import Settings
from milk_np.training.loop import train
from milk_np.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small()


@pytest.fixture(scope="module")
def model(ds: Dataset) -> KernelProfile:
    return KernelProfile(**OPTIONS, whitening=(0.5, 0.0)).fit(ds)


def test_saves_and_loads(ds: Dataset, model: KernelProfile, tmp_path: Path) -> None:
    model.save(tmp_path / "model.npz")
    again = models.load(tmp_path / "model.npz")
    assert isinstance(again, KernelProfile)
    assert again.kernel == model.kernel
    np.testing.assert_array_equal(again.user_factors(), model.user_factors())
    np.testing.assert_array_equal(again.item_factors(), model.item_factors())
    np.testing.assert_array_equal(again.item_factors(np.array([4, 1])), model.item_factors()[[4, 1]])
    np.testing.assert_array_equal(again.user_from_history([[1, 5], []]), model.user_from_history([[1, 5], []]))
    for one, two in (
        (again.recommend(k=5), model.recommend(k=5)),
        (again.recommend([EMPTY, 2], 7, candidates="all"), model.recommend([EMPTY, 2], 7, candidates="all")),
        (again.recommend_for_histories([[1, 5], []], 6), model.recommend_for_histories([[1, 5], []], 6)),
        (again.recommend_users([4, 40], 6), model.recommend_users([4, 40], 6)),
        (again.similar_items([0], 4), model.similar_items([0], 4)),
    ):
        np.testing.assert_array_equal(one.found, two.found)
        np.testing.assert_allclose(one.score, two.score, rtol=1e-5)  # a row alone is rounded unlike one of many
    again.save(tmp_path / "copy.npz")
    assert (tmp_path / "copy.npz").read_bytes() == (tmp_path / "model.npz").read_bytes()


def test_fitting_twice_gives_the_same_bits(ds: Dataset, model: KernelProfile, tmp_path: Path) -> None:
    model.save(tmp_path / "one.npz")
    KernelProfile(model.settings).fit(ds).save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_model_that_is_not_fitted_says_so(ds: Dataset, tmp_path: Path) -> None:
    empty = KernelProfile(**OPTIONS)
    empty.save(tmp_path / "empty.npz")
    for each in (empty, KernelProfile.load(tmp_path / "empty.npz")):
        for ask in (each.user_factors, each.item_factors, lambda each=each: each.encode_items({}), each.recommend):
            with pytest.raises(SettingsError, match="isn't fitted"):
                ask()


def test_refuses_files_of_other_models_and_damaged_ones(ds: Dataset, model: KernelProfile, tmp_path: Path) -> None:
    model.save(tmp_path / "model.npz")
    arrays, meta = read_npz(tmp_path / "model.npz", "model")
    write_npz_atomic(tmp_path / "other.npz", arrays, {**meta, "kind": "model", "model": "milk"})
    with pytest.raises(DataError, match=r"other\.npz: holds a model named 'milk'"):
        KernelProfile.load(tmp_path / "other.npz")
    earlier = {**meta, "kind": "model", "settings": {**meta["settings"], "kernel_scale": 0.0}}
    write_npz_atomic(tmp_path / "earlier.npz", arrays, earlier)
    with pytest.raises(DataError, match=r"earlier\.npz: written by another version, fit .*kernel-scale.* got 0\.0"):
        KernelProfile.load(tmp_path / "earlier.npz")
    for absent in ("history", "items", "landmark1", "axes0", "imputer_mean_text"):
        some = {name: array for name, array in arrays.items() if name != absent}
        write_npz_atomic(tmp_path / "less.npz", some, {**meta, "kind": "model"})
        with pytest.raises(DataError, match=absent.removeprefix("imputer_")):
            KernelProfile.load(tmp_path / "less.npz")


def test_refuses_the_training_state_of_an_earlier_version(ds: Dataset, model: KernelProfile) -> None:
    again = KernelProfile(model.settings)
    again.begin(ds)
    again.load_state({})  # of a run that was stopped before its only step
    with pytest.raises(DataError, match="the training state: entry 'axes0' is absent"):
        again.load_state({name: array for name, array in model.state().items() if name != "axes0"})
    again.load_state(model.state())
    np.testing.assert_array_equal(again.user_factors(), model.user_factors())


def test_a_run_has_one_epoch_and_resumes(ds: Dataset, model: KernelProfile, tmp_path: Path) -> None:
    settings = model.settings
    run = RunFolder.create(tmp_path / "run", settings, data_hash=ds.content_hash)
    fresh = KernelProfile(settings)
    history = train(fresh, ds, settings, run=run)
    assert history.epochs == history.best_epoch == 1
    assert [record["epoch"] for record in run.metrics()] == [1]
    written = run.model.read_bytes()
    again = KernelProfile(settings)
    assert train(again, ds, settings, run=RunFolder.reopen(run.path), resume=True).records == history.records
    assert run.model.read_bytes() == written
    for each in (fresh, again, KernelProfile.load(run.model)):
        np.testing.assert_array_equal(each.user_factors(), model.user_factors())
        np.testing.assert_array_equal(each.item_factors(), model.item_factors())
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == written


def test_a_run_that_broke_off_starts_anew(ds: Dataset, tmp_path: Path) -> None:
    settings = Settings(model="kernel-profile", **OPTIONS)
    runs = [RunFolder.create(tmp_path / name, settings, data_hash=ds.content_hash) for name in "ab"]
    KernelProfile(settings).fit(ds, run=runs[0])

    def stop(event):
        if event.kind == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        KernelProfile(settings).fit(ds, run=runs[1], callback=stop)
    KernelProfile(settings).fit(ds, run=runs[1], resume=True)
    assert runs[0].model.read_bytes() == runs[1].model.read_bytes()
