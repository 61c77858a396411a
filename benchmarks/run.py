"""Run the benchmarks: `python benchmarks/run.py [--only SUBJECT ...] [--isa avx2] [--quick]`.

Writes benchmarks/results/SUBJECT.json and prints the tables in Markdown. `--isa avx2` holds every program to AVX2,
checks that each kept to it, and writes to benchmarks/results/avx2. `--quick` is a smoke run on a tiny problem whose
figures mean nothing; it leaves the results alone.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

import isa
import worker
from harness import Outcome, machine
from options import Options
from ran import held

SUBJECTS = (
    "epoch", "step", "systems", "kernels", "sampling", "evaluation", "topk", "gather", "optimiser", "startup",
    "first-use", "memory",
)  # fmt: skip


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", type=hyphens, choices=SUBJECTS, metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}"
    )
    parser.add_argument("--isa", choices=isa.ISAS, default="native", help="instruction set (default: native)")
    parser.add_argument("--quick", action="store_true", help="smoke run on a tiny problem; saves nothing")
    parser.add_argument("--rounds", type=int, help="measured turns of every program")
    chosen = parser.parse_args(arguments)
    if reason := isa.unfit(chosen.isa):
        parser.error(f"--isa {chosen.isa}: {reason}")
    return chosen


def hyphens(name: str) -> str:
    """A subject's name as it is written here: its file and its results have underscores."""
    return name.replace("_", "-")


def measured(name: str, options: Options) -> list[Outcome]:
    """Tables of a subject, with what its programs ran; RuntimeError if one left the instruction set."""
    worker.RAN.clear()
    outcomes: list[Outcome] = importlib.import_module(f"subjects.{name.replace('-', '_')}").measure(options)
    ran = dict(worker.RAN)
    breaches = [f"{program}: {what}" for program, found in ran.items() for what in held(options.isa, found)]
    if breaches:
        raise RuntimeError(f"not held to {options.isa}: {'; '.join(breaches)}")
    for outcome in outcomes:
        outcome.isa, outcome.ran = options.isa, ran
    return outcomes


def show(outcomes: list[Outcome], quick: bool) -> None:
    """Print the tables, save them unless it was a smoke run."""
    for outcome in outcomes:
        print(outcome.table(), flush=True)
        if not quick:
            outcome.save()
    for program, found in outcomes[0].ran.items():
        print(f"- {program} ran {found}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the subjects asked for; 1 when one failed."""
    chosen = parse(arguments)
    options = Options(chosen.quick, chosen.rounds, chosen.isa)
    about = machine()
    print(f"{about['cpu']}, {about['cores']} cores, {chosen.isa}; {about['versions']}\n", flush=True)
    worker.pin_threads()
    isa.hold(chosen.isa)
    failed = []
    for name in chosen.only or SUBJECTS:
        begin = time.perf_counter()
        try:
            show(measured(name, options), chosen.quick)
        except Exception as error:  # one failing subject must not hide the others
            failed.append(name)
            print(f"{name} failed: {type(error).__name__}: {error}\n", flush=True)
        print(f"({name}: {time.perf_counter() - begin:.0f} s)\n", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
