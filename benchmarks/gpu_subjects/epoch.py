"""An epoch of training, every program checked against float64 first, and the floor under all of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from harness import Outcome, interleave, ratios
from objective import REFERENCE
from options import Options
from peers.numpy_plain import Program as Plain
from shapes import Problem

from gpu_subjects.common import device_name, gap, peer, timed, torch_on_gpu

CHECKED_STEPS = 5
TOLERANCE = 1e-4  # greatest difference over greatest element, float32 against float64
TORCH_MODES = ("eager", "compiled", "graph", "compiled graph")


@cache
def _problem(folder: Path) -> Problem:
    return Problem(folder)


def measure(options: Options, timing: bool) -> Iterator[Outcome]:
    """Check every program, then time an epoch of each in turn."""
    problem = _problem(options.problem())
    programs = trainers(problem)
    checked = check(programs, problem)
    if not timing:
        return
    calls = {name: timed(lambda p=program: p.run(problem.steps)) for name, program in programs.items()}
    seconds = interleave(calls, options.rounds or 7, warmup=2, attempts=1)
    bottom = floor(problem)
    rows: list[dict[str, Any]] = [
        {"program": "floor: operations and bytes", "ms per epoch": 1e3 * sum(bottom.values())}
    ]
    rows += [
        {"program": name, "ms per epoch": 1e3 * median(taken), "times milk_np": ratios(seconds, name, "milk_np").text()}
        for name, taken in seconds.items()
    ]
    rows[0]["times milk_np"] = sum(bottom.values()) / median(seconds["milk_np"])
    notes = [
        device_name(),
        f"{problem.u.size:,} triplets ({problem.interactions} interactions) in {problem.steps} steps, widths "
        f"{problem.shape.widths}; preset reference; batches lie on the device, sampling not included; true float32.",
        f"Checked first against float64: greatest difference {max(checked.values()):.1e}.",
        "Floor: " + ", ".join(f"{name} {1e3 * value:.3g} ms" for name, value in bottom.items()),
    ]
    raw = {"seconds": dict(seconds), "floor": bottom}
    yield Outcome("epoch", "Training epoch on a GPU", list(rows[-1]), rows, notes, raw)


def trainers(problem: Problem) -> dict[str, Any]:
    """All training programs that can run here."""
    milk = peer("gpu_milk")
    programs = {
        "milk_np": milk.Program(problem, REFERENCE),
        "milk_np, launch by launch": milk.Program(problem, REFERENCE, replayed=False),
    }
    if torch_on_gpu():
        programs |= {f"torch, {mode}": peer("gpu_torch").Program(problem, REFERENCE, mode) for mode in TORCH_MODES}
    else:
        print("PyTorch finds no GPU: its rows are left out\n", flush=True)
    return programs


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


def floor(problem: Problem) -> dict[str, float]:
    """Seconds per epoch of the products at the card's best rate, and of the bytes that must move at its bandwidth.

    Products: 2 x 2 n D K operations a step for the n distinct items. Bytes: the feature rows are read once; W, its
    gradient and its moments are read and written by Adam; c, dc and the touched rows of P pass a few times.
    """
    limits = peer("gpu_limits")
    D, dim, M = sum(problem.shape.widths), problem.shape.dim, len(problem.shape.widths)
    operations = moved = 0.0
    for step in range(problem.steps):
        u, i, j, _ = problem.batch(step)
        n, users = np.unique(np.concatenate((i, j))).size, np.unique(u).size
        operations += 4.0 * n * D * dim
        moved += 4.0 * (n * D + 7 * D * dim + 4 * M * n * dim + 7 * users * dim)
    return {"products": operations / limits.products_per_second(), "bytes": moved / limits.bandwidth()}


def phases(options: Options, timing: bool) -> Iterator[Outcome]:
    """Microseconds per step of every kernel, each launched by itself, sampling included."""
    if not timing:
        return
    problem = _problem(options.problem())
    spent = peer("gpu_milk").Program(problem, REFERENCE, given=False, timed=True).phases(problem.steps)
    rows = [{"kernel": name, "microseconds per step": value * 1e6} for name, value in spent.items()]
    rows.append({"kernel": "all", "microseconds per step": sum(spent.values()) * 1e6})
    note = "Between events before and after each call; extract and its backward pass count all modalities."
    yield Outcome("phases", "Phases of a step on a GPU", list(rows[0]), rows, [device_name(), note], {})
