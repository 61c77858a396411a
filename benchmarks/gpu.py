"""Benchmarks on a GPU: `python benchmarks/gpu.py [--only SUBJECT ...] [--quick] [--rounds N]`.

Correctness comes first: gradients, losses and scores of every program are compared with a float64 program before
anything is timed. Subjects: an epoch, the phases of a step, the search for the best items, and the fit of the kernel
profile; against PyTorch (eager, compiled, captured in a CUDA graph) and search libraries on the same card, and against
a floor: operations and bytes over what the card does at best. Each subject writes benchmarks/results/gpu/CARD/NAME.json
as it ends. Without a GPU it says why and ends with exit code 5; on an emulator it checks and ends with 5, for there is
nothing to time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from gpu_subjects import closed_form, common, epoch, search
from harness import RESULTS, Outcome
from options import Options
from worker import pin_threads

from milk_np.backends import select

NO_DEVICE = 5
SUBJECTS: dict[str, Callable[[Options, bool], Iterator[Outcome]]] = {
    "epoch": epoch.measure,
    "phases": epoch.phases,
    "topk": search.measure,
    "closed-form": closed_form.measure,
}
"""Each yields its outcomes; told not to time, it checks alone."""


def main(arguments: list[str] | None = None) -> int:
    """Check and time; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), help="subjects (default: all)")
    parser.add_argument("--quick", action="store_true", help="a smoke run on a tiny problem; saves nothing")
    parser.add_argument("--alone", action="store_true", help="this project's programs alone; saves nothing")
    parser.add_argument("--rounds", type=int, default=7, help="measured turns of every program")
    chosen = parser.parse_args(arguments)
    problem = select.gpu_problem()
    if problem is not None:
        print(f"benchmarks/gpu.py: no GPU to measure: {problem}", file=sys.stderr)
        return NO_DEVICE
    emulated = "cupy_on_cpu" in sys.modules
    options = Options(chosen.quick or emulated, chosen.rounds)
    common.ALONE = chosen.alone
    pin_threads()
    for name in chosen.only:
        for outcome in SUBJECTS[name](options, not emulated):
            print(outcome.table(), flush=True)
            if not (options.quick or chosen.alone):
                outcome.save(RESULTS / "gpu" / common.card())
    if emulated:
        print("benchmarks/gpu.py: all checks passed on an emulator; there is no GPU to measure", file=sys.stderr)
        return NO_DEVICE
    return 0


if __name__ == "__main__":
    sys.exit(main())
