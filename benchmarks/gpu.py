"""Benchmarks on a GPU: `python benchmarks/gpu.py [--quick] [--rounds N]`.

Correctness comes first: gradients, losses and scores of every program are compared with a float64 program before
anything is timed. Then an epoch, the phases of a step and the search for the best items, against PyTorch (eager,
compiled, captured in a CUDA graph) on the same card, and against a floor: the step's operations and bytes over what
the card does at best. Writes benchmarks/results/gpu_*.json. Without a GPU it says why and ends with exit code 5; on an
emulator it checks and ends with 5, for there is nothing to time.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from harness import Outcome, interleave, ratios
from objective import REFERENCE
from options import Options
from peers.numpy_plain import Program as Plain
from shapes import Problem
from worker import pin_threads

from milk_np.backends import select

CHECKED_STEPS = 5
TOLERANCE = 1e-4  # greatest difference over greatest element, float32 against float64
SCORE_TOLERANCE = 1e-4
SEARCHES = {"users to new items": (19_445, 1_410), "100,000 to 100,000": (100_000, 100_000)}
K, WIDTH = 20, 64
NO_DEVICE = 5
TORCH_MODES = ("eager", "compiled", "graph")


def main(arguments: list[str] | None = None) -> int:
    """Check, then time; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run on a tiny problem; saves nothing")
    parser.add_argument("--rounds", type=int, default=7, help="measured turns of every program")
    chosen = parser.parse_args(arguments)
    problem = select.gpu_problem()
    if problem is not None:
        print(f"benchmarks/gpu.py: no GPU to measure: {problem}", file=sys.stderr)
        return NO_DEVICE
    options = Options(chosen.quick, chosen.rounds)
    data = Problem(options.problem())
    programs = trainers(data)
    checked = check(programs, data)
    searches = check_searches(options.quick)
    if "cupy_on_cpu" in sys.modules:
        print("benchmarks/gpu.py: all checks passed on an emulator; there is no GPU to measure", file=sys.stderr)
        return NO_DEVICE
    pin_threads()
    show(epoch(data, programs, checked, chosen), options.quick)
    show(phases(data), options.quick)
    for title, found in searches.items():
        show(search(title, found, chosen), options.quick)
    return 0


def trainers(problem: Problem) -> dict[str, Any]:
    """All training programs that can run here."""
    milk = importlib.import_module("peers.gpu_milk")
    programs = {"milk_np": milk.Program(problem, REFERENCE)}
    if torch_on_gpu():
        torch = importlib.import_module("peers.gpu_torch")
        programs |= {f"torch, {mode}": torch.Program(problem, REFERENCE, mode) for mode in TORCH_MODES}
    else:
        print("PyTorch finds no GPU: its rows are left out\n", flush=True)
    return programs


def torch_on_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def check(programs: dict[str, Any], problem: Problem) -> dict[str, float]:
    """Greatest difference of each program from the float64 one: gradients of step 1, losses of the first steps.

    Raises RuntimeError with the program's name where one is over its tolerance.
    """
    plain, found = Plain(problem, REFERENCE), {}
    truth = plain.gradients()
    losses = np.array(plain.run(CHECKED_STEPS))
    for name, program in programs.items():
        grads = program.gradients()
        off = {key: gap(grads[key], truth[key]) for key in truth if key[0] in "PW"}
        off["loss"] = float(np.abs(np.array(program.run(CHECKED_STEPS)) / losses - 1).max())
        found[name] = max(off.values())
        if found[name] > TOLERANCE:
            raise RuntimeError(f"{name} computes something else: {off}")
    return found


def gap(mine: np.ndarray, truth: np.ndarray) -> float:
    """Greatest difference over the greatest element."""
    return float(np.abs(mine - truth).max() / np.abs(truth).max())


def check_searches(quick: bool) -> dict[str, dict[str, Any]]:
    """Searches of every size, whose scores agree with each other and with float64 on the first queries."""
    found = {}
    for title, (queries, items) in {"smoke": (50, 2_000)}.items() if quick else SEARCHES.items():
        rng = np.random.default_rng(0)
        vectors = [rng.standard_normal((n, WIDTH), dtype=np.float32) for n in (queries, items)]
        modules = ["gpu_milk", *(["gpu_torch"] if torch_on_gpu() else [])]
        found[title] = {name: importlib.import_module(f"peers.{name}").Search(*vectors, K) for name in modules}
        exact = vectors[0][:50].astype(np.float64) @ vectors[1].T.astype(np.float64)
        best = -np.sort(-exact, axis=1)[:, :K]
        for name, each in found[title].items():
            if np.abs(each.search()[1][:50] - best).max() > SCORE_TOLERANCE:
                raise RuntimeError(f"{name}: scores differ from float64")
    return found


