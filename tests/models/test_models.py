"""The table of models: every name makes a model that ranks, and files say which model they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from milk_np.data import make_synthetic
from milk_np.errors import DataError, SettingsError
from milk_np.files import write_npz_atomic
from milk_np.models.registry import MODELS, TRAINED, make_model, model_class
from milk_np.models.stored import load
from milk_np.settings.shared import Settings


@pytest.mark.parametrize("name", MODELS)
def test_every_model_fits_and_ranks(name: str) -> None:
    ds = make_synthetic(60, 50, 500, {"image": 5, "text": 4})
    settings = Settings(model=name, dim=4, epochs=2, eval_every=1, batch_size=128, topk=(5,), valid_metric="ndcg@5")
    model = make_model(settings).fit(ds)
    assert model.name == name
    users, items = model.user_factors(), model.item_factors(ds.new_items())
    assert users.dtype == items.dtype == np.float32
    assert users.shape == (60, items.shape[1])


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SettingsError, match=r"duif-raw"):
        Settings(model="duiff")


def test_loading_says_what_a_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    write_npz_atomic(path, {}, {"kind": "model", "model": "unheard-of"})
    with pytest.raises(DataError, match=r"other.npz: holds a model named 'unheard-of', expected one of milk"):
        load(path)
    assert all(model_class(name).name == name for name in TRAINED)
