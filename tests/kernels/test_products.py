"""The products' blocks, and that no number of a result depends on them, on threads or on its neighbours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import processors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assert_close

from milk_np.kernels.cpu import blocks, products
from milk_np.kernels.cpu.blocks import Caches, caches
from milk_np.kernels.cpu.microkernel import PACKED, PERIOD, SCATTERED, columns_of
from milk_np.kernels.cpu.packing import packed_gradient, packed_weight

DTYPES = st.sampled_from([np.float32, np.float64])
PROGRAM = """
import hashlib, numba, numpy as np
import milk_np.kernels.cpu as cpu

rng = np.random.default_rng(1)
raw, W, g = (rng.standard_normal(shape, dtype=np.float32) for shape in ((500, 1000), (1000, 64), (401, 64)))
queries, items = (rng.standard_normal((n, 67), dtype=np.float32) for n in (301, 2003))
rows, b = rng.integers(0, 500, 401).astype(np.int32), np.ones(64, np.float32)
for table in (raw, raw.astype(np.float16)):
    for threads in (1, 2, 4):
        numba.set_num_threads(threads)
        c, dW, db = np.empty((401, 64), np.float32), np.empty_like(W), np.empty_like(b)
        of = (table, np.zeros((0, 1000), np.float32), np.arange(500, dtype=np.int32), np.ones(500, np.float32), rows)
        cpu.extract(*of, W, b, c)
        cpu.extract_backward(*of, g, dW, db)
        found = c, dW, db, *cpu.top_k(queries, items, 20)
        print(hashlib.sha256(b"".join(x.tobytes() for x in found)).hexdigest())
"""


def cache_folder(folder: Path, *levels: tuple[str, str, str]) -> Path:
    for n, values in enumerate(levels):
        (folder / f"index{n}").mkdir()
        for name, value in zip(("level", "type", "size"), values, strict=True):
            (folder / f"index{n}" / name).write_text(f"{value}\n")
    return folder


def test_caches_are_read_once_from_what_linux_tells(tmp_path: Path) -> None:
    told = ("1", "Data", "48K"), ("1", "Instruction", "64K"), ("2", "Unified", "2M"), ("3", "Unified", "32M")
    assert caches(cache_folder(tmp_path, *told)) == Caches(48 << 10, 2 << 20)


@pytest.mark.parametrize("size", ["", "48", "K", "48Q", "big"])
def test_caches_have_defaults(tmp_path: Path, size: str) -> None:
    assert caches(tmp_path / "none") == Caches()
    assert caches(cache_folder(tmp_path, ("1", "Data", size))) == Caches()


@given(
    first=st.integers(1 << 12, 1 << 20),
    second=st.integers(1 << 15, 1 << 25),
    columns=st.integers(1, 5000),
    itemsize=st.sampled_from([4, 8]),
)
def test_blocks_fit_the_caches_and_the_tiles(first: int, second: int, columns: int, itemsize: int) -> None:
    of = Caches(first, second)
    deep, rows = blocks.forward_depth(columns, itemsize, of), blocks.backward_depth(itemsize, of)
    span, queries = blocks.backward_span(columns, itemsize, of), blocks.query_rows(columns, of)
    width = columns_of(PACKED, itemsize)
    assert deep % PERIOD == rows % PERIOD == span % width == 0
    assert PERIOD <= deep <= 512
    assert deep == PERIOD or deep * columns * itemsize <= second // 4
    assert rows == PERIOD or rows * width * itemsize <= first // 4
    assert span == width or span * max(8 * rows, 4 * columns) * itemsize <= second
    assert 4 * PACKED.rows <= queries <= 128


def scattered(rng: np.random.Generator, n: int, D: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a table in any order and their addresses; the table lies between numbers that would show."""
    whole = np.full((2 * n + 2, D), np.nan, dtype)
    at = 1 + 2 * rng.permutation(n)
    whole[at] = rng.standard_normal((n, D))
    return whole, whole.ctypes.data + at.astype(np.int64) * whole.strides[0]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 150),
    D=st.integers(1, 300),
    K=st.sampled_from([1, 3, 17, 33, 64, 100]),
    dtype=DTYPES,
    depth=st.integers(1, 40).map(lambda rounds: rounds * PERIOD),
    tiles=st.integers(1, 16),
)
def test_bits_do_not_depend_on_blocks(seed: int, n: int, D: int, K: int, dtype: type, depth: int, tiles: int) -> None:
    rng = np.random.default_rng(seed)
    whole, address = scattered(rng, n, D, dtype)
    x = whole[(address - whole.ctypes.data) // whole.strides[0]]
    W, g, b = (rng.standard_normal(shape).astype(dtype) for shape in ((D, K), (n, K), (K,)))
    ones, panels = np.ones(n, np.float32), packed_gradient(g, np.ones(n, np.float32))
    c, dW = np.full((2, n, K), np.nan, dtype), np.full((2, D, K), np.nan, dtype)
    products.forward(address, ones, packed_weight(W), D, b, c[0])
    products.backward(address, ones, g, dW[0], False)
    bounds = products.task_bounds(n, SCATTERED.rows, min(tiles, 16) * SCATTERED.rows)
    products._forward(address, ones, packed_weight(W), D, b, c[1], bounds, depth)
    width = columns_of(PACKED, g.itemsize)
    products._backward(address, panels, dW[1], False, products.task_bounds(D, width, tiles * width), depth)
    np.testing.assert_array_equal(c[1], c[0])
    np.testing.assert_array_equal(dW[1], dW[0])
    assert_close(c[0], x @ W + b, dtype, terms=D)
    assert_close(dW[0], x.T @ g, dtype, terms=n)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_number_spoils_its_own_row_and_column_alone(bad: float) -> None:
    rng = np.random.default_rng(0)
    n, D, K = 50, 130, 17
    x, W, g = (rng.standard_normal(shape, dtype=np.float32) for shape in ((n, D), (D, K), (n, K)))
    x[n - 1, D - 1] = bad
    address, ones, b = x.ctypes.data + np.arange(n) * x.strides[0], np.ones(n, np.float32), np.zeros(K, np.float32)
    c, dW = np.empty((n, K), np.float32), np.empty((D, K), np.float32)
    products.forward(address, ones, packed_weight(W), D, b, c)
    products.backward(address, ones, g, dW, False)
    assert (~np.isfinite(c)).any(axis=1).tolist() == [False] * (n - 1) + [True]
    assert (~np.isfinite(dW)).any(axis=1).tolist() == [False] * (D - 1) + [True]


@pytest.mark.parametrize("kind", ["", "haswell"])
def test_one_two_and_four_threads_give_the_same_bits(kind: str) -> None:
    if kind and (reason := processors.unfit(kind)):
        pytest.skip(reason)
    told = processors.variables(kind) if kind else {}
    environment = {**os.environ, "NUMBA_NUM_THREADS": "4", **told}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split()
    assert len(lines) == 6
    assert len(set(lines[:3])) == len(set(lines[3:])) == 1
