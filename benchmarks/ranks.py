"""What a training step of several ranks takes, and how much of it the exchanges.

`mpiexec -n 2 python benchmarks/ranks.py`; the shape of Baby by default. Without mpiexec it measures one process. Prints
one JSON object on rank 0; times are medians of steps, and those of exchanges hold the waiting for the slowest rank.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median
from typing import Any, cast

from milk_np.data import make_synthetic
from milk_np.data.share import Share, share_users
from milk_np.machine.environment import environment
from milk_np.models.extractors.shared_step import step_bytes
from milk_np.models.extractors.trainer import TripletTrainer
from milk_np.models.milk.model import Milk
from milk_np.ranks.group import ALONE, Ranks
from milk_np.ranks.launch import launched, open_ranks


class Timed:
    """Ranks whose exchanges of rows are timed."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks, self.seconds, self.bytes = ranks, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ranks, name)

    def all_rows(self, table: Any, bounds: Any) -> None:
        """The exchange."""
        start = time.perf_counter()
        self._ranks.all_rows(table, bounds)
        self.seconds += time.perf_counter() - start
        self.bytes += table.nbytes


def main() -> None:
    """Train some steps and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=19_445)
    parser.add_argument("--items", type=int, default=7_050)
    parser.add_argument("--pairs", type=int, default=160_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[4096, 1024])
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    ranks = Timed(open_ranks() if launched() > 1 else ALONE)
    widths = {f"m{m}": width for m, width in enumerate(given.widths)}
    whole = make_synthetic(given.users, given.items, given.pairs, widths)
    model = Milk(batch_size=given.batch, threads=1)
    ds = whole
    if ranks.size > 1:
        ds, share = share_users(whole, cast(Ranks, ranks))
        model.share = Share(cast(Ranks, ranks), share.first_user, share.n_users, share.whole)
    trainer = cast(TripletTrainer, model.trainer(ds))
    took = [_step(trainer, ranks, step % trainer.steps) for step in range(given.steps + 3)][3:]
    found = {
        "ranks": ranks.size,
        "step_ms": 1e3 * median(seconds for seconds, _ in took),
        "exchanges_ms": 1e3 * median(exchanges for _, exchanges in took),
        "bytes_a_step": ranks.bytes // (given.steps + 3),
        "bytes_at_most": step_bytes(given.batch, min(2 * given.batch, given.items), 64, given.widths),
        "machine": environment(),
    }
    if ranks.first:
        print(json.dumps(found, indent=2))


def _step(trainer: TripletTrainer, ranks: Timed, step: int) -> tuple[float, float]:
    before, start = ranks.seconds, time.perf_counter()
    trainer.step(1, step)
    return time.perf_counter() - start, ranks.seconds - before


if __name__ == "__main__":
    main()
