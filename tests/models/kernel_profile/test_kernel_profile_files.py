"""Files and runs of the kernel profile: what is written, read again and resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from kernel_profile_cases import EMPTY, OPTIONS, small

from milk_np.cli.common import run_command
from milk_np.data import Dataset
from milk_np.errors import DataError, SettingsError
from milk_np.files import read_npz, write_npz_atomic
from milk_np.models.kernel_profile.fit import BALANCING, SHARES
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.stored import load
from milk_np.training.progress import Progress
from milk_np.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small()


@pytest.fixture(scope="module")
def model(ds: Dataset) -> KernelProfile:
    return KernelProfile(**OPTIONS, whitening=(0.5, 0.0)).fit(ds)


def test_saves_and_loads(ds: Dataset, model: KernelProfile, tmp_path: Path) -> None:
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert isinstance(again, KernelProfile)
    assert again.kernel == model.kernel
    np.testing.assert_array_equal(again.user_factors(), model.user_factors())
    np.testing.assert_array_equal(again.item_factors(), model.item_factors())
    np.testing.assert_array_equal(again.item_factors(np.array([4, 1])), model.item_factors()[[4, 1]])
    np.testing.assert_array_equal(again.encode_users([[1, 5], []]), model.encode_users([[1, 5], []]))
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


def test_a_run_has_the_model_and_no_epochs(ds: Dataset, model: KernelProfile, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", model.settings, data_hash=ds.content_hash)
    events = list[Progress]()
    fresh = KernelProfile(model.settings).fit(ds, run=run, callback=events.append)
    assert fresh.history is None
    assert run.metrics() == []
    assert not run.last.exists()
    assert [event.kind for event in events] == ["start"] + ["phase"] * (len(SHARES) + 2) + ["fitted"]
    assert [event.share for event in events] == [0.0, 0.0, *SHARES, BALANCING, 1.0]
    for each in (fresh, KernelProfile.load(run.model)):
        np.testing.assert_array_equal(each.user_factors(), model.user_factors())
        np.testing.assert_array_equal(each.item_factors(), model.item_factors())
    fresh.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == run.model.read_bytes()


def test_its_arrays_go_out_and_in(ds: Dataset, model: KernelProfile) -> None:
    other = KernelProfile(model.settings.replace(seed=7)).fit(ds)
    assert (other.item_factors() != model.item_factors()).any()
    other.load_arrays(model.arrays())
    np.testing.assert_array_equal(other.item_factors(), model.item_factors())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("phase", [0, 2, len(SHARES)])
def test_a_signal_ends_the_fit_before_the_next_phase(ds: Dataset, tmp_path: Path, number: int, phase: int) -> None:
    run = RunFolder.create(tmp_path / "run", KernelProfileSettings(**OPTIONS), data_hash=ds.content_hash)
    told, kinds = list[str](), list[str]()

    def stop(event: Progress) -> None:
        kinds.append(event.kind)
        if event.kind == "phase":
            told.append(event.phase)
            if len(told) == phase + 1:
                os.kill(os.getpid(), number)

    def body(line: list[str]) -> int:
        KernelProfile(**OPTIONS).fit(ds, run=run, callback=stop)
        return 0

    assert run_command("milk-train", body, []) == 130
    assert len(told) == phase + 1
    assert kinds[-1] == "failed"
    assert not run.model.exists()
