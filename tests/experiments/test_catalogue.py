"""The declared experiments fit together: claims name what exists, families name what is trained."""

from __future__ import annotations

import pytest

from milk_np.experiments.catalogue import CLAIMS, experiments
from milk_np.experiments.published import known, printed, printed_loss, printed_weights
from milk_np.experiments.reproduce import tuned_on
from milk_np.models.registry import make_settings
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