def timed(call: Callable[[], Any]) -> Callable[[], float]:
    """Seconds of a call that ends with a copy to the host, and so with the device idle."""

    def seconds() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return seconds


def epoch(problem: Problem, programs: dict[str, Any], checked: dict[str, float], chosen: Any) -> Outcome:
    """Seconds of an epoch of every program, and the floor under them."""
    calls = {name: timed(lambda p=program: p.run(problem.steps)) for name, program in programs.items()}
    seconds = interleave(calls, chosen.rounds, warmup=2, attempts=1)
    bottom = floor(problem)
    rows = [{"program": "floor: operations and bytes", "s per epoch": sum(bottom.values())}]
    rows += [
        {"program": name, "s per epoch": median(taken), "times milk_np": ratios(seconds, name, "milk_np").text()}
        for name, taken in seconds.items()
    ]
    notes = [
        device_name(),
        f"{problem.u.size:,} triplets ({problem.interactions} interactions) in {problem.steps} steps, widths "
        f"{problem.shape.widths}; preset reference; batches lie on the device, sampling not included; true float32.",
        f"Checked first against float64: greatest difference {max(checked.values()):.1e}.",
        "Floor: " + ", ".join(f"{name} {value:.3g} s" for name, value in bottom.items()),
    ]
    return Outcome("gpu_epoch", "Training epoch on a GPU", list(rows[-1]), rows, notes, {"seconds": dict(seconds)})


def floor(problem: Problem) -> dict[str, float]:
    """Seconds per epoch of the products at the card's best rate, and of the bytes that must move at its bandwidth.

    Products: 2 x 2 n D K operations a step for the n distinct items. Bytes: the feature rows are read once; W, its
    gradient and its moments are read and written by Adam; c, dc and the touched rows of P pass a few times.
    """
    from peers.gpu_limits import bandwidth, products_per_second

    D, dim, M = sum(problem.shape.widths), problem.shape.dim, len(problem.shape.widths)
    operations = moved = 0.0
    for step in range(problem.steps):
        u, i, j, _ = problem.batch(step)
        n, users = np.unique(np.concatenate((i, j))).size, np.unique(u).size
        operations += 4.0 * n * D * dim
        moved += 4.0 * (n * D + 7 * D * dim + 4 * M * n * dim + 7 * users * dim)
    return {"products": operations / products_per_second(), "bytes": moved / bandwidth()}


def phases(problem: Problem) -> Outcome:
    """Microseconds per step of every kernel, sampling included."""
    milk = importlib.import_module("peers.gpu_milk")
    spent = milk.Program(problem, REFERENCE, given=False, timed=True).phases(problem.steps)
    rows = [{"kernel": name, "microseconds per step": value * 1e6} for name, value in spent.items()]
    rows.append({"kernel": "all", "microseconds per step": sum(spent.values()) * 1e6})
    note = "Between events before and after each call; extract and its backward pass count all modalities."
    return Outcome("gpu_phases", "Phases of a step on a GPU", list(rows[0]), rows, [device_name(), note], {})


def search(title: str, programs: dict[str, Any], chosen: Any) -> Outcome:
    """Seconds of the search for the best items, results brought home."""
    seconds = interleave(
        {name: timed(each.search) for name, each in programs.items()}, chosen.rounds, warmup=2, attempts=1
    )
    rows = [
        {"program": name, "s": median(taken), "times milk_np": ratios(seconds, name, "gpu_milk").text()}
        for name, taken in seconds.items()
    ]
    subject = "gpu_topk_" + title.split()[0].replace(",", "")
    return Outcome(subject, f"Best {K} of the items on a GPU: {title}", list(rows[0]), rows, [device_name()], {})


def device_name() -> str:
    from milk_np.backends.cupy import description

    return description()


def show(outcome: Outcome, quick: bool) -> None:
    """Print the table, save it unless it was a smoke run."""
    print(outcome.table(), flush=True)
    if not quick:
        outcome.save()


if __name__ == "__main__":
    sys.exit(main())
