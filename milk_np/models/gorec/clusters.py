"""Clusters of training items by content (Lloyd 1982), and the cluster of any item."""

from __future__ import annotations

import numpy as np

from milk_np.models.base import Vectors
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.embedding import scatter_add
from milk_np.rng import generator

ITERATIONS = 20


def k_means(x: Vectors, K: int, seed: int) -> Vectors:
    """Centroids (K, D), or fewer if there are fewer rows x (n, D), from random rows of x.

    A cluster that loses all its rows keeps its centroid.
    """
    chosen = np.sort(generator(seed, "gorec-clusters").permutation(len(x))[:K])
    centroids = x[chosen].copy()
    for _ in range(ITERATIONS):
        cluster = nearest(x, centroids)
        means, sizes = cluster_means(x, cluster, len(centroids))
        centroids = np.where(sizes[:, None] > 0, means, centroids)
    return centroids


def nearest(x: Array, centroids: Array) -> Array:
    """Number (n) of the nearest of the centroids (K, D) to each row of x (n, D); the first of equally near ones."""
    xp = array_module(x)
    half = xp.einsum("kd,kd->k", centroids, centroids) / 2
    return (x @ centroids.T - half).argmax(axis=1).astype(np.int32)


def cluster_means(rows: Vectors, cluster: Array, K: int) -> tuple[Vectors, Vectors]:
    """Mean (K, D) of the rows (n, D) of each cluster, zeros for an empty one; their number (K)."""
    sizes = np.bincount(cluster, minlength=K).astype(np.float32)
    return scatter_add(cluster, rows, K) / np.maximum(sizes, 1)[:, None], sizes
