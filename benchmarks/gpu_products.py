"""The products of a training step on a GPU: `python benchmarks/gpu_products.py [--quick] [--rounds N]`.

Forward (c = x W + b) and backward (dW, db) of both modalities of the Baby shape, by the kernels that read the rows
where they lie and by a gather and cuBLAS, checked against float64 first. Each time is that of many calls between two
events, captured in a CUDA graph so that the host has no part in it; calls take turns with four batches of rows, more
than the second-level cache holds. "blocks" are those of a launch for a multiprocessor, usually as many as it holds;
"fetch" are the bytes that the second-level cache takes from memory at once.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from milk_np.backends import select as devices

NO_DEVICE = 5
PEAK = 67e12  # float32 operations per second of an H100 SXM
TOLERANCE = 1e-5  # greatest difference over greatest element, float32 against float64
BATCHES = 4
BLOCKS = (1, 2, 3, 6)
FETCH = (64, 128, 256)


@dataclass(frozen=True)
class Size:
    """Items, their widths, slots of a batch, distinct items among them, latent width, and calls that are timed."""

    items: int = 7050
    widths: tuple[int, ...] = (4096, 1024)
    slots: int = 4096
    real: int = 2800
    K: int = 64
    calls: int = 20


QUICK = Size(items=150, widths=(160, 36), slots=140, real=97, K=20, calls=2)


class Step:
    """The arrays of a step's products on the device, and the calls that make them."""

    def __init__(self, size: Size) -> None:
        import cupy

        rng, self.size = np.random.default_rng(0), size
        source, scale = np.arange(size.items, dtype=np.int32), rng.random(size.items, np.float32)
        self.raw = [rng.standard_normal((size.items, D), np.float32) for D in size.widths]
        self.rows = [batch_rows(rng, size) for _ in range(BATCHES)]
        self.W = [rng.standard_normal((D, size.K), np.float32) / np.sqrt(np.float32(D)) for D in size.widths]
        self.bias = rng.standard_normal(size.K, np.float32)
        self.dout = rng.standard_normal((size.slots, size.K), np.float32)
        self.dout[size.real :] = 0
        self.scale = scale
        fill = cupy.zeros((1, 1), np.float32)
        self._tables = [(cupy.asarray(x), fill, cupy.asarray(source), cupy.asarray(scale)) for x in self.raw]
        self._rows, self._W = list(map(cupy.asarray, self.rows)), list(map(cupy.asarray, self.W))
        self._bias, self._dout = cupy.asarray(self.bias), cupy.asarray(self.dout)
        self.c = [cupy.empty((size.slots, size.K), np.float32) for _ in size.widths]
        self.dW = [cupy.empty((D, size.K), np.float32) for D in size.widths]
        self.db = [cupy.empty(size.K, np.float32) for _ in size.widths]
        self.kernels = importlib.import_module("milk_np.kernels.gpu")

    def forward(self, batch: int = 0, only: int | None = None) -> list[Any]:
        """c of all modalities, or of one; what the backward pass wants to keep."""
        chosen = self._chosen(only)
        tables, W, c = ([arrays[m] for m in chosen] for arrays in (self._tables, self._W, self.c))
        return self.kernels.extract_all(tables, self._rows[batch], W, [self._bias] * len(chosen), c)

    def backward(self, batch: int = 0, only: int | None = None, caches: list[Any] | None = None) -> None:
        """dW and db of all modalities, or of one."""
        chosen = self._chosen(only)
        tables, dW, db = ([arrays[m] for m in chosen] for arrays in (self._tables, self.dW, self.db))
        dout, caches = [self._dout] * len(chosen), caches or [None] * len(chosen)
        self.kernels.extract_all_backward(tables, self._rows[batch], dout, dW, db, caches)

    def both(self, batch: int = 0) -> None:
        """All products of a step."""
        self.backward(batch, caches=self.forward(batch))

    def _chosen(self, only: int | None) -> list[int]:
        return list(range(len(self.W))) if only is None else [only]


