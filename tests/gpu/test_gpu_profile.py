"""The kernel profile's sums on the device: every kernel against its reference, the whole fit against the host's."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gpu_cases import EMULATOR, ORDERS, Guarded, counted, gpu, home, kernel_module, put, thread_order
from kernel_cases import assert_close
from test_held_out import KERNEL, Problem

import milk_np.kernels.reference as reference
from milk_np.backends.numba import NumpyBackend
from milk_np.backends.select import get_backend
from milk_np.data import apply_protocol, make_synthetic
from milk_np.data.arrays import Split
from milk_np.models.kernel_profile import smoother as smoothing_module
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


def compare(run: Any, order: int, shape: Any, dtype: Any = np.float32) -> None:
    """`run` a kernel of both packages into an output of `shape`, on the device between guards."""
    guarded, expected = Guarded(shape, dtype), np.full(shape, np.nan, dtype)
    run(reference, lambda x: x, expected)
    with thread_order(order):
        run(gpu, put, guarded.array)
    assert_close(guarded.home(), expected, np.dtype(dtype).type, terms=8)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("D", [1, 31, 33, 130])
def test_content(D: int, half: bool, order: int) -> None:
    rng = np.random.default_rng(D)
    raw = rng.standard_normal((40, D)).astype(np.float16 if half else np.float32)
    centre, owned = raw[7].astype(np.float32), rng.random(33) < 0.7
    rows = rng.permutation(40)[:33].astype(np.int32)
    raw[rows[~owned]] = np.nan
    compare(lambda k, to, out: k.content_rows(to(raw), to(rows), to(owned), to(centre), out), order, (33, D))


@pytest.mark.parametrize("order", ORDERS[:2])
@pytest.mark.parametrize(("D", "r"), [(1, 1), (40, 3), (40, 40), (70, 33)])
def test_whitened(D: int, r: int, order: int) -> None:
    rng = np.random.default_rng(D)
    x = rng.standard_normal((21, D)).astype(np.float32)
    x[4] = 0
    axes = np.linalg.qr(rng.standard_normal((D, r)))[0].astype(np.float32)
    factors = (0.5 + rng.random(r)).astype(np.float32)

    def run(kernels: Any, to: Any, out: Any) -> None:
        out[...] = to(x @ (axes * factors))
        kernels.whiten_rows(to(x), to(factors), out)

    compare(run, order, (21, r))


@pytest.mark.parametrize("order", ORDERS[:2])
@pytest.mark.parametrize("M", [1, 3])
def test_similarities(M: int, order: int) -> None:
    rng = np.random.default_rng(M)
    cosines = rng.uniform(-1, 1, (M, 19, 23)).astype(np.float32)
    weights = np.array([0.0, 0.3, 0.7][-M:], np.float32)

    def run(kernels: Any, to: Any, out: Any) -> None:
        similar = to(cosines.copy())
        kernels.exponentials(similar, 1.5)
        kernels.weighted_sum(similar, to(weights), out)

    compare(run, order, (19, 23))


def lists(rng: np.random.Generator, rows: int, columns: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    lengths = rng.integers(0, longest, rows) * (rng.random(rows) < 0.8)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return indptr, rng.integers(0, columns, indptr[-1]).astype(np.int32)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("q", [1, 4, 16, 31, 128, 200])
@pytest.mark.parametrize("longest", [5, 400])
def test_sums_of_lists(longest: int, q: int, dtype: Any, order: int) -> None:
    rng = np.random.default_rng(q)
    indptr, index = lists(rng, 37, 50, longest)
    x = rng.standard_normal((50, q)).astype(dtype)
    compare(lambda k, to, out: k.sum_lists(to(indptr), to(index), to(x), out), order, (37, q), dtype)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("rows", "columns", "longest"), [(37, 50, 9), (1, 1, 2), (5, 600, 90), (300, 2, 3), (4, 5, 1)])
def test_transposed_lists(rows: int, columns: int, longest: int, order: int) -> None:
    indptr, index = lists(np.random.default_rng(rows), rows, columns, longest)
    expected = reference.transpose_lists(indptr, index, columns)
    with thread_order(order):
        found = gpu.transpose_lists(put(indptr), put(index), columns)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(home(a), b)
        assert a.dtype == b.dtype


@pytest.mark.parametrize("batch", [4, 512])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 33, 64])
def test_products(n: int, dtype: Any, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module("gram"), "BATCH_ROWS", batch)
    rng = np.random.default_rng(n)
    a, b, z = (rng.standard_normal(shape).astype(dtype) for shape in ((n, 5), (n, 7), (5, 7)))
    own = rng.standard_normal(n).astype(dtype)

    def products(kernels: Any, to: Any, out: Any) -> None:
        out[...] = 1
        kernels.add_products(to(a), to(b), out)

    def gram(kernels: Any, to: Any, out: Any) -> None:
        out[...] = 1
        kernels.add_gram(to(a), out)

    def combined(kernels: Any, to: Any, out: Any) -> None:
        out[...] = to(b)
        kernels.combine(to(own), to(a), to(z), out)

    for run, shape, kind in ((products, (5, 7), np.float64), (gram, (5, 5), np.float64), (combined, (n, 7), dtype)):
        guarded, expected = Guarded(shape, kind), np.full(shape, np.nan, kind)
        run(reference, lambda x: x, expected)
        run(gpu, put, guarded.array)
        assert_close(guarded.home(), expected, dtype, terms=n)
    compare(lambda k, to, out: k.multiply(to(a), to(z), out), 0, (n, 7), dtype)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("candidates", [1, 31, 33, 200])
def test_places(candidates: int, order: int) -> None:
    """Few levels, so that scores tie; NaN, which is nowhere."""
    rng = np.random.default_rng(candidates)
    scores = rng.integers(0, 9, (7, candidates)).astype(np.float32)
    scores[3, 0] = np.nan
    user, item = rng.integers(0, 7, 50).astype(np.int32), rng.integers(0, candidates, 50)
    user[0], item[0] = 3, 0
    expected, found = np.empty(50, np.int64), put(np.full(50, -9, np.int64))
    reference.places(scores, user, item, expected)
    with thread_order(order):
        gpu.places(put(scores), put(user), put(item), found)
    np.testing.assert_array_equal(home(found), expected)
    empty = put(np.zeros(0, np.int64))
    gpu.places(put(scores), empty, empty, put(np.zeros(0, np.int64)))


# The whole fit


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
        out = []
        for m, raw in enumerate(self.raw):
            x = np.empty((self.n, raw.shape[1]), np.float32)
            reference.content_rows(raw, self.ids, self.owned[:, m], self.centres[m], x)
            if self.axes[m].shape[1]:
                inside = x @ self.axes[m]
                reference.whiten_rows(x, np.linalg.norm(self.axes[m], axis=0), inside)
                x = inside
            out.append(x)
        return out

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


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing_module, "BLOCK_ROWS", {"cpu": 32, "gpu": 32})
    monkeypatch.setattr("milk_np.models.kernel_profile.blocks.BLOCK_ROWS", {"cpu": 32, "gpu": 32})


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


# The model


@pytest.mark.parametrize("whitening", [(), (0.5,)])
def test_a_model_of_the_device_lists_what_that_of_the_host_does(whitening: tuple[float, ...]) -> None:
    ds = apply_protocol(make_synthetic(150, 120, 1500, {"image": 14, "text": 9}, seed=2), "MTMT")
    host, device = (
        KernelProfile(device=name, landmarks=40, whitening=whitening, topk=(5,), valid_metric="ndcg@5").fit(ds)
        for name in ("cpu", "gpu")
    )
    assert device.kernel == host.kernel
    one, two = (model.user_factors() @ model.item_factors(ds.new_items()).T for model in (host, device))
    assert np.abs(one - two).max() < 1e-3 * np.abs(one).max()
    lists = [model.recommend(k=5).found for model in (host, device)]
    assert (lists[0] == lists[1]).mean() > 0.995


@pytest.fixture(scope="module")
def fitted() -> tuple[Any, KernelProfile]:
    """A data set of three modalities and a model of it, fitted on the host, its items' vectors adjusted."""
    widths = {"image": 14, "text": 9, "audio": 6}
    ds = apply_protocol(make_synthetic(150, 120, 1500, widths, seed=2), "FTMT")
    options = {"landmarks": 40, "kernel_noise": 0.3, "whitening": (0.5, 0.0, 0.0), "width": "full", "topk": (5,)}
    model = KernelProfile(**options, length_power="0.5").fit(ds)
    model._fitted()["lifts"] = np.array([0.3, -0.2, 0.5])
    return ds, model


