"""The kernels of the lab and their variants. A variant that isn't the engine's own is as plain as it can be."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
from lab import Bench
from numba import njit

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference
from milk_np.kernels.cpu import blocks, products
from milk_np.kernels.cpu import topk as topk_module
from milk_np.kernels.cpu.byte_tile import BYTES
from milk_np.kernels.cpu.counting import count_passed
from milk_np.kernels.cpu.inputs import exclusions, fixed
from milk_np.kernels.cpu.microkernel import PACKED, SCATTERED, columns_of
from milk_np.kernels.cpu.packing import packed_gradient, packed_weight
from milk_np.kernels.cpu.pruning import may_pay, pays
from milk_np.kernels.cpu.sampling import SHORT
from milk_np.kernels.cpu.vectors import VECTOR_BYTES

Array = np.ndarray
Result = Callable[[], Any]


def instruction_set() -> str:
    """What the kernels were compiled for, and the caches found."""
    target = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()
    caches = blocks.caches()
    return (
        f"kernels for {target[1]} with vectors of {VECTOR_BYTES} bytes, caches of {caches.first >> 10} and "
        f"{caches.second >> 10} KiB"
    )


def checked(variants: Mapping[str, Result], truth: Any, tolerance: float) -> Mapping[str, Result]:
    """The variants, or SystemExit naming one that gives something else than the reference."""
    plain = np.asarray(truth, np.float64)
    allowed = tolerance * max(1.0, np.abs(plain).max(initial=0))  # rounding grows with the sums, not with a small one
    for name, call in variants.items():
        off = np.abs(np.asarray(call(), np.float64) - plain).max(initial=0)
        if not off <= allowed:
            raise SystemExit(f"{name} computes something else: {off:.3g} away from the reference")
    return variants


def table_of(chosen: argparse.Namespace) -> tuple[Any, Array, Array, Array]:
    """A feature table, distinct rows of it in random order, a weight and a gradient."""
    rng = np.random.default_rng(0)
    n, items, D = (60, 150, 96) if chosen.quick else (2808, 7050, 4096)
    raw = rng.standard_normal((items, D), dtype=np.float32).astype(np.float16 if chosen.half else np.float32)
    source, scale = np.arange(items, dtype=np.int32), rng.random(items, dtype=np.float32)
    rows = rng.permutation(items)[:n].astype(np.int32)
    W, g = (rng.standard_normal(shape, dtype=np.float32) for shape in ((D, chosen.dim), (n, chosen.dim)))
    return (raw, np.zeros((0, D), np.float32), source, scale), rows, W, g


def forward(chosen: argparse.Namespace) -> Bench:
    """c = x W + b."""
    numba.set_num_threads(chosen.threads)
    table, rows, W, _ = table_of(chosen)
    (n, K), D = (len(rows), chosen.dim), W.shape[0]
    b, c, x = np.zeros(K, np.float32), np.empty((n, K), np.float32), np.empty((n, D), np.float32)
    gathered = cpu.gather(*table, rows, x.copy())

    def engine() -> Array:
        cpu.extract(*table, rows, W, b, c)
        return c

    def of_depth(depth: int) -> Result:
        address = gathered.ctypes.data + gathered.strides[0] * np.arange(n)
        bounds = products.task_bounds(n, SCATTERED.rows, products.ROW_BLOCK)

        def call() -> Array:
            products._forward(address, np.ones(n, np.float32), packed_weight(W), D, b, c, bounds, depth)
            return c

        return call

    chosen_depth = blocks.forward_depth(-(-K // 16) * 16, 4)
    variants = {
        "engine": engine,
        "gather, then OpenBLAS": lambda: np.matmul(cpu.gather(*table, rows, x), W, out=c),
        "OpenBLAS, rows gathered before": lambda: np.matmul(gathered, W, out=c),
        **{f"engine's, rows gathered before, {d} deep": of_depth(d) for d in (128, 256, 512)},
        "plain loops, rows gathered before": lambda: plain_forward(gathered, W, c),
    }
    exact = gathered.astype(np.float64) @ W
    lines = [
        f"tiles of {SCATTERED.rows} rows x {SCATTERED.vectors} vectors: their sums and operands fill the registers",
        f"{chosen_depth} numbers of a row at a time, 512 at most: that part of W takes a quarter of the second level",
        square(chosen),
    ]
    return Bench(f"x W, {n} x {D} x {K}", checked(variants, exact, 1e-5), 2e-9 * n * D * K, "GFLOP/s", lines)


def backward(chosen: argparse.Namespace) -> Bench:
    """dW = x^T g."""
    numba.set_num_threads(chosen.threads)
    table, rows, W, g = table_of(chosen)
    (n, K), D = g.shape, W.shape[0]
    dW, db, x = np.empty_like(W), np.empty(K, np.float32), np.empty((n, D), np.float32)
    gathered = cpu.gather(*table, rows, x.copy())

    def engine() -> Array:
        cpu.extract_backward(*table, rows, g, dW, db)
        return dW

    def of_blocks(depth: int, span: int) -> Result:
        address = gathered.ctypes.data + gathered.strides[0] * np.arange(n)
        width = columns_of(PACKED, 4)
        bounds = products.task_bounds(D, width, max(1, span // width) * width)

        def call() -> Array:
            panels = packed_gradient(g, np.ones(n, np.float32))
            products._backward(address, panels, dW, False, bounds, depth)
            return dW

        return call

    variants = {
        "engine": engine,
        "gather, then OpenBLAS": lambda: np.matmul(cpu.gather(*table, rows, x).T, g, out=dW),
        "OpenBLAS, rows gathered before": lambda: np.matmul(gathered.T, g, out=dW),
        **{
            f"engine's, rows gathered before, {d} rows x {s} columns": of_blocks(d, s)
            for d, s in ((32, 384), (64, 192), (64, 384), (128, 192))
        },
        "plain loops, rows gathered before": lambda: plain_backward(gathered, g, dW),
    }
    lines = [
        f"tiles of {PACKED.rows} columns of g x {PACKED.vectors} vectors of x: they fill the registers",
        f"{blocks.backward_depth(4)} rows at a time: a packed panel takes a quarter of the first-level cache at most",
        f"{blocks.backward_span(K, 4)} columns a task at most: a packed block takes an eighth of the second level",
        square(chosen),
    ]
    exact = gathered.astype(np.float64).T @ g
    return Bench(f"x^T g, {n} x {D} x {K}", checked(variants, exact, 1e-5), 2e-9 * n * D * K, "GFLOP/s", lines)


def topk(chosen: argparse.Namespace) -> Bench:
    """The best 20 of a product."""
    numba.set_num_threads(chosen.threads)
    rng = np.random.default_rng(0)
    Q, N, K = (50, 300, chosen.dim) if chosen.quick else (1024, 20_000, chosen.dim)
    queries, items = (rng.integers(-3, 4, (n, K)).astype(np.float32) for n in (Q, N))
    scores = np.empty((Q, N), np.float32)

    def partitioned() -> Array:
        np.matmul(queries, items.T, out=scores)
        best = np.argpartition(scores, N - 20, axis=1)[:, N - 20 :]
        return -np.sort(-np.take_along_axis(scores, best, axis=1), axis=1)

    variants = {
        "engine": lambda: cpu.top_k(queries, items, 20)[1],
        "OpenBLAS and argpartition": partitioned,
    }
    exact = reference.top_k(queries, items, 20)[1]
    checked(variants, exact, 0.0)  # whole numbers: products are exact
    lines = [
        f"tiles of {PACKED.rows} queries x {columns_of(PACKED, 4)} items, the micro-kernel of x^T g",
        f"{blocks.query_rows(K)} queries at a time: packed they take a quarter of the second-level cache at most",
        square(chosen),
    ]
    alone = {"OpenBLAS's product alone": lambda: np.matmul(queries, items.T, out=scores)}
    return Bench(f"top 20, {Q} x {N} x {K}", variants | alone, 2e-9 * Q * N * K, "GFLOP/s", lines)


def bounds(chosen: argparse.Namespace) -> Bench:
    """The best 20 of wide vectors, whose first numbers are the largest."""
    numba.set_num_threads(chosen.threads)
    rng = np.random.default_rng(0)
    Q, N, K = (70, 300, 512) if chosen.quick else (1024, 5000, 1024)
    decay = np.geomspace(1, 0.05, K)
    queries, items = (fixed(rng.standard_normal((n, K)) * decay, np.float32) for n in (Q, N))
    rows = exclusions(Q, None, None)
    variants = {
        "engine": lambda: cpu.top_k(queries, items, 20)[1],
        "all scores": lambda: topk_module._searched(queries, items, 20, rows)[1],
    }
    checked(variants, variants["all scores"](), 0.0)
    lines = [
        f"products of bytes: {'yes' if BYTES else 'no, so that all scores are made'}",
        f"whether bounds pay here, by a count: {may_pay(Q, N, K, 20) and pays(queries, items, 20)}",
    ]
    return Bench(f"top 20, {Q} x {N} x {K}, decaying", variants, 2e-9 * Q * N * K, "GFLOP/s", lines)


def sampling(chosen: argparse.Namespace) -> Bench:
    """An epoch's triplets."""
    numba.set_num_threads(chosen.threads)
    rng = np.random.default_rng(0)
    U, N, pairs = (50, 60, 400) if chosen.quick else (19_445, 5_640, 126_572)
    key = np.unique(rng.integers(0, U * N, pairs))
    user, rank = (key // N).astype(np.int32), (key % N).astype(np.int32)
    indptr = np.searchsorted(user, np.arange(U + 1)).astype(np.int64)
    candidates, none = np.arange(N, dtype=np.int32), np.zeros(0, np.int64)
    table = (user, rank, indptr, rank, candidates, none)

    def batches(of: Any, size: int) -> Result:
        def call() -> Array:
            parts = [of(1, 2, a, min(size, len(user) - a), *table)[1] for a in range(0, len(user), size)]
            return np.concatenate([parts[0], *parts[1:]])

        return call

    whole = batches(cpu.draw_batch, len(user))
    variants = {"engine": whole, "NumPy": batches(reference.draw_batch, len(user))}
    checked(variants, reference.draw_batch(1, 2, 0, len(user), *table)[1], 0.0)
    variants["engine, 2,048 at a time"] = batches(cpu.draw_batch, 2048)
    lines = [f"own items are counted in vectors in lists of up to {SHORT}, bisected in longer ones"]
    return Bench(f"{len(user)} triplets", variants, 1e-6 * len(user), "million / s", lines)


def counting(chosen: argparse.Namespace) -> Bench:
    """Place of a number among those that aren't in a short sorted list."""
    rng = np.random.default_rng(0)
    lists, length = (20, 8) if chosen.quick else (100_000, 8)
    ascending = np.sort(rng.permuted(np.tile(np.arange(200, dtype=np.int32), (lists, 1)), axis=1)[:, :length], axis=1)
    r = rng.integers(0, 200 - length, lists)
    out = np.empty(lists, np.int64)
    flat = ascending.reshape(-1)
    variants = {
        "engine": lambda: in_vectors(flat, length, r, out),
        "a plain loop, for LLVM to vectorise": lambda: in_a_loop(flat, length, r, out),
        "bisection": lambda: by_bisection(flat, length, r, out),
    }
    exact = np.array([(row - np.arange(length) <= q).sum() for row, q in zip(ascending, r, strict=True)])
    lines = [f"vectors in lists of up to {SHORT} of a user's own items, bisection in longer ones"]
    return Bench(
        f"counting in {lists} lists of {length}", checked(variants, exact, 0), 1e-6 * lists, "million / s", lines
    )


def square(chosen: argparse.Namespace) -> str:
    """The rate of OpenBLAS on square matrices, which is what a product can be hoped to reach."""
    from time import process_time

    n = 64 if chosen.quick else 1024
    a, b, taken = np.ones((n, n), np.float32), np.ones((n, n), np.float32), []
    for _ in range(8):
        start = process_time()
        a @ b
        taken.append(process_time() - start)
    rate = 2e-9 * n**3 / max(sorted(taken)[4], 1e-9)
    return f"OpenBLAS on square matrices of {n}: {rate:.3g} GFLOP/s by CPU time"


@njit
def plain_forward(x: Array, W: Array, out: Array) -> Array:
    """Three loops."""
    out[:] = 0
    for r in range(x.shape[0]):
        for d in range(x.shape[1]):
            for k in range(W.shape[1]):
                out[r, k] += x[r, d] * W[d, k]
    return out


@njit
def plain_backward(x: Array, g: Array, out: Array) -> Array:
    """Three loops."""
    out[:] = 0
    for r in range(x.shape[0]):
        for d in range(x.shape[1]):
            for k in range(g.shape[1]):
                out[d, k] += x[r, d] * g[r, k]
    return out


@njit
def in_vectors(ascending: Array, length: int, r: Array, out: Array) -> Array:
    """The engine's intrinsic."""
    for i in range(len(r)):
        out[i] = count_passed(ascending, i * length, (i + 1) * length, r[i])
    return out


@njit
def in_a_loop(ascending: Array, length: int, r: Array, out: Array) -> Array:
    """One comparison after the other, without a branch."""
    for i in range(len(r)):
        total = 0
        for q in range(length):
            total += ascending[i * length + q] - q <= r[i]
        out[i] = total
    return out


@njit
def by_bisection(ascending: Array, length: int, r: Array, out: Array) -> Array:
    """Halving the list."""
    for i in range(len(r)):
        low, high = i * length, (i + 1) * length
        while low < high:
            middle = (low + high) >> 1
            if ascending[middle] - (middle - i * length) <= r[i]:
                low = middle + 1
            else:
                high = middle
        out[i] = low - i * length
    return out


KERNELS: dict[str, Callable[[argparse.Namespace], Bench]] = {
    "forward": forward,
    "backward": backward,
    "topk": topk,
    "bounds": bounds,
    "sampling": sampling,
    "counting": counting,
}
