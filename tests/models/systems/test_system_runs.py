"""What every system has to show in training and service: the same bits again, runs that go on, how it serves."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Case, cases, small_set

from milk_np.data import Dataset
from milk_np.errors import DivergedError, SettingsError
from milk_np.kernels.blas import openblas_pools
from milk_np.kernels.cpu import set_threads
from milk_np.models.content_model import ContentModel
from milk_np.models.registry import model_class, settings_class
from milk_np.models.stored import load
from milk_np.training.progress import Progress
from milk_np.training.run_folder import RunFolder

CASES = cases()
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def made(case: Case, **changes: Any) -> ContentModel:
    return model_class(case.name)(**{**case.options, **changes})  # type: ignore[return-value]


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small_set()


@every
def test_learns_and_says_what(case: Case, ds: Dataset) -> None:
    model = made(case).fit(ds)
    assert model.history is not None
    losses = [record["losses"] for record in model.history.records]
    assert len(losses) >= 2
    assert min(each["total"] for each in losses[1:]) < losses[0]["total"]
    for each in losses:
        parts = [value for name, value in each.items() if name != "total"]
        assert each["total"] == pytest.approx(sum(parts))
    arrays = model.arrays()
    assert all(x.dtype == np.float32 for x in arrays.values())
    assert set(arrays) == set(model.names) - set(model.frozen)


@every
def test_same_bits_on_any_number_of_threads(case: Case, ds: Dataset) -> None:
    before = [(limit, get()) for get, limit in openblas_pools()]
    results = []
    try:
        for threads in (1, 2):
            set_threads(threads)
            for limit, _ in before:
                limit(threads)
            model = made(case).fit(ds)
            results.append((model.item_factors(), model.user_factors()))
    finally:
        for limit, count in before:
            limit(count)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


PROGRAM = """
    import os, signal, sys
    sys.path[:0] = {paths!r}
    from test_system_runs import CASES, made, new_run, small_set

    def kill(event):
        if (event.kind, event.epoch) == ("evaluation", 2):
            os.kill(os.getpid(), signal.SIGKILL)

    case, ds = next(case for case in CASES if case.name == {name!r}), small_set()
    made(case).fit(ds, run=new_run(sys.argv[1], case, ds), callback=kill)
"""


def new_run(folder: str | Path, case: Case, ds: Dataset) -> RunFolder:
    return RunFolder.create(folder, settings_class(case.name)(**case.options), data_hash=ds.content_hash)


class EndedError(Exception):
    """The process is gone, as far as the run's folder can tell."""


@every
def test_a_run_that_ended_resumes_to_the_bit(case: Case, ds: Dataset, tmp_path: Path) -> None:
    def end(event: Progress) -> None:
        if (event.kind, event.epoch) == ("evaluation", 2):
            raise EndedError

    whole, part = (new_run(tmp_path / name / "run", case, ds) for name in ("whole", "part"))
    records = made(case).fit(ds, run=whole).history.records  # type: ignore[union-attr]
    with pytest.raises(EndedError):
        made(case).fit(ds, run=part, callback=end)
    resumed = made(case).fit(ds, run=RunFolder.reopen(part.path), resume=True)
    assert resumed.history is not None
    assert resumed.history.records == records
    assert part.model.read_bytes() == whole.model.read_bytes()


@pytest.mark.parametrize("case", CASES[:1], ids=lambda case: case.name)  # the same loop for all
def test_a_killed_run_resumes_to_the_bit(case: Case, ds: Dataset, tmp_path: Path) -> None:
    whole = new_run(tmp_path / "a" / "whole", case, ds)
    records = made(case).fit(ds, run=whole).history.records  # type: ignore[union-attr]
    here = Path(__file__)
    paths = [str(here.parent), str(here.parents[2])]
    program = textwrap.dedent(PROGRAM).format(paths=paths, name=case.name)
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "b" / "killed")], check=False)
    assert killed.returncode == -signal.SIGKILL
    run = RunFolder.reopen(tmp_path / "b" / "killed")
    resumed = made(case).fit(ds, run=run, resume=True)
    assert resumed.history is not None
    assert resumed.history.records == records
    assert run.model.read_bytes() == whole.model.read_bytes()


