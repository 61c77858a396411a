"""Settings: defaults, ranges, presets, spellings and their TOML file."""

from __future__ import annotations

import copy
import math
import tomllib
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import milk_np
from milk_np.errors import SettingsError
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import MODELS, adapted, make_settings, stored_settings
from milk_np.settings.option import Option
from milk_np.settings.shared import Settings
from milk_np.settings.toml import read_toml, toml_value

NUMBERS = [name for name, option in MilkSettings.options().items() if option.type is not str]
WEIGHTS = [
    "lr",
    "invariance_weight",
    "align_weight",
    "reg",
    "dirichlet_alpha",
    "missing_train",
    "missing_test",
]


def value_of(option: Option) -> st.SearchStrategy[Any]:
    """Every value that an option accepts."""
    scalar: st.SearchStrategy[Any]
    if option.choices:
        scalar = st.sampled_from(option.choices)
    elif option.type is int:
        low = int(option.low or 0)
        scalar = st.integers(low, int(min(option.high or 2**63, 2**63 - 1)))
    else:
        scalar = st.floats(option.low or 0, option.high, exclude_min=option.above is not None, allow_infinity=False)
    return st.none() | scalar if option.none else scalar


def free_settings() -> st.SearchStrategy[Settings]:
    """Settings drawn over all fields, except those that have to agree with one another."""
    drawn = {name: value_of(option) for name, option in MilkSettings.options().items() if option.many == "no"}
    drawn["valid_metric"] = st.builds(
        lambda name, k: f"{name}@{k}", st.sampled_from(["recall", "NDCG"]), st.integers(1, 99)
    )
    drawn["topk"] = st.lists(st.integers(1, 1000), min_size=1).map(tuple)
    drawn["without"] = st.sampled_from([(), ("cmam",), ("ceim", "cmam")])
    drawn["missing_mix"] = st.sampled_from([(), (0.1, 0.45, 0.45), (1 / 3, 2 / 3)])
    drawn["seeds"] = st.integers(1, 50) | st.lists(st.integers(0, 99), min_size=1, unique=True).map(tuple)
    return st.builds(MilkSettings, **drawn)


def test_the_preset_best_is_one_model() -> None:
    best = make_settings({"preset": "best"})
    assert best == KernelProfileSettings()
    assert make_settings(tomllib.loads(best.to_toml())) == best
    with pytest.raises(SettingsError, match="leave out one of the two"):
        make_settings({"preset": "best", "model": "duif"})


@given(free_settings())
def test_toml_reads_back_to_equal_settings(settings: Settings) -> None:
    assert MilkSettings.from_mapping(tomllib.loads(settings.to_toml())) == settings


@given(st.text())
def test_toml_text_values_round_trip(text: str) -> None:
    if all(not 0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        assert tomllib.loads(f"x = {toml_value(text)}") == {"x": text}


def test_every_field_is_an_option_with_help_and_a_valid_default() -> None:
    assert set(MilkSettings.options()) == {entry.name for entry in fields(MilkSettings)}
    for name, option in MilkSettings.options().items():
        assert option.help, name
        assert option.group, name
    MilkSettings()


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, -0.5, math.nan, math.inf, "many", True, [[]]])
def test_impossible_numbers_name_the_setting_the_value_and_the_range(name: str, value: object) -> None:
    given_value = [value] if MilkSettings.options()[name].many != "no" and not isinstance(value, str) else value
    with pytest.raises(SettingsError) as caught:
        MilkSettings(**{name: given_value})  # type: ignore[arg-type]
    message = str(caught.value)
    assert name in message
    assert f"--{name.replace('_', '-')}" in message
    assert repr(value) in message
    assert "expected" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.0),
        ("dim", 0),
        ("dim", 2.0),
        ("max_epochs", 0),
        ("batch_size", 0),
        ("missing_test", 1.1),
        ("seed", 2**63),
    ],
)
def test_bounds_are_kept(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=name):
        MilkSettings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("missing_mix", (0.5, 0.4)),
        ("missing_mix", (1.0,)),
        ("topk", ()),
        ("seeds", (1, 1)),
        ("seeds", 0),
        ("seeds", 2**62),
        ("seeds", ()),
        ("valid_metric", "ndcg"),
        ("valid_metric", "ndcg@0"),
        ("valid_metric", "auc@10"),
        ("protocol", "FMFM"),
        ("without", ("ceim", "gate")),
        ("preset", None),
    ],
)
def test_settings_that_mean_nothing_are_refused(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=name):
        MilkSettings(**{name: value})


@pytest.mark.parametrize("name", WEIGHTS)
def test_numpy_numbers_become_plain_ones(name: str) -> None:
    assert type(getattr(MilkSettings(**{name: np.float32(0.5)}), name)) is float  # type: ignore[arg-type]
    assert type(MilkSettings(dim=np.int64(8)).dim) is int  # type: ignore[arg-type]


