"""Compare the variants of a kernel on this machine: `python benchmarks/lab.py NAME [NAME ...]`.

NAME is forward, backward, topk, bounds, sampling or counting. Every variant is compared with the reference first. Then
they take turns, and the table gives medians of wall time and of CPU time (all threads), and the ratio to the engine's
own. On a busy machine CPU time is the one to trust. What the engine chooses is decided by the instruction set and the
caches, never by a measurement; the last lines say what it chose here and why.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from worker import THREAD_LIMITS, pin_threads

Call = Callable[[], object]

SPINNING = 0.1
"""Seconds after which idle threads of OpenBLAS and OpenMP sleep."""


@dataclass
class Bench:
    """Variants of a kernel, checked already, on one problem.

    work : what one call does, in `unit`; chosen : what the engine took, and why
    """

    title: str
    variants: Mapping[str, Call]
    work: float
    unit: str
    chosen: list[str]


def measure(variants: Mapping[str, Call], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds of every variant in every round; they take turns.

    Before a turn the threads of the one before fall asleep: OpenBLAS's spin for a while, and took a core from whoever
    came next. Then an untimed call wakes the variant's own.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, call in variants.items():
            time.sleep(SPINNING)
            call()
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return taken


def rows(bench: Bench, taken: Mapping[str, list[tuple[float, float]]]) -> list[dict[str, object]]:
    """The table's rows. The engine's variant is the first."""
    from harness import ratios

    cpu = {name: [pair[1] for pair in pairs] for name, pairs in taken.items()}
    engine, found = next(iter(taken)), []
    for name, pairs in taken.items():
        wall, busy = sorted(pair[0] for pair in pairs), sorted(cpu[name])
        middle = len(pairs) // 2
        row = {"variant": name, "ms": 1e3 * wall[middle], "CPU ms": 1e3 * busy[middle]}
        row[f"{bench.unit} by CPU time"] = bench.work / busy[middle]
        found.append(row | {"CPU time, times the engine's": ratios(cpu, name, engine).text()})
    return found


def main(arguments: list[str] | None = None) -> int:
    """Compare the kernels asked for."""
    from lab_kernels import KERNELS, instruction_set

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=sorted(KERNELS), metavar="NAME", help=", ".join(KERNELS))
    parser.add_argument("--rounds", type=int, default=9, help="measured turns of every variant (default: 9)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the engine's kernels and BLAS (default: 1)")
    parser.add_argument("--dim", type=int, default=64, help="latent width K (default: 64)")
    parser.add_argument("--half", action="store_true", help="float16 features")
    parser.add_argument("--quick", action="store_true", help="tiny problems: a smoke run whose figures mean nothing")
    chosen = parser.parse_args(arguments)
    from harness import cpu_model, markdown

    print(f"{cpu_model()}, {instruction_set()}, {chosen.threads} thread(s)\n")
    for name in chosen.names:
        bench = KERNELS[name](chosen)
        table = rows(bench, measure(bench.variants, 2 if chosen.quick else chosen.rounds))
        print("\n".join([f"### {bench.title}", "", *markdown(list(table[0]), table), ""]))
        print("\n".join(f"- {line}" for line in bench.chosen) + "\n", flush=True)
    return 0


def threads_asked(arguments: list[str]) -> str:
    """Value of --threads, which BLAS reads before anything is imported."""
    found = [later for option, later in pairwise(arguments) if option == "--threads"]
    found += [part.partition("=")[2] for part in arguments if part.startswith("--threads=")]
    return found[-1] if found else "1"


if __name__ == "__main__":
    import os

    pin_threads()
    os.environ.update(dict.fromkeys(THREAD_LIMITS, threads_asked(sys.argv[1:])))
    sys.exit(main())
