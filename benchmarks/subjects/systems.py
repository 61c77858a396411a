"""A training epoch of each of the paper's other systems, beside a program for PyTorch that takes the same batches.

Before anything is timed, the gradients of the first step and the losses of the first steps are compared, without
dropout. PyTorch is given its batches; this project draws its own meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from harness import Outcome, Seconds, installed, ratios
from options import Options
from worker import Timing, Worker

MINE = "milk_np"
SYSTEMS = ("mtpr", "gorec", "gar", "dropoutnet", "micro", "ccfcrec", "heater", "clcrec")
PEERS: dict[str, dict[str, bool]] = {"torch, eager": {}, "torch, compiled": {"compiled": True}}
COMPILED = ("mtpr", "gar", "dropoutnet", "heater")
"""Systems whose step `torch.compile` makes faster, or as fast; the others' it doesn't."""
CHECKED_STEPS = 3
STEPS = 6
"""Steps of a turn."""
GRADIENT_TOLERANCE = 2e-4  # greatest difference over the greatest element of the table or a hundredth of all tables'
LOSS_TOLERANCE = 1e-4  # relative
CANCELLING = ("_b1", "_first_beta", "item_b2")
"""Biases that the loss doesn't depend on: their gradients are rounding of what cancels."""


class Clocked(Worker):
    """Keeps what its calls took of the processor, all threads together."""

    def __init__(self, *args: Any) -> None:
        self.cpu: list[float] = []
        super().__init__(*args)

    def step(self, steps: int) -> Timing:
        """Seconds of so many steps."""
        taken = self.time("run", steps=steps)
        self.cpu.append(self.last["cpu"])
        return taken


def start(system: str, problem: Path, given: Path, peer: dict[str, bool] | None, still: bool) -> Clocked:
    """The worker of a program; `peer` are the options of PyTorch's, None for this project's, which writes `given`."""
    if peer is None:
        worker = Clocked("peers.systems_milk", {"problem": str(problem), "system": system, "still": still})
        worker.call("save", method="given", path=str(given))
        return worker
    return Clocked("peers.systems_torch", {"given": str(given), "system": system, "still": still, **peer})


def gradients(worker: Worker, path: Path) -> dict[str, np.ndarray]:
    """Gradients of the first step."""
    with np.load(worker.call("save", method="gradients", path=str(path))) as arrays:
        return dict(arrays)


def check(system: str, mine: Worker, theirs: Worker, scratch: Path) -> dict[str, float]:
    """Greatest differences of gradients and losses; RuntimeError over a tolerance."""
    ours, others = (gradients(worker, scratch / "gradients.npz") for worker in (mine, theirs))
    largest = max(float(np.abs(x).max()) for x in ours.values())
    off = {name: gap(name, x, others.get(name), largest) for name, x in ours.items()}
    losses = [np.array(worker.call("run", steps=CHECKED_STEPS)) for worker in (mine, theirs)]
    loss = float(np.abs(losses[0] / losses[1] - 1).max())
    if max(off.values()) > GRADIENT_TOLERANCE or loss > LOSS_TOLERANCE:
        raise RuntimeError(f"{system}: programs compute something else: gradients {off}, losses {losses}")
    return {"gradients": max(off.values()), "losses": loss}


def gap(name: str, mine: np.ndarray, theirs: np.ndarray | None, largest: float) -> float:
    """Greatest difference over the greatest element, or over a share of the largest of all tables."""
    theirs, share = np.zeros_like(mine) if theirs is None else theirs, 1.0 if name.endswith(CANCELLING) else 0.01
    scale = max(share * largest, float(np.abs(theirs).max()))
    return float(np.abs(mine - theirs).max()) / scale


def measure(options: Options) -> list[Outcome]:
    """Seconds of an epoch of every system."""
    if not installed("torch"):
        raise RuntimeError("PyTorch is not installed")
    rows, notes, raw = [], [], {}
    for system in SYSTEMS:
        found, note, taken = one(system, options)
        rows += found
        notes.append(note)
        raw[system] = taken
    shape = options.shape
    about = (
        f"{shape.users:,} users, {shape.items:,} items, widths {shape.widths}; default settings, pretrained tables "
        "from singular vectors. PyTorch is given its batches, milk_np draws its own. An epoch of dropoutnet is here a "
        "pass over all users' items."
    )
    return [Outcome("systems", "Training epoch of the other systems", list(rows[0]), rows, [about, *notes], raw)]


def one(system: str, options: Options) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
    """Rows, note and raw figures of a system."""
    folder, scratch = options.problem(), Path(options.scratch.name)
    given = scratch / f"{system}.npz"
    mine = start(system, folder, given, None, True)
    with mine, start(system, folder, given, {}, True) as theirs:
        checked = check(system, mine, theirs, scratch)
    peers = {name: peer for name, peer in PEERS.items() if not peer or (system in COMPILED and not options.quick)}
    workers = {MINE: start(system, folder, given, None, False)}
    try:
        workers |= {name: start(system, folder, given, peer, False) for name, peer in peers.items()}
        steps = workers[MINE].call("steps")
        calls = {name: lambda w=worker: w.step(min(STEPS, steps)) for name, worker in workers.items()}
        seconds = options.interleave(calls, 5)
    finally:
        for worker in workers.values():
            worker.close()
        given.unlink()
    cpu = {name: [worker.cpu[turn] for turn in seconds.turns] for name, worker in workers.items()}
    note = (
        f"{system}: {seconds.note()} Checked first: greatest gradient difference {checked['gradients']:.1e} of the "
        f"greatest element, greatest relative loss difference {checked['losses']:.1e}."
    )
    return table(system, steps, seconds, cpu), note, {"seconds": seconds, "cpu": cpu, "checked": checked}


def table(system: str, steps: int, seconds: Seconds, cpu: dict[str, list[float]]) -> list[dict[str, Any]]:
    """A row for each program."""
    turn = min(STEPS, steps)
    return [
        {
            "system": system,
            "program": name,
            "steps": steps,
            "ms a step": 1e3 * median(taken) / turn,
            "s per epoch": median(taken) / turn * steps,
            "times milk_np": ratios(seconds, name, MINE).text(),
            "CPU s per epoch": median(cpu[name]) / turn * steps,
            "CPU, times": ratios(cpu, name, MINE).text(),
        }
        for name, taken in seconds.items()
    ]