def test_a_whole_number_beyond_every_float_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"lr \(--lr\): got 1000+, expected a finite number above 0"):
        MilkSettings(lr=10**400)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("width", 64, "64"),
        ("width", np.int32(64), "64"),
        ("width", "64", "64"),
        ("width", "Full", "full"),
        ("length_power", 0.0, "0"),
        ("length_power", 1, "1"),
        ("even_exposure", np.float64(0.25), "0.25"),
        ("even_exposure", "0.50", "0.50"),
        ("memory", 2**31, "2147483648"),
    ],
)
def test_a_text_that_may_be_a_number_takes_one_and_stays_text(name: str, value: Any, text: str) -> None:
    settings = KernelProfileSettings(**{name: value})
    assert getattr(settings, name) == text
    assert getattr(make_settings(tomllib.loads(settings.to_toml())), name) == text


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        *(
            ("width", wrong, "a whole number of at least 1, or auto or full")
            for wrong in (0, 64.0, True, None, [], "wide")
        ),
        *(
            ("length_power", wrong, "a number from 0 to 1, or auto")
            for wrong in (2, -0.5, math.nan, True, None, "x", 10**400)
        ),
        *(("memory", wrong, "a size such as 4GB or 512MB") for wrong in (-1, 0.5, True, None, [], "much")),
    ],
)
def test_what_a_text_that_may_be_a_number_refuses_is_told_in_its_words(name: str, wrong: Any, expected: str) -> None:
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(SettingsError, match=rf"^{name} \({option}\): got .*, expected {expected}$"):
        KernelProfileSettings(**{name: wrong})


def test_numbers_from_the_file_do_as_those_from_the_line() -> None:
    line = KernelProfileSettings.options()["width"].from_text("64")
    assert KernelProfileSettings(width="64") == KernelProfileSettings(**tomllib.loads("width = 64"))
    assert line == "64"


def test_words_match_in_any_case_and_text_lists_are_split() -> None:
    settings = MilkSettings(protocol="ftmt", valid_metric="Recall@20", without="CMAM, ceim", topk="5,7")  # type: ignore[arg-type]
    assert settings.protocol == "FTMT"
    assert settings.valid_metric == "recall@20"
    assert settings.without == ("cmam", "ceim")
    assert settings.cutoffs == (5, 7, 20)


@pytest.mark.parametrize("preset", MilkSettings.presets)
def test_a_preset_fills_only_what_is_unset(preset: str) -> None:
    resolved = MilkSettings(preset=preset).resolve()
    assert (resolved.risk, resolved.negatives) == tuple(MilkSettings.presets[preset].values())
    assert resolved.resolve() == resolved
    assert MilkSettings(preset=preset, risk="sum", negatives="all").resolve().risk == "sum"


def test_seeds_count_up_from_the_seed_or_are_listed() -> None:
    assert MilkSettings(seed=7, seeds=3).seed_list == (7, 8, 9)
    assert MilkSettings(seed=7, seeds=(4, 2)).seed_list == (4, 2)


def test_keys_have_the_spellings_of_the_options() -> None:
    values = {"batch-size": 5, "learning_rate": 0.5, "alpha": 2.0, "epochs": 4}
    settings = MilkSettings.from_mapping(values)
    assert (settings.batch_size, settings.lr, settings.dirichlet_alpha, settings.max_epochs) == (5, 0.5, 2.0, 4)
    assert set(MilkSettings.spellings().values()) == set(MilkSettings.options())


@pytest.mark.parametrize(
    ("key", "right"), [("batchsize", "batch-size"), ("Epoch", "epochs"), ("max-epoch", "max-epochs"), ("dims", "dim")]
)
def test_an_unknown_key_names_the_nearest_right_one(key: str, right: str) -> None:
    with pytest.raises(SettingsError, match=f"did you mean {right}"):
        MilkSettings.from_mapping({key: 1})


def test_a_key_in_two_spellings_is_refused() -> None:
    with pytest.raises(SettingsError, match="second time"):
        MilkSettings.from_mapping({"lr": 0.1, "learning-rate": 0.2})


def test_the_earlier_name_of_max_epochs_is_still_taken() -> None:
    expected = MilkSettings(max_epochs=7)
    assert (
        MilkSettings(epochs=7)
        == MilkSettings().replace(epochs=7)
        == MilkSettings.from_mapping({"epochs": 7})
        == expected
    )
    assert (
        make_settings({"epochs": 7})
        == adapted(MilkSettings(), {"epochs": 7})
        == milk_np.Milk(epochs=7).settings
        == expected
    )
    assert stored_settings({"model": "milk", "epochs": 7}, "model.npz") == expected
    assert (expected.epochs, expected.to_dict()["max_epochs"]) == (7, 7)
    assert "epochs" not in expected.to_dict()
    with pytest.raises(SettingsError, match="'max_epochs' sets max_epochs a second time"):
        MilkSettings(epochs=7, max_epochs=7)


@pytest.mark.parametrize("name", MODELS)
def test_settings_of_one_model_go_over_to_another_where_they_are_the_same(name: str) -> None:
    base = MilkSettings(negatives="all", seed=3, impute="map", reg=0.5)  # CCFCRec's negatives are a number
    settings = adapted(base, {"model": name})
    assert (settings.seed, settings.impute) == (3, "map")


def test_an_unreadable_file_is_a_settings_error(tmp_path: Any) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read_toml(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("lr = = 3")
    with pytest.raises(SettingsError, match="not a TOML file"):
        read_toml(tmp_path / "bad.toml")


def test_a_setting_of_another_class_is_refused_with_where_it_belongs() -> None:
    for wrong in (lambda: Settings(dim=3), lambda: Settings().replace(lr=1)):  # type: ignore[call-arg]
        with pytest.raises(SettingsError, match=r"Settings has no such setting.* each model has settings of its own"):
            wrong()
    with pytest.raises(SettingsError, match="dims: MilkSettings has no such setting; did you mean dim"):
        milk_np.MilkSettings(dims=3)  # type: ignore[call-arg]
    assert copy.deepcopy(MilkSettings(dim=3)) == MilkSettings(dim=3)
    assert milk_np.KernelProfileSettings().kind == "closed form"
