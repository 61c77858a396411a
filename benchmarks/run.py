"""Run the benchmarks: `python benchmarks/run.py [--only SUBJECT ...] [--quick]`.

Writes benchmarks/results/SUBJECT.json and prints the tables in Markdown. `--quick` is a smoke run on a tiny
problem whose figures mean nothing; it leaves the results alone.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from harness import Outcome, machine
from options import Options
from worker import pin_threads

SUBJECTS = ("epoch", "step", "sampling", "evaluation", "topk", "gather", "optimiser", "startup", "memory")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--quick", action="store_true", help="smoke run on a tiny problem; saves nothing")
    parser.add_argument("--rounds", type=int, help="measured turns of every program")
    return parser.parse_args(arguments)


def show(outcomes: list[Outcome], quick: bool) -> None:
    """Print the tables, save them unless it was a smoke run."""
    for outcome in outcomes:
        print(outcome.table(), flush=True)
        if not quick:
            outcome.save()


def main(arguments: list[str] | None = None) -> int:
    """Run the subjects asked for; 1 when one failed."""
    chosen = parse(arguments)
    options = Options(chosen.quick, chosen.rounds)
    about = machine()
    print(f"{about['cpu']}, {about['cores']} cores; {about['versions']}\n", flush=True)
    pin_threads()
    failed = []
    for name in chosen.only or SUBJECTS:
        begin = time.perf_counter()
        try:
            show(importlib.import_module(f"subjects.{name}").measure(options), chosen.quick)
        except Exception as error:  # one failing subject must not hide the others
            failed.append(name)
            print(f"{name} failed: {type(error).__name__}: {error}\n", flush=True)
        print(f"({name}: {time.perf_counter() - begin:.0f} s)\n", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
