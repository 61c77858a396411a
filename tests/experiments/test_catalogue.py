"""The declared experiments fit together: claims name what exists, families name what is trained."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.data import apply_protocol, make_synthetic
from milk_np.errors import SettingsError
from milk_np.experiments.catalogue import BEST, CLAIMS, best_baselines, experiments, models
from milk_np.experiments.published import known, printed, printed_loss, printed_weights
from milk_np.experiments.reproduce import tuned_on
from milk_np.experiments.variants import has_rows, restricted, under
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import MODELS, make_model, make_settings, settings_class
from milk_np.settings.names import PROTOCOLS


@pytest.mark.parametrize("experiment", experiments().values(), ids=lambda e: e.name)
def test_experiments_are_sound(experiment) -> None:  # type: ignore[no-untyped-def]
    labels = [variant.label for variant in experiment.variants]
    assert len(set(labels)) == len(labels)
    assert experiment.baseline in ("", *labels)
    assert set(experiment.protocols) <= set(PROTOCOLS)
    for variant in experiment.variants:
        settings = make_settings(variant.settings)
        assert variant.family is None or variant.family == settings.family == make_settings(variant.of_family()).family


@pytest.mark.parametrize("experiment", [e for e in experiments().values() if e.kind != "sweep"], ids=lambda e: e.name)
def test_every_table_has_the_random_level(experiment) -> None:  # type: ignore[no-untyped-def]
    assert "random order" in [variant.label for variant in experiment.variants]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.text)
def test_claims_compare_what_is_run(claim) -> None:  # type: ignore[no-untyped-def]
    experiment = experiments()[claim.experiment]
    labels = {variant.label for variant in experiment.variants}
    assert {claim.better, claim.worse} <= labels
    assert {claim.protocol, claim.loss or claim.protocol} <= set(experiment.protocols)


def test_settings_are_tuned_where_training_is_the_same() -> None:
    assert [tuned_on(protocol) for protocol in PROTOCOLS] == ["FTMT", "FTMT", "MTMT", "MTMT"]


def test_printed_numbers_are_those_of_the_paper() -> None:
    assert known("TikTok (image + audio)") == "tiktok"
    assert known("lfm2k") is None
    assert printed_weights("Baby (rebuilt features)")["invariance_weight"] == 1000
    assert printed("table2", "baby", "MTMT", "MILK", "recall@20") == 0.0517
    assert printed("fig4", "baby", "FTMT", "w/o CMAM", "ndcg@20") == 0.0264
    assert printed("fig4", "baby", "MTMT", "w/o CMAM", "ndcg@20") is None
    assert printed("table4", "clothing", "FTMT", "drawn once", "ndcg@20") == 0.0314
    assert printed("table2", "lfm2k", "FTMT", "MILK", "recall@20") is None
    assert printed_loss("baby", "MILK") == -0.2459


def test_table_2_has_every_model_and_what_was_published_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MilkSettings, "published", {"MILK, as printed": {"dim": 32}})
    labels = {variant.label: variant for variant in models()}
    assert {settings_class(name).title for name in MODELS} <= set(labels)
    assert labels["MILK, as printed"].family is None
    assert labels["MILK, as printed"].settings == {"model": "milk", "dim": 32}


PUBLISHED = [(name, label) for name in MODELS for label in settings_class(name).published]


@pytest.mark.parametrize(("name", "label"), PUBLISHED, ids=lambda value: value)
def test_what_was_published_is_a_row_of_a_model_that_learns(name: str, label: str) -> None:
    values, cls = settings_class(name).published[label], settings_class(name)
    usual = cls().to_dict()
    assert label.startswith(f"{cls.title}, ")
    assert [setting for setting, value in values.items() if value == usual[setting]] == []  # it says what differs
    quick = {"max_epochs": 1, **({"backbone_epochs": 1} if "backbone_epochs" in usual else {})}
    model = make_model(make_settings({"model": name, **values, **quick}))
    ds = apply_protocol(make_synthetic(60, 110, 900, {"image": 4, "text": 3}), "FTMT")
    assert np.isfinite(model.fit(ds).item_factors(ds.new_items())).all()


def test_figure_1_has_the_two_best_baselines_that_there_are() -> None:
    found = [variant.model for variant in best_baselines()]
    assert found == [name for name in BEST if name in MODELS][:2]
    assert len(found) == 2
    assert set(found) <= {variant.model for variant in experiments()["fig1"].variants}


def test_an_experiment_is_restricted_to_rows_of_some_models() -> None:
    table2, fig4 = experiments()["table2"], experiments()["fig4"]
    assert restricted(table2, ()) == table2
    kept = restricted(table2, ("milk", "ridge"))
    assert {variant.model for variant in kept.variants} == {"random", "milk", "ridge"}
    assert restricted(fig4, ("milk",)).baseline == fig4.baseline
    assert restricted(experiments()["beyond"], ("milk",)).baseline == ""  # its baseline isn't a row any more
    assert not has_rows(fig4, ("ridge",))
    with pytest.raises(SettingsError, match="--systems: got ridge, but the rows of fig4 are of random, milk"):
        restricted(fig4, ("ridge",))


def test_an_experiment_is_run_under_some_of_its_protocols() -> None:
    table2 = experiments()["table2"]
    assert under(table2, ("MTMT",)).protocols == ("MTMT",)
    assert under(table2, ()) == under(table2, ("FTFT",)) == table2
