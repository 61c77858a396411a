"""Vectors of users and items that a kernel profile makes on the device, against the host's."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from gpu_cases import EMULATOR, close, counted

from milk_np.data import apply_protocol, make_synthetic
from milk_np.data.arrays import Split
from milk_np.models.kernel_profile.model import KernelProfile

pytestmark = pytest.mark.gpu


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
