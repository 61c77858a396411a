"""The search for the best items: scores checked against float64, then times beside PyTorch and search libraries."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np
from harness import Outcome, interleave, ratios
from options import Options

from gpu_subjects import common
from gpu_subjects.common import device_name, peer, timed, torch_on_gpu

K = 20
TOLERANCE = 1e-4
"""Greatest difference of a score from float64, over the length of the longest item."""
CHECKED = 50
SIZES = {
    "catalogue": (19_445, 1_410, 64),
    "large": (100_000, 100_000, 64),
    "wide": (20_000, 100_000, 1024),
    "wide, falling": (20_000, 100_000, 1024),
}
"""Queries, items and numbers a vector; "falling" ones have their large numbers first, as on balanced axes."""
TINY = {"smoke": (50, 2_000, 64), "smoke wide": (20, 300, 1024), "smoke wide, falling": (20, 300, 1024)}
BOUNDED = 256
"""Width from which on the search with bounds and that by all scores are timed apart from what the package chooses."""


def measure(options: Options, timing: bool) -> Iterator[Outcome]:
    """Check every program at every size, then time them in turn."""
    for title, (Q, N, width) in (TINY if options.quick else SIZES).items():
        rng = np.random.default_rng(0)
        fall = np.arange(1, width + 1, dtype=np.float32) ** -np.float32(0.5 if "falling" in title else 0)
        queries, items = (rng.standard_normal((n, width), dtype=np.float32) * fall for n in (Q, N))
        programs, absent = searches(queries, items)
        check(programs, queries, items)
        if timing:
            yield outcome(title, (Q, N, width), programs, absent, options.rounds or 7)


def searches(queries: np.ndarray, items: np.ndarray) -> tuple[dict[str, Any], dict[str, str]]:
    """Programs by name, and why others are left out."""
    mine = peer("gpu_milk")
    programs = {"milk_np": mine.Search(queries, items, K)}
    if queries.shape[1] >= BOUNDED:
        programs["milk_np, all scores"] = mine.AllScores(queries, items, K)
        programs["milk_np, bounds"] = mine.Bounded(queries, items, K)
    if torch_on_gpu():
        programs["torch, matmul and topk"] = peer("gpu_torch").Search(queries, items, K)
    absent = {} if torch_on_gpu() else {"torch": "finds no GPU, or isn't installed"}
    for name, make in ({} if common.ALONE else peer("gpu_search").LIBRARIES).items():
        try:
            programs[name] = make(queries, items, K)
        except ImportError as error:
            absent[name] = str(error)
    return programs, absent


def check(programs: dict[str, Any], queries: np.ndarray, items: np.ndarray) -> None:
    """Raise RuntimeError if the scores of a program's lists aren't the best ones in float64."""
    exact = queries[:CHECKED].astype(np.float64) @ items.T.astype(np.float64)
    best = -np.sort(-exact, axis=1)[:, :K]
    length = np.linalg.norm(items, axis=1).max()
    for name, each in programs.items():
        worst = np.abs(each.search()[1][:CHECKED] - best).max() / length
        if worst > TOLERANCE:
            raise RuntimeError(f"{name}: scores differ from float64 by {worst:.1e}")


def outcome(title: str, size: tuple[int, int, int], programs: Any, absent: dict[str, str], rounds: int) -> Outcome:
    """Seconds of each search, results brought home, and of ours alone on the device."""
    Q, N, width = size
    limits = peer("gpu_limits")
    seconds = interleave({name: timed(each.search) for name, each in programs.items()}, rounds, warmup=2, attempts=1)
    alone = limits.best_seconds(programs["milk_np"].run, 5)
    operations = 2.0 * Q * N * width
    rows: list[dict[str, Any]] = [
        {
            "program": name,
            "ms": 1e3 * median(taken),
            "TFLOP/s": operations / median(taken) / 1e12,
            "times milk_np": ratios(seconds, name, "milk_np").text(),
        }
        for name, taken in seconds.items()
    ]
    rows.append({"program": "milk_np, left on the device", "ms": 1e3 * alone, "TFLOP/s": operations / alone / 1e12})
    notes = [
        device_name(),
        f"{Q:,} queries, {N:,} items, {width} numbers a vector, k = {K}; true float32; a product of 8,192 x 8,192 runs "
        f"at {limits.products_per_second() / 1e12:.3g} TFLOP/s here.",
        *(f"Left out: {name}: {why}" for name, why in absent.items()),
    ]
    raw = {"seconds": dict(seconds), "on the device": alone}
    return Outcome(
        f"topk_{title.replace(', ', '_')}", f"Best {K} items on a GPU: {title}", list(rows[0]), rows, notes, raw
    )