def batch_rows(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Ids of distinct items in order, as grouping leaves them, and -1 in the slots that are left over."""
    rows = np.full(size.slots, -1, np.int32)
    rows[: size.real] = np.sort(rng.permutation(size.items)[: size.real])
    return rows


def check(step: Step) -> float:
    """Greatest difference from float64; RuntimeError if it is over the tolerance."""
    step.both()
    rows, worst = step.rows[0][: step.size.real], 0.0
    for m, raw in enumerate(step.raw):
        x = raw[rows].astype(np.float64) * step.scale[rows, None]
        dout = step.dout[: step.size.real].astype(np.float64)
        pairs = [(step.c[m].get()[: len(rows)], x @ step.W[m] + step.bias), (step.dW[m].get(), x.T @ dout)]
        for mine, truth in [*pairs, (step.db[m].get(), dout.sum(axis=0))]:
            worst = max(worst, float(np.abs(mine - truth).max() / np.abs(truth).max()))
    if not worst < TOLERANCE:
        raise RuntimeError(f"products differ from float64 by {worst:.1e}, over {TOLERANCE:.0e}")
    return worst


def seconds(call: Callable[[int], Any], calls: int, rounds: int) -> float:
    """Seconds of a call on the device: the median of rounds of `calls` calls, in a CUDA graph if that can be had."""
    import cupy

    def many() -> None:
        for turn in range(calls):
            call(turn % BATCHES)

    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        many()
        launch = many if "cupy_on_cpu" in sys.modules else captured(many, stream)
        taken = []
        for _ in range(rounds + 1):
            before, after = cupy.cuda.Event(), cupy.cuda.Event()
            before.record()
            launch()
            after.record()
            after.synchronize()
            taken.append(cupy.cuda.get_elapsed_time(before, after) / 1000 / calls)
    return median(taken[1:])


def captured(many: Callable[[], None], stream: Any) -> Callable[[], None]:
    """`many` as a CUDA graph; as it is, with a note, where the capture fails."""
    try:
        stream.begin_capture()
        try:
            many()
        finally:
            graph = stream.end_capture()
    except Exception as error:  # whatever a driver or a library says: a time with the host in it beats none
        print(f"  (no graph, the host's launches count: {type(error).__name__}: {error})")
        return many
    return lambda: graph.launch(stream)


def report(step: Step, rounds: int) -> None:
    """Both programs, then ours with other constants."""
    extract = sys.modules["milk_np.kernels.gpu.extract"]
    print(f"{'program':<26}{'part':<20}{'us':>8}{'TFLOP/s':>9}{'of 67':>7}")
    for program in ("cublas", "rows"):
        extract.PRODUCTS = program
        print(f"{program}: greatest difference from float64 {check(step):.1e}")
        show(step, rounds, program)
    for blocks in BLOCKS:
        vary(step, rounds, f"rows, {blocks} blocks", BLOCKS=blocks)
    for size in FETCH:
        vary(step, rounds, f"rows, fetch {size}", FETCH=size)


def vary(step: Step, rounds: int, title: str, **constants: int) -> None:
    """Ours with other constants of the module."""
    products = sys.modules["milk_np.kernels.gpu.products"]
    usual = {name: getattr(products, name) for name in constants}
    for name, value in constants.items():
        setattr(products, name, value)
    check(step)
    show(step, rounds, title)
    for name, value in usual.items():
        setattr(products, name, value)


def show(step: Step, rounds: int, program: str) -> None:
    """A line for each direction and modality, and for all of it."""
    size = step.size
    parts = [
        (f"{name} {D}", getattr(step, name), m) for name in ("forward", "backward") for m, D in enumerate(size.widths)
    ]
    parts += [("forward", step.forward, None), ("backward", step.backward, None)]
    for name, call, m in parts:
        work = 2.0 * size.real * size.K * (sum(size.widths) if m is None else size.widths[m])
        line(program, name, seconds(lambda turn, f=call, m=m: f(turn, m), size.calls, rounds), work)
    line(
        program,
        "forward, backward",
        seconds(step.both, size.calls, rounds),
        4.0 * size.real * size.K * sum(size.widths),
    )


def line(program: str, name: str, taken: float, work: float) -> None:
    rate = work / taken
    print(f"{program:<26}{name:<20}{taken * 1e6:>8.1f}{rate / 1e12:>9.2f}{rate / PEAK:>7.0%}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Check, then time; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run on tiny tables")
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of every call")
    chosen = parser.parse_args(arguments)
    problem = devices.gpu_problem()
    if problem is not None:
        print(f"benchmarks/gpu_products.py: no GPU to measure: {problem}", file=sys.stderr)
        return NO_DEVICE
    emulated = "cupy_on_cpu" in sys.modules
    report(Step(QUICK if chosen.quick or emulated else Size()), 1 if emulated else chosen.rounds)
    if emulated:
        print("benchmarks/gpu_products.py: these times are an emulator's and mean nothing", file=sys.stderr)
    return NO_DEVICE if emulated else 0


if __name__ == "__main__":
    sys.exit(main())