@every
def test_a_rate_far_too_high_ends_with_a_clear_error(case: Case, ds: Dataset) -> None:
    """Whatever overflows on the way is no warning: the error says it, and what to do."""
    with pytest.raises(DivergedError, match=r"no longer finite|expected finite numbers"):
        made(case, lr=1e30, max_epochs=20).fit(ds)


# Serving


@every
def test_saves_loads_and_serves(case: Case, ds: Dataset, tmp_path: Path) -> None:
    model = made(case).fit(ds)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert isinstance(again, ContentModel)
    np.testing.assert_array_equal(again.user_factors(), model.user_factors())
    np.testing.assert_array_equal(again.item_factors(), model.item_factors())
    some = np.array([3, 1])
    np.testing.assert_array_equal(again.user_factors(some), model.user_factors()[some])
    np.testing.assert_array_equal(again.recommend(some, k=4).found, model.recommend(some, k=4).found)


@every
def test_unfitted_models_say_so(case: Case, tmp_path: Path) -> None:
    model = made(case)
    for call in (model.user_factors, model.item_factors, model.arrays, lambda: model.encode_items({})):
        with pytest.raises(SettingsError, match=f"{case.name}: the model isn't fitted"):
            call()
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").settings == model.settings


@every
@pytest.mark.parametrize("M", [1, 4])
def test_new_items_with_any_modality_missing(case: Case, M: int) -> None:
    ds = small_set(M, "MTMT")
    model = made(case, max_epochs=1).fit(ds)
    new = ds.new_items()
    rows = {name: ds.features[name][new] for name in ds.modalities}
    encoded = model.encode_items(rows, ds.available[new])
    np.testing.assert_allclose(encoded, model.item_factors(new), atol=1e-4)
    for name in ds.modalities if M > 1 else ():
        left = {other: x for other, x in rows.items() if other != name}
        without = model.encode_items(left)
        assert np.isfinite(without).all()
        assert without.shape == encoded.shape
        alone = model.encode_items({name: rows[name]})
        assert not np.allclose(alone, without)
    assert model.score_items(rows, users=[0, 5]).shape == (2, len(new))


@every
@pytest.mark.parametrize("impute", ["zero", "mean", "map", "nearest"])
def test_all_imputers_and_forms_of_content(case: Case, ds: Dataset, impute: str) -> None:
    vectors = [
        made(case, max_epochs=1, impute=impute, content=content).fit(ds).item_factors()
        for content in ("unit", "centred", "standard")
    ]
    assert all(np.isfinite(x).all() for x in vectors)
    assert not np.allclose(vectors[0], vectors[1])
    assert not np.allclose(vectors[1], vectors[2])


@every
def test_the_tuning_space_holds_settings_that_exist(case: Case) -> None:
    cls = settings_class(case.name)
    space = cls(**case.options).tuning_space()
    assert len(space) >= 2
    for name, values in space.items():
        assert len(values) >= 2
        for value in values:
            assert getattr(cls(**{**case.options, name: value}), name) == value


@every
def test_the_need_for_memory_grows_with_the_data(case: Case) -> None:
    cls, settings = model_class(case.name), settings_class(case.name)(**case.options)
    small = {"n_users": 100, "n_items": 50, "n_new_items": 10, "n_train_pairs": 900, "widths": [8, 9]}
    need = cls.memory_need(settings, **small)
    assert sum(need.values()) > 0
    assert set(need) <= set(cls.memory_advice)
    for name in ("n_users", "n_items"):
        assert sum(cls.memory_need(settings, **{**small, name: 10**6}).values()) > sum(need.values())
