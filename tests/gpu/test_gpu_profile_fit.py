"""Fits of the kernel profile on the device, and what they choose, against the host's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gpu_cases import EMULATOR, close, counted, lists
from kernel_profile_cases import plain_content
from test_held_out import KERNEL, Problem

import milk_np.kernels.reference as reference
from milk_np.backends.numba import NumpyBackend
from milk_np.backends.select import get_backend
from milk_np.data import apply_protocol, make_synthetic
from milk_np.models.kernel_profile.blocks import Items
from milk_np.models.kernel_profile.by_blocks import Fitted, collect, fit_by_blocks
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.held_out import HeldOut
from milk_np.models.kernel_profile.held_out_on_device import DeviceHeldOut
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.ridge import owned_sets
from milk_np.models.kernel_profile.smoother import Smoother

pytestmark = pytest.mark.gpu


class Case:
    """Items of three modalities, some missing, one whitened; users of a few items each."""

    n, U, L, rank = 90, 70, 30, 6

    def __init__(self, half: bool = False) -> None:
        rng = np.random.default_rng(5)
        widths, kind = (9, 6, 7), np.float16 if half else np.float32
        self.raw = [rng.standard_normal((self.n + 8, D)).astype(kind) for D in widths]
        self.ids = np.sort(rng.permutation(self.n + 8)[: self.n]).astype(np.int32)
        self.owned = rng.random((self.n, 3)) < 0.8
        self.owned[:, 0] |= ~self.owned.any(axis=1)
        self.centres = [rng.standard_normal(D).astype(np.float32) / 3 for D in widths]
        turned = np.linalg.qr(rng.standard_normal((9, 5)))[0] * (0.5 + rng.random(5))
        self.axes = [turned.astype(np.float32), *(np.zeros((D, 0), np.float32) for D in widths[1:])]
        self.indptr, self.items = lists(rng, self.U, self.n, 12)
        self.landmarks = [x[: self.L] for x in self.content()]

    def content(self) -> list[np.ndarray]:
        return plain_content(self.raw, self.ids, self.owned, self.centres, self.axes)

    def set_up(self, backend: Any, dtype: Any, streamed: bool) -> tuple[Items, Pairs, Smoother]:
        put = backend.asarray
        kernel = ContentKernel(1.0, 0.3, (0.5, 0.3, 0.2), (0.5, 0.0, 0.0))
        items = Items(
            backend, self.raw if streamed else [put(x) for x in self.raw], self.ids, put(self.ids),
            put(np.ascontiguousarray(self.owned.T)), [put(x) for x in self.centres], [put(x) for x in self.axes],
            [put(np.ascontiguousarray(x.T)) for x in self.landmarks], kernel,
        )  # fmt: skip
        pairs = Pairs.from_lists(backend, self.indptr, self.items, self.n)
        smoother = Smoother.fit(pairs, rank=self.rank, ridge=3.0, power=0.5, tolerance=1e-6, dtype=dtype)
        return items, pairs, smoother

    def scores(self, backend: Any, dtype: Any, streamed: bool = False, column_bytes: int | None = None) -> np.ndarray:
        """Of the users for all items by the regression of each set of modalities (U, S n)."""
        items, pairs, smoother = self.set_up(backend, dtype, streamed)
        fitted = self.fit(items, pairs, smoother, column_bytes)
        h = np.zeros((self.n, fitted.coefficients.shape[2]), np.float32)
        collect(fitted, backend, np.ones(self.n), pairs.popularity(), np.arange(self.n), h)
        users = np.zeros((self.U, h.shape[1]), np.float32)
        reference.sum_lists(self.indptr, self.items, h, users)
        similar = np.stack([np.exp(x @ y.T - 1) for x, y in zip(self.content(), self.landmarks, strict=True)])
        parts = np.array(items.kernel.weights)[:, None, None] * similar
        k = [parts[owned].sum(axis=0) for owned in owned_sets(self.owned)]
        return users @ np.concatenate([a @ b for a, b in zip(k, fitted.coefficients, strict=True)]).T

    def fit(self, items: Items, pairs: Pairs, smoother: Smoother, column_bytes: int | None = None) -> Fitted:
        sets, dtype = owned_sets(self.owned), smoother.left.dtype
        return fit_by_blocks(items, pairs, smoother, sets, self.landmarks, 1024, dtype, column_bytes)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(("half", "streamed"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2e-6), (np.float32, 1e-3)])
def test_the_same_scores_as_on_the_host(half: bool, streamed: bool, dtype: Any, tolerance: float) -> None:
    case = Case(half)
    expected = case.scores(NumpyBackend(), np.float64)
    found = case.scores(get_backend("gpu"), dtype, streamed, column_bytes=64 * case.n * 4)
    assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()


@counted
@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("streamed", [False, True])
def test_sums_copy_only_what_is_of_landmarks_and_streamed_features(streamed: bool) -> None:
    """To the device: L x L bases, and the features where they are streamed. Back: sums of L x L, and no more."""
    case, backend = Case(half=True), get_backend("gpu")
    items, pairs, smoother = case.set_up(backend, np.float32, streamed)
    assert len(items.factors) == 3  # made once
    names = ("h2d", "d2h", "h2d_bytes", "d2h_bytes")
    before = {name: getattr(EMULATOR.stats, name) for name in names}
    fitted = case.fit(items, pairs, smoother)
    for _ in fitted.history:
        pass
    spent = {name: getattr(EMULATOR.stats, name) - before[name] for name in names}
    S, L, K = fitted.coefficients.shape
    passes, blocks, M = 4, -(-case.n // 32), 3
    bases = 4 * ((S + 1) * L * L + L * K + case.rank * K)
    features = passes * sum(x[case.ids].nbytes + 4 * case.n for x in case.raw) if streamed else 0
    weights = 4 * M * S
    assert spent["h2d_bytes"] <= bases + features + weights + 4 * S
    assert spent["h2d"] <= 2 * S + 4 + (2 * M * blocks * passes if streamed else 0)
    assert spent["d2h_bytes"] <= 8 * (2 * S * L * L + case.rank * L)
    assert spent["d2h"] <= 2 * S + 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_held_out_items_are_ranked_as_on_the_host(seed: int) -> None:
    problem = Problem(seed)
    host, backend = problem.held_out(seed), get_backend("gpu")
    given = problem.R, problem.smoothing, problem.items, problem.content, problem.axes, problem.owned, 1024
    device = DeviceHeldOut(backend, *given, np.random.default_rng(seed))
    for exponents in ((0.0, 0.0), (0.5, 1.0), (1.0, 0.5)):
        kernel = replace(KERNEL, whitening=exponents, noise=0.3)
        for mine, plain in zip(device.scores(kernel), host.scores(kernel), strict=True):
            close(mine, plain)
        np.testing.assert_allclose(device.ndcg(kernel), host.ndcg(kernel), atol=1e-12)
        for mine, plain in zip(device.ranked(kernel, 7), host.ranked(kernel, 7), strict=True):
            close(mine.scores, plain.scores)
            for name in ("lacks", "user", "item"):
                np.testing.assert_array_equal(getattr(mine, name), getattr(plain, name))


@counted
def test_a_kernel_that_is_tried_costs_what_is_of_landmarks_by_landmarks() -> None:
    """Nothing of items or users by landmarks crosses the bus; places of pairs come home."""
    problem, backend = Problem(0), get_backend("gpu")
    given = problem.R, problem.smoothing, problem.items, problem.content, problem.axes, problem.owned, 1024
    device = DeviceHeldOut(backend, *given, np.random.default_rng(0))
    sets, L, folds = len(np.unique(device.which)), device.cosines[0][0.0].shape[1], len(device.folds)
    EMULATOR.stats.reset()
    device.ndcg(KERNEL)
    assert EMULATOR.stats.h2d_bytes <= sets * (4 * L * L + 8 * L * L * folds + 8)
    pairs = sum(8 * len(fold.user) for fold in device.folds)
    assert EMULATOR.stats.d2h_bytes <= sets * (4 * L * L + 8 * L * L * (folds + 1)) + pairs


@pytest.mark.parametrize("protocol", ["MTMT", "FTMT"])
def test_a_whole_fit_chooses_on_the_device_what_it_does_on_the_host(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything left open; the host's folds aren't looked at."""
    ds = apply_protocol(make_synthetic(150, 120, 1500, {"image": 14, "text": 9}, seed=4), protocol)
    host = KernelProfile(landmarks=40, topk=(5,), valid_metric="ndcg@5").fit(ds)
    monkeypatch.setattr(HeldOut, "_scores", lambda *_: pytest.fail("ranked on the host"))
    device = KernelProfile(landmarks=40, topk=(5,), valid_metric="ndcg@5", device="gpu").fit(ds)
    assert device.kernel == host.kernel
    lists = [model.recommend(k=5).found for model in (host, device)]
    assert (lists[0] == lists[1]).mean() > 0.99
