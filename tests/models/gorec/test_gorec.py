"""GoRec: its clusters, its frozen tables, and what a new item's vector is decoded from."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.models.gorec.clusters import cluster_means, k_means, nearest
from milk_np.models.gorec.model import Gorec, standard
from milk_np.models.gorec.objective import decode_forward, posterior_forward, prior_forward

OPTIONS = {"topk": (10,), "dim": 6, "max_epochs": 2, "batch_size": 32, "backbone_epochs": 3, "clusters": 5}


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return apply_protocol(make_synthetic(60, 50, 700, {"a": 6, "b": 5}, new_items=0.3, seed=1), "FTMT")


@pytest.fixture(scope="module")
def model(ds: Dataset) -> Gorec:
    return Gorec(**OPTIONS).fit(ds)


def test_clusters_of_groups_that_lie_apart_are_the_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 30)
    x = (10 * np.eye(4, 6)[groups] + rng.standard_normal((120, 6))).astype(np.float32)
    found = {tuple(nearest(x, k_means(x, 4, seed)).tolist()) for seed in range(6)}
    exact = [each for each in found if len(set(zip(each, groups.tolist(), strict=True))) == 4]
    assert exact, "of six starts, none found the groups"


def test_each_step_of_clustering_brings_rows_nearer() -> None:
    x = np.random.default_rng(1).standard_normal((200, 5)).astype(np.float32)
    centroids = k_means(x, 7, 0)
    cluster = nearest(x, centroids)
    far = ((x[:, None] - centroids) ** 2).sum(axis=2)
    np.testing.assert_array_equal(cluster, far.argmin(axis=1))
    means, sizes = cluster_means(x, cluster, 7)
    assert sizes.sum() == 200
    assert ((x - means[cluster]) ** 2).sum() <= far.min(axis=1).sum() < ((x - x.mean(axis=0)) ** 2).sum()


def test_more_clusters_than_rows_and_empty_ones() -> None:
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    centroids = k_means(x, 9, 0)
    assert len(centroids) == 3
    assert nearest(x, centroids)[0] == nearest(x, centroids)[1]
    means, sizes = cluster_means(x[:1], np.array([2], np.int32), 4)
    np.testing.assert_array_equal(sizes, [0, 0, 1, 0])
    np.testing.assert_array_equal(means[[0, 1, 3]], 0)


def test_the_target_is_standardised_and_put_back() -> None:
    table = np.random.default_rng(0).normal(3, 5, (9, 4)).astype(np.float32)
    table[:, 1] = 2
    table[4] = 0
    known = np.array([0, 1, 2, 3, 5, 6, 7, 8], np.int32)
    v, shift, scale = standard(table, known)
    np.testing.assert_allclose(v[known].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(v[known].std(axis=0), [1, 0, 1, 1], atol=1e-5)
    np.testing.assert_allclose(v[known] * scale + shift, table[known], atol=1e-5)
    assert not v[4].any()


def test_a_vector_is_decoded_from_what_the_setting_says(ds: Dataset, model: Gorec) -> None:
    tables, x = model.tables, model._x
    (prior, _), _ = prior_forward(tables, x)
    seen = tables["means"][nearest(x, tables["centroids"])]
    (posterior, _), _ = posterior_forward(tables, x, seen, train=False)
    by_cluster = Gorec(**OPTIONS, latent="cluster")
    by_cluster.trainer(ds)
    by_cluster.load_arrays(model.arrays())
    for each, z in ((model, prior), (by_cluster, posterior)):
        made = decode_forward(tables, x, z, train=False)[0] * tables["scale"] + tables["shift"]
        np.testing.assert_allclose(each.item_factors(), made, atol=1e-5)
    assert not np.allclose(model.item_factors(), by_cluster.item_factors())


def test_new_items_have_no_part_in_training(ds: Dataset, model: Gorec) -> None:
    new = ds.new_items()
    assert not model.tables["v"][new].any()
    trainer = model.learner(ds, model._x)
    seen = np.concatenate([trainer._ids(1, step) for step in range(trainer.steps)])  # type: ignore[attr-defined]
    assert len(seen) == len(set(seen.tolist())) == trainer.examples
    assert not set(seen.tolist()) & set(new.tolist())


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_encoder_sees_as_many_cluster_means_as_asked(ds: Dataset, share: float) -> None:
    model = Gorec(**OPTIONS, clustered=share)
    batch = model.trainer(ds).batch(1, 0)  # type: ignore[attr-defined]
    other = (batch.seen != batch.v).any(axis=1)
    assert other.sum() == int(share * len(other))
