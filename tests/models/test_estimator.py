"""What a model shows of itself; its settings read, changed and cloned; copies with the same bits; a run's folder."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_on_data import MODELS as MADE
from test_on_data import SHOP, TEST, VALID

from milk_np import ContentProfile, Duif, KernelProfile, Milk, MostSimilar, RandomOrder, RidgeDirect, load
from milk_np.cli import train
from milk_np.data import Dataset
from milk_np.errors import SettingsError
from milk_np.models.registry import constructor_options, model_class, settings_class, trained
from milk_np.models.stored import StoredModel


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return SHOP.data(SHOP.users[:60], SHOP.items[:76], valid=VALID, test=TEST)


@pytest.mark.parametrize("name", trained())
def test_params_make_the_same_model_again(name: str) -> None:
    cls = model_class(name)
    assert issubclass(cls, StoredModel)
    model = cls(topk=[5, 50], seed=3, valid_metric="NDCG@5")  # type: ignore[call-arg]
    params = model.get_params()
    assert list(params) == list(constructor_options(name))
    again = cls(**params)  # type: ignore[arg-type]
    assert again.settings == model.settings
    for setting, value in again.get_params(deep=False).items():
        assert value is params[setting], f"scikit-learn's clone asks for the same object: {setting}"


@pytest.mark.parametrize("name", trained())
def test_scikit_learn_clones_every_model(name: str) -> None:
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    model = model_class(name)(topk=[5, 50], impute="zero")  # type: ignore[call-arg]
    clone = base.clone(model)
    assert clone is not model
    assert type(clone) is type(model)
    assert clone.settings == model.settings


def test_set_params_changes_settings_and_forgets_what_was_learned(ds: Dataset) -> None:
    model = RidgeDirect(topk=(5,)).fit(ds)
    assert model.set_params(content_ridge=3.0) is model
    assert model.recommend(["u001"], 3).found.shape == (1, 3)
    model.set_params(content_ridge=30.0, impute="zero")
    assert (model.settings.content_ridge, model.settings.topk) == (30.0, (5,))
    with pytest.raises(SettingsError, match="isn't fitted"):
        model.recommend(["u001"], 3)
    with pytest.raises(SettingsError, match="content_rige: ridge has no such setting; did you mean content_ridge"):
        model.set_params(content_rige=1.0)


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_copies_have_the_same_bits(made: str, how: Any, ds: Dataset) -> None:
    model = MADE[made]().fit(ds)
    twin = how(model)
    assert twin.get_params() == model.get_params()
    for mine, other in ((model.user_factors(), twin.user_factors()), (model.item_factors(), twin.item_factors())):
        np.testing.assert_array_equal(mine, other)
    mine, other = model.recommend(k=5), twin.recommend(k=5)
    np.testing.assert_array_equal(mine.found, other.found)
    np.testing.assert_array_equal(mine.score, other.score)


def test_a_model_says_what_it_is(ds: Dataset) -> None:
    model = Duif(dim=6, max_epochs=2, eval_every=2, topk=(5,), valid_metric="ndcg@5")
    assert repr(model) == "Duif(dim=6, max_epochs=2, eval_every=2, valid_metric='ndcg@5', topk=(5,))"
    assert eval(repr(model), {"Duif": Duif}).settings == model.settings  # noqa: S307
    assert "not yet: call fit(ds)" in model._repr_html_()
    model.fit(ds)
    assert repr(model).endswith("fitted: users 60, items 76 (16 of them new)>")
    shown = model._repr_html_()
    assert shown.startswith("<table>")
    assert '<th scope="row"' in shown
    assert "60" in shown
    assert repr(KernelProfile()) == "KernelProfile()"


@pytest.mark.parametrize("name", trained())
def test_every_model_shows_itself_as_markup(name: str) -> None:
    assert settings_class(name).title in model_class(name)()._repr_html_()  # type: ignore[attr-defined]


def test_the_folder_of_a_run_is_loaded_with_its_history(ds: Dataset, tmp_path: Path) -> None:
    data, run = ds.save(tmp_path / "data.npz"), tmp_path / "run"
    quick = ["--dim", "4", "--epochs", "4", "--eval-every", "2", "--topk", "5", "--valid-metric", "ndcg@5", "--quiet"]
    assert train.main(["--data", str(data), "--out", str(run), *quick]) == 0
    of_folder, of_file = Milk.load(run), load(run / "model.npz")
    assert of_file.history is None
    for model in (of_folder, load(str(run))):
        np.testing.assert_array_equal(model.item_factors(), of_file.item_factors())
        assert model.history is not None
        assert model.history.epochs == 4
        assert model.history.best_epoch in (2, 4)
        assert list(model.history.columns())[:2] == ["epoch", "loss_total"]
    with pytest.raises(SettingsError, match=r"has no model\.npz; expected the folder of a run"):
        load(tmp_path)
    (tmp_path / "runs" / "seed-1").mkdir(parents=True)
    (tmp_path / "runs" / "seed-1" / "model.npz").write_bytes((run / "model.npz").read_bytes())
    with pytest.raises(SettingsError, match=r"contains several runs; choose one, such as .*seed-1"):
        load(tmp_path / "runs")


def test_models_without_training_have_params_and_say_what_they_are(ds: Dataset) -> None:
    for model, text in (
        (RandomOrder(seed=4), "RandomOrder(seed=4)"),
        (ContentProfile(), "ContentProfile(impute='mean')"),
        (MostSimilar(neighbours=5), "MostSimilar(impute='mean', neighbours=5)"),
    ):
        assert repr(model) == text
        assert type(model)(**model.get_params()).get_params() == model.get_params()
    changed = MostSimilar().fit(ds).set_params(neighbours=3)
    assert (changed.neighbours, changed.impute, changed.fitted_to) == (3, "mean", None)
    with pytest.raises(SettingsError, match="neighbors: MostSimilar has no such setting; did you mean neighbours"):
        changed.set_params(neighbors=3)