def on_device(model: KernelProfile, tmp_path: Any, **options: Any) -> KernelProfile:
    """The same model, loaded on the device."""
    model.save(tmp_path / "model.npz")
    return KernelProfile.load(tmp_path / "model.npz", device="gpu", **options)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max(initial=1e-9))


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_new_items_have_the_vectors_that_the_host_makes(fitted: Any, tmp_path: Any, dtype: Any) -> None:
    ds, host = fitted
    device, rng = on_device(host, tmp_path), np.random.default_rng(0)
    features = {name: rng.standard_normal((70, x.shape[1])).astype(dtype) for name, x in ds.features.items()}
    owned = rng.random((70, 3)) < 0.6
    owned[~owned.any(axis=1), 1] = True
    for name, mine in zip(ds.modalities, owned.T, strict=True):
        features[name][~mine] = np.nan
    close(device.encode_items(features, owned), host.encode_items(features, owned))
    only = {"text": features["text"][owned[:, 1]]}
    close(device.encode_items(only), host.encode_items(only))
    assert device.encode_items({"text": only["text"][:0]}).shape == host.encode_items({"text": only["text"][:0]}).shape


@pytest.mark.usefixtures("_small_blocks")
def test_users_have_the_vectors_that_the_host_makes(fitted: Any, tmp_path: Any) -> None:
    _, host = fitted
    device = on_device(host, tmp_path)
    close(device.user_factors(), host.user_factors())
    close(device.user_factors(np.array([5, 2, 149])), host.user_factors(np.array([5, 2, 149])))
    histories = [np.array([3, 1]), np.array([], np.int64), np.arange(40)]
    close(device.encode_users(histories), host.encode_users(histories))
    assert device.encode_users([]).shape == host.encode_users([]).shape


