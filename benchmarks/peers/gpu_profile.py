"""The closed form of the kernel profile on a GPU, on data that is made on the device: seconds of each phase.

Users have a taste among clusters of items of different sizes; an item's content is its cluster's, blurred. All of it
comes from hashes of user, item and column. The kernel is given: it is chosen on samples of bounded size on the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from milk_np.backends.cupy import CupyBackend
from milk_np.kernels.blas import one_blas_thread
from milk_np.models.kernel_profile import blocks, by_blocks
from milk_np.models.kernel_profile.by_blocks import collect, fit_by_blocks
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.ridge import owned_sets
from milk_np.models.kernel_profile.smoother import Smoother

WIDTHS = (512, 384)
LANDMARKS, WIDTH, RANK = 1024, 1024, 64
TOLERANCE = 1e-3
MISSING = 0.25
"""Share of the items that lack a modality."""

SOURCE = r"""
__device__ __forceinline__ unsigned long long mixed(unsigned long long x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}
__device__ __forceinline__ float uniform(unsigned long long x) {
    return (mixed(x) >> 40) * 5.9604644775390625e-8f;
}
__device__ __forceinline__ float bell(unsigned long long x) {  // sum of four uniform numbers, of variance 1
    float sum = -2;
    for (int i = 0; i < 4; ++i) sum += uniform(4 * x + i);
    return sum * 1.7320508f;
}
// Clusters are runs of items whose sizes fall: cluster of a place v in [0, 1) is CLUSTERS v^2.
__device__ __forceinline__ int cluster_of(long long item, long long n) {
    return int(sqrtf(float(item) / float(n)) * CLUSTERS);
}
// Bits of the float16 nearest to x from below, for 2^-14 <= |x| < 2^15; smaller ones become 0.
__device__ __forceinline__ unsigned short narrow(float x) {
    const unsigned bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu;
    const unsigned half = magnitude < 0x38800000u ? 0u : (magnitude - 0x38000000u) >> 13;
    return (unsigned short)((bits >> 16 & 0x8000u) | half);
}
extern "C" __global__ void features(unsigned short* out, long long n, int D, unsigned long long seed) {
    const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n * D) return;
    const long long item = at / D, d = at % D;
    const float centre = bell(seed + (unsigned long long)cluster_of(item, n) * 65536 + d);
    out[at] = narrow(centre + 1.5f * bell(seed * 31 + (1ull << 40) + at) + 0.5f);
}
extern "C" __global__ void choices(int* out, long long pairs, int each, long long n, unsigned long long seed) {
    const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= pairs) return;
    const long long user = at / each;
    const float taste = uniform(seed + user), place = uniform(seed + (1ull << 41) + at);
    const int cluster = int(taste * CLUSTERS);
    const float low = float(cluster) / CLUSTERS, high = float(cluster + 1) / CLUSTERS;
    const bool own = uniform(seed + (1ull << 42) + at) < 0.6f;
    const float v = own ? low * low + place * place * (high * high - low * low) : place * place;
    const long long item = (long long)(double(v) * n);
    out[at] = int(item < n ? item : n - 1);
}
"""


def fit_seconds(n_items: int, n_users: int, n_pairs: int, clusters: int = 256) -> dict[str, float]:
    """Seconds of each phase of a fit, of all of it ("fit"), of making the data, the smoothing's error, and GB at most.

    All `n_items` are training items of modalities WIDTHS wide in float16; every user has `n_pairs` / `n_users` pairs.
    """
    pool, watch = cupy.get_default_memory_pool(), _Watch()
    backend = CupyBackend()
    with one_blas_thread():
        tables, indptr, item = watch("making the data", lambda: make(n_items, n_users, n_pairs, clusters))
        began = time.perf_counter()
        found = _fit(watch, backend, tables, indptr, item)
    out = {**watch.seconds, "fit": time.perf_counter() - began, **found}
    out["GB held at most"] = pool.total_bytes() / 2**30
    return out


def _fit(watch: _Watch, backend: CupyBackend, tables: list[Any], indptr: Any, item: Any) -> dict[str, float]:
    n = len(tables[0])
    pairs = watch("lists of items", lambda: Pairs.from_lists(backend, indptr, item, n))
    options: dict[str, Any] = {"rank": RANK, "ridge": 100.0, "power": 0.5, "tolerance": TOLERANCE, "dtype": np.float32}
    smoother = watch("smoothing", lambda: Smoother.fit(pairs, **options))
    owned = _owned(n)
    items, landmarks = watch("landmarks", lambda: _items(backend, tables, owned))
    with watch.inside(by_blocks):
        fitted = fit_by_blocks(items, pairs, smoother, owned_sets(owned), landmarks, WIDTH)
    popularity = pairs.popularity()
    history = np.empty((n, fitted.coefficients.shape[2]), np.float32)
    factor = np.maximum(popularity, 1) ** -0.1
    rows = np.arange(n)
    watch("history vectors, to the host", lambda: collect(fitted, backend, factor, popularity, rows, history))
    return {"smoothing's error": smoother.error, "axes": float(history.shape[1])}


def make(n_items: int, n_users: int, n_pairs: int, clusters: int) -> tuple[list[Any], Any, Any]:
    """Features (I, D) float16 of each modality, and the pairs as compressed rows, on the device."""
    module = cupy.RawModule(code=SOURCE, options=("--std=c++17", f"-DCLUSTERS={clusters}"))

    def run(name: str, count: int, *arguments: Any) -> None:
        module.get_function(name)((-(-count // 256),), (256,), arguments)

    tables = []
    for m, D in enumerate(WIDTHS):
        bits = cupy.empty((n_items, D), np.uint16)
        run("features", bits.size, bits, np.int64(n_items), np.int32(D), np.uint64(1000 + m))
        tables.append(bits.view(np.float16))
    each = n_pairs // n_users
    item = cupy.empty(n_users * each, np.int32)
    run("choices", item.size, item, np.int64(item.size), np.int32(each), np.int64(n_items), np.uint64(7))
    return tables, cupy.arange(n_users + 1, dtype=np.int64) * each, item


def _owned(n: int) -> np.ndarray:
    """(n, 2), on the host."""
    rng = np.random.default_rng(0)
    owned = np.ones((n, len(WIDTHS)), np.bool_)
    lost = rng.random(n) < MISSING
    owned[lost, rng.integers(0, len(WIDTHS), n)[lost]] = False
    return owned


def _items(backend: CupyBackend, tables: list[Any], owned: np.ndarray) -> tuple[blocks.Items, list[np.ndarray]]:
    """The items, and the landmarks' content (L, D) on the host."""
    n = len(owned)
    chosen = np.sort(np.random.default_rng(1).permutation(n)[:LANDMARKS]).astype(np.int32)
    some = cupy.asarray(np.random.default_rng(2).integers(0, n, min(n, 1 << 15)))
    centres = [table[some].astype(np.float32).mean(axis=0) for table in tables]
    landmarks = []
    for m, (table, centre) in enumerate(zip(tables, centres, strict=True)):
        x = cupy.empty((len(chosen), table.shape[1]), np.float32)
        mine = cupy.asarray(np.ascontiguousarray(owned[chosen, m]))
        backend.kernels.content_rows(table, cupy.asarray(chosen), mine, centre, x)
        landmarks.append(cupy.asnumpy(x))
    plain = [cupy.empty((table.shape[1], 0), np.float32) for table in tables]
    kernel = ContentKernel(1.0, 0.3, (0.5, 0.5), (0.0, 0.0))
    across = [cupy.asarray(np.ascontiguousarray(x.T)) for x in landmarks]
    ids, mine = np.arange(n, dtype=np.int32), cupy.asarray(np.ascontiguousarray(owned.T))
    items = blocks.Items(backend, tables, ids, cupy.asarray(ids), mine, centres, plain, across, kernel)
    return items, landmarks


class _Watch:
    """Seconds of named phases, each ended by the device."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        out = work()
        cupy.cuda.Device().synchronize()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
        return out

    def inside(self, by_blocks: Any) -> _Inside:
        """Time the sums within a fit, by what they are called in `by_blocks`."""
        return _Inside(self, by_blocks)


class _Inside:
    """The sums of a fit, timed for a while; what is left is the host's."""

    NAMES = ("normals", "targets", "principal_axes")

    def __init__(self, watch: _Watch, module: Any) -> None:
        self.watch, self.module = watch, module
        self.before = {name: getattr(module, name) for name in self.NAMES}

    def __enter__(self) -> None:
        self.began = time.perf_counter()
        for name, call in self.before.items():
            timed = lambda *given, call=call, name=name: self.watch(name, lambda: call(*given))  # noqa: E731
            setattr(self.module, name, timed)

    def __exit__(self, *_: object) -> None:
        for name, call in self.before.items():
            setattr(self.module, name, call)
        spent = sum(self.watch.seconds[name] for name in self.NAMES if name in self.watch.seconds)
        self.watch.seconds["other factorisations"] = time.perf_counter() - self.began - spent


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(fit_seconds(*map(int, sys.argv[1:])), indent=1))
