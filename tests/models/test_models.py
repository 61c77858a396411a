"""The table of models: every name makes a model that ranks, and files say which model they hold."""

from __future__ import annotations

import argparse
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milk_np.cli.settings import read_settings
from milk_np.data import make_synthetic
from milk_np.errors import DataError, SettingsError
from milk_np.files import write_npz_atomic
from milk_np.models.base import Recommender
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.milk.model import Milk
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import (
    MODELS,
    adapted,
    make_model,
    make_settings,
    model_class,
    settings_class,
    stored_settings,
    trained,
)
from milk_np.models.stored import StoredModel, load


@pytest.mark.parametrize("name", MODELS)
def test_every_model_fits_and_ranks(name: str) -> None:
    ds = make_synthetic(60, 50, 500, {"image": 5, "text": 4})
    settings = adapted(
        MilkSettings(dim=4, max_epochs=2, eval_every=1, batch_size=128, lr=2e-3, topk=(5,), valid_metric="ndcg@5"),
        {"model": name},
    )
    model = make_model(settings).fit(ds)
    assert model.name == name
    users, items = model.user_factors(), model.item_factors(ds.new_items())
    assert users.dtype == items.dtype == np.float32
    assert users.shape == (60, items.shape[1])


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SettingsError, match=r"duif-raw"):
        make_settings({"model": "duiff"})


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Milk, {"preset": "best"}, "got 'milk' with the preset best, which is kernel-profile"),
        (Milk, {"model": "kernel-profile"}, "got 'kernel-profile', this one is milk"),
        (Milk, {"landmarks": 5}, "landmarks .*a setting of kernel-profile; milk doesn't have it"),
        (Milk, {"landmark": 5}, "did you mean landmarks"),
        (Milk, {"protocol": "FTMT"}, "protocol: .*apply_protocol"),
        (KernelProfile, {"epochs": 3}, "max_epochs .*a setting of .*milk.*; kernel-profile doesn't have it"),
        (KernelProfile, {"seeds": 3}, "give seed"),
        (KernelProfile, {"settings": MilkSettings()}, "expected those of kernel-profile, got those of milk"),
    ],
)
def test_settings_that_a_model_would_ignore_are_refused(model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        model(**options)
    assert caught.value.exit_code == 2


def test_a_file_of_settings_may_not_name_those_of_another_model_either(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    given = argparse.Namespace(config=str(file))
    file.write_text("landmarks = 5\n")
    with pytest.raises(SettingsError, match=r"a\.toml: landmarks .*a setting of kernel-profile; milk doesn't have it"):
        read_settings(given)
    file.write_text("landmarks = 1024\nlr = 0.5\n")  # at its default, as version 0.1.0 wrote all settings
    assert read_settings(given) == MilkSettings(lr=0.5)


def test_every_model_owns_its_settings() -> None:
    for name in MODELS:
        cls = settings_class(name)
        assert cls().model == name
        assert cls.title
        assert make_settings({"model": name}) == cls()
        assert stored_settings(cls().to_dict(), "file") == cls()
        assert model_class(name).name == name


def test_loading_says_what_a_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    write_npz_atomic(path, {}, {"kind": "model", "model": "unheard-of"})
    with pytest.raises(DataError, match=r"other.npz: holds a model named 'unheard-of', expected one of duif"):
        load(path)
    assert all(model_class(name).name == name for name in trained())


@pytest.mark.parametrize("name", trained())
def test_every_trained_model_meets_data_by_id_and_can_be_final(name: str) -> None:
    cls = model_class(name)
    assert issubclass(cls, StoredModel)
    assert "final" in signature(cls.fit).parameters
    makes_users = cls.encode_users is not Recommender.encode_users
    assert makes_users == (cls.serves_histories is not Recommender.serves_histories)