def test_items_of_the_data_are_made_on_the_device_too(
    fitted: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds, _ = fitted
    device = KernelProfile(landmarks=40, kernel_noise=0.3, whitening=(0.0,), topk=(5,), device="gpu").fit(ds)
    device.save(tmp_path / "model.npz")
    host, features = KernelProfile.load(tmp_path / "model.npz", device="cpu"), dict(ds.features)
    expected = host.encode_items(features, ds.available)
    monkeypatch.setattr("milk_np.models.kernel_profile.model.similarities", lambda *_: pytest.fail("made on the host"))
    close(device.item_factors(), expected)
    close(device.item_factors(np.array([3, 7])), expected[[3, 7]])


def test_histories_that_do_not_fit_stay_on_the_host(
    fitted: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, host = fitted
    monkeypatch.setattr("milk_np.backends.cupy.free_bytes", lambda: 0)
    device = on_device(host, tmp_path)
    np.testing.assert_array_equal(device.user_factors(), host.user_factors())


def test_a_model_with_arrays_on_the_device_is_pickled(fitted: Any, tmp_path: Any) -> None:
    device = on_device(fitted[1], tmp_path)
    before = device.user_factors()
    again = pickle.loads(pickle.dumps(device))  # noqa: S301 - made in the line itself
    np.testing.assert_array_equal(again.user_factors(), before)


@counted
@pytest.mark.usefixtures("_small_blocks")
def test_vectors_cost_the_features_and_the_vectors(fitted: Any, tmp_path: Any) -> None:
    """Features and lists go there once, vectors come back; parameters are there already."""
    ds, host = fitted
    device, n = on_device(host, tmp_path), 100
    features = {name: np.asarray(x[:n], np.float32) for name, x in ds.features.items()}
    owned = np.ones((n, 3), bool)
    device.encode_items(features, owned)
    device.user_factors()
    width, pairs = device.width, len(ds.interactions(Split.TRAIN)[0])
    sent = sum(x.nbytes + 4 * n for x in features.values()) + owned.nbytes + 4 * 3
    for work, there, back in (
        (lambda: device.encode_items(features, owned), sent, 4 * n * width),
        (device.user_factors, 4 * pairs + 8 * (ds.n_users + -(-ds.n_users // 32)), 4 * ds.n_users * width),
    ):
        EMULATOR.stats.reset()
        work()
        assert EMULATOR.stats.h2d_bytes <= there
        assert EMULATOR.stats.d2h_bytes == back


# What is chosen on samples


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
