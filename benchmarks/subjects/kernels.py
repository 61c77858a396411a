"""The engine's kernels alone, by width: against the rate of square matrices, and against their share of K = 64."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from harness import Outcome, Seconds, Spread
from options import Options
from worker import THREAD_LIMITS, Timing, Worker

WIDTHS = (1, 17, 64, 100, 256)
BASE = 64
SQUARE = 1024
LEAST = 20.0  # billions of operations of a turn, a tenth of a second or two; less where products are narrow
MOST_CALLS = 20
CLIFF, SHARE = 1.5, 0.85  # goals: most times the share of operations, least share of the rate of square matrices


class Case(NamedTuple):
    """A kernel on a type of features and a width."""

    kernel: str
    half: bool
    width: int

    @property
    def name(self) -> str:
        return " ".join(map(str, self))

    @property
    def text(self) -> str:
        return f"{self.kernel}, {'float16' if self.half else 'float32'}, K = {self.width}"


REFERENCE = Case("square", False, SQUARE)
PRODUCTS = [Case(kernel, half, K) for kernel in ("x W", "x^T g") for half in (False, True) for K in WIDTHS]
WIDE = Case("best 20, all scores", False, 1024)
SEARCHES = [Case("best 20", False, BASE), WIDE, Case("best 20", False, 1024)]
COLUMNS = ["kernel", "features", "K", "ms", "GFLOP/s", "of the square rate", "times its share of K = 64"]


def cpu_time(worker: Worker, case: Case, work: float) -> Timing:
    """CPU seconds of a call, the mean of as many as fill a turn."""
    repeat = max(1, min(MOST_CALLS, math.ceil(LEAST / work)))
    taken = worker.time("run", name=case.name, repeat=repeat)
    return Timing(worker.last["cpu"] / repeat, taken.others)


def measure(options: Options) -> list[Outcome]:
    """One table, of one thread."""
    one = dict.fromkeys(THREAD_LIMITS, "1")
    cases = [REFERENCE, *PRODUCTS, *SEARCHES]
    with Worker("peers.kernels", {"quick": options.quick}, one) as worker:
        work = {case: worker.call("prepare", **case._asdict()) for case in cases}
        calls: dict[str, Callable[[], float]] = {
            case.name: lambda case=case: cpu_time(worker, case, work[case]) for case in cases
        }
        seconds = options.interleave(calls, 9)
    return [report(seconds, work)]


def report(seconds: Seconds, work: dict[Case, float]) -> Outcome:
    """The table, and which goals it misses."""
    rate, share = rates(seconds, work), shares(seconds, work)
    rows: list[dict[str, Any]] = []
    for case in work:
        taken = median(seconds[case.name])
        features = "float16" if case.half else "float32"
        rows.append({"kernel": case.kernel, "features": features, "K": case.width, "ms": 1e3 * taken})
        rows[-1]["GFLOP/s"] = work[case] / taken
        rows[-1]["of the square rate"] = rate[case].text()
        rows[-1] |= {COLUMNS[-1]: share[case].text()} if case in share else {}
    notes = [
        "One thread, CPU time: 2,808 scattered rows of 4,096 numbers; searches of 1,024 queries among 20,000 items of "
        f"random whole numbers, GFLOP/s by all products; square: OpenBLAS, {SQUARE:,} x {SQUARE:,}.",
        "Checked first: products against float64 within 1e-5 of the greatest, lists against NumPy's, equal.",
        *goals(rate, share),
        seconds.note(),
    ]
    return Outcome("kernels", "Kernels alone, by width", COLUMNS, rows, notes, {"seconds": seconds})


def rates(seconds: Seconds, work: dict[Case, float]) -> dict[Case, Spread]:
    """Rate of each case over that of square matrices, round by round."""
    square = [work[REFERENCE] / taken for taken in seconds[REFERENCE.name]]
    return {
        case: Spread.of([work[case] / taken / of for taken, of in zip(seconds[case.name], square, strict=True)])
        for case in work
    }


def shares(seconds: Seconds, work: dict[Case, float]) -> dict[Case, Spread]:
    """Time of each product over its share of the operations of float32 rows at K = 64, round by round."""
    found = {}
    for case in PRODUCTS:
        base, less = Case(case.kernel, False, BASE), BASE / case.width
        pairs = zip(seconds[case.name], seconds[base.name], strict=True)
        found[case] = Spread.of([less * taken / whole for taken, whole in pairs])
    return found


def goals(rate: dict[Case, Spread], share: dict[Case, Spread]) -> list[str]:
    """What was missed of the goals set in advance, in words."""
    measured = [Case(kernel, False, BASE) for kernel in ("x W", "x^T g")] + [WIDE]
    slow = [f"{case.text} ({rate[case].median:.2f})" for case in measured if rate[case].median < SHARE]
    cliffs = [f"{case.text} ({each.median:.2g})" for case, each in share.items() if each.median > CLIFF]
    return [
        f"Goal, at least {SHARE} of the square rate at K = 64 and in searches of 1,024: {missed(slow)}.",
        f"Goal, at most {CLIFF} times the share: {missed(cliffs)}.",
    ]


def missed(which: list[str]) -> str:
    """Verdict on a goal."""
    return f"missed by {'; '.join(which)}" if which else "reached"
