"""What a kernel profile costs on many workers: a model of time and traffic, from constants measured on this machine.

`python benchmarks/planning.py measure` measures the constants, `check` compares the model with a simulation and with
fits on Dask clusters of 1, 2 and 4 processes (planning_check.py), `tables` writes the tables of docs/planning.md, which
the first two do as well. All of it is kept in results/planning.json.

A phase is so many tasks of equal work. The model adds what the busiest rank computes, in waves of tasks, to what passes
the busiest link, as if nothing overlapped; the client's link is the busiest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import RESULTS, machine, markdown

FILE = RESULTS / "planning.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "planning.md"
BEGIN, END = "<!-- tables: written by planning.py -->", "<!-- end of tables -->"
RANKS = (4, 64, 1024)
LINK = 1.25e9
"""Bytes a second of a rank's link: 10 Gbit/s. Assumed: here is one machine."""
THREADS = 8
"""Threads of a rank, each as fast as the one that was measured. Assumed."""


@dataclass(frozen=True)
class Sizes:
    """What is to be fitted."""

    users: int
    items: int
    pairs: int
    widths: tuple[int, ...]
    landmarks: int
    width: int
    """Numbers of a vector that lists are made with; the fit has as many as landmarks, and cuts them at its end."""
    vectors: int
    """Vectors that the search for the smoothing's directions multiplies with the pairs, 16 at a time."""
    topk: int = 20

    @property
    def sets(self) -> int:
        """Sets of owned modalities."""
        return int(2 ** len(self.widths)) - 1


RANK = 64
"""Of the smoothing: the default of its setting."""
PLAN = Sizes(100_000_000, 1_000_000, 10_000_000_000, (512, 384), 1024, 64, 192)


@dataclass(frozen=True)
class Phase:
    """What one phase asks of the cluster."""

    name: str
    work: dict[str, float]
    """Amounts by constant."""
    tasks: int
    """Parts that can be worked on at a time."""
    calls: int = 1
    """How often the tasks are made, one call after another; amounts and bytes are those of all calls."""
    state: float = 0.0
    """Bytes that every worker gets."""
    out: float = 0.0
    """Bytes that the client sends with the parts."""
    between: float = 0.0
    """Bytes that go from worker to worker, where parts are added."""
    back: float = 0.0
    """Bytes that the client gets."""

    def cpu(self, constants: Mapping[str, float]) -> float:
        """Thread seconds of all workers together."""
        work = sum(amount * constants[name] for name, amount in self.work.items())
        return work + self.calls * self.tasks * constants["handling"]

    def traffic(self, ranks: int) -> float:
        """Bytes on all links together; a state that goes to one worker is passed on by the others."""
        return self.state * min(ranks, self.tasks) + self.out + self.between + self.back

    def compute(self, ranks: int, constants: Mapping[str, float], threads: float) -> float:
        """Seconds of the busiest rank."""
        waves = -(-self.tasks // ranks)
        return waves * self.cpu(constants) / (self.tasks * threads) + self.calls * self.tasks * constants["task"]

    def transfer(self, ranks: int, link: float) -> float:
        """Seconds of the client's link, and of a worker's for what workers exchange."""
        busy = min(ranks, self.tasks)
        return (self.state + self.out + self.back + (self.state + self.between / busy if busy > 1 else 0)) / link

    def seconds(
        self, ranks: int, constants: Mapping[str, float], threads: float = THREADS, link: float = LINK
    ) -> float:
        """Compute and transfer, one after the other."""
        return self.compute(ranks, constants, threads) + self.transfer(ranks, link)


def fit_phases(sizes: Sizes) -> list[Phase]:
    """The fit as milk_np/models/kernel_profile and milk_np/dask make it."""
    from milk_np.models.kernel_profile.need import BLOCK_ROWS, COLUMN_BYTES, MOST_COLUMNS, PRECISE_ITEMS
    from milk_np.models.kernel_profile.spans import spans, user_spans

    n, P, L, S = sizes.items, sizes.pairs, sizes.landmarks, sizes.sets
    D, M = sum(sizes.widths), len(sizes.widths)
    users, items = len(user_spans(sizes.users, n, P)), len(spans(n, BLOCK_ROWS["cpu"]))
    passes = -(-L // columns_of(COLUMN_BYTES["cpu"] // (4 * n), L))
    maps = 4.0 * D * L  # the landmarks' content
    owned = float(n * (M + 8))  # which items there are, and what they own

    def similar(times: int, products: float, **more: float) -> dict[str, float]:
        """Similarities made `times` over, and products with them."""
        return {
            "multiply": times * 2.0 * n * D * L + products,
            "exponential": float(times * M * n * L),
            "gathered": float(times * n * D),
            **more,
        }

    def pairs(name: str, columns: int, at_a_time: int, number: float = 4.0) -> Phase:
        size, calls = number * n * columns, -(-columns // at_a_time)
        return Phase(name, {"pair": 2.0 * P * columns}, users, calls, state=size, **added_up(users, size))

    return [
        Phase("lists of pairs", {"sorted": float(P)}, users, **added_up(users, 8.0 * n)),
        pairs("smoothing", sizes.vectors, 16, 8.0 if n <= PRECISE_ITEMS else 4.0),
        pairs("choosing the kernel", RANK, MOST_COLUMNS["cpu"]),
        Phase(
            "normal equations", similar(1, 2.0 * S * n * L * L, gram=float(S * n * L * L)), items,
            state=owned + maps + 4.0 * S * L * L, **added_up(items, 8.0 * S * L * L),
        ),
        Phase(
            "features", similar(passes, 2.0 * n * L * L), items, passes,
            state=passes * (owned + maps) + 4.0 * L * L, back=4.0 * n * L,
        ),
        pairs("products with the pairs", L, MOST_COLUMNS["cpu"]),
        Phase(
            "targets", similar(passes, passes * 2.0 * S * n * L * L, add=2.0 * S * n * L * L), items, passes,
            state=passes * (owned + maps + 4.0 * S * L * L), out=4.0 * n * L, **added_up(items, 8.0 * S * L * L),
        ),
        Phase(
            "history vectors", similar(1, 2.0 * n * L * L), items,
            state=owned + maps + 4.0 * L * L, back=4.0 * n * L,
        ),
    ]  # fmt: skip


def columns_of(fit: int, L: int) -> int:
    """Columns of the targets that are worked on at a time, where `fit` fit into memory."""
    return L if fit >= L else max(64, fit // 64 * 64)


def added_up(parts: int, size: float) -> dict[str, float]:
    """Traffic of parts of `size` bytes: they are added in groups by workers, and the groups' sums by the client."""
    from milk_np.models.kernel_profile.spans import GROUP

    groups = -(-parts // GROUP)
    return {"between": (parts - groups) * size, "back": groups * size}


def lists_phase(sizes: Sizes) -> Phase:
    """Lists of all users among all items; workers read the model from the shared disk."""
    from milk_np.dask.model import BLOCK_USERS

    U, n, P, K = sizes.users, sizes.items, sizes.pairs, sizes.width
    work = {"score": 2.0 * U * n * K, "profile": float(P * K), "row": float(U * sizes.topk)}
    return Phase("lists of all users", work, -(-U // BLOCK_USERS))


def memory(sizes: Sizes, ranks: int) -> dict[str, float]:
    """Bytes that the steering process and the fullest worker hold, but for the features, which are mapped files."""
    U, n, P, L, K = sizes.users, sizes.items, sizes.pairs, sizes.landmarks, sizes.width
    from milk_np.models.kernel_profile.need import COLUMN_BYTES
    from milk_np.models.kernel_profile.spans import user_spans

    users = len(user_spans(U, n, P))
    mine = -(-users // ranks)
    column = min(4.0 * n * L, COLUMN_BYTES["cpu"])
    return {
        "client": 20.0 * P + 8.0 * U + 2 * column + 4.0 * n * L,  # user, item, their copy by user, their keys
        "worker, fit": mine * (12.0 * P + 8.0 * U) / users + mine * 8.0 * n + 2 * 4.0 * n * 64,
        "worker, lists": 4.0 * P + 8.0 * U + 2 * 4.0 * n * K,
    }


def table(saved: Mapping[str, Any]) -> list[str]:
    """The plan, phase by phase."""
    constants = saved["constants"]["plan"]
    rows = []
    for phase in [*fit_phases(PLAN), lists_phase(PLAN)]:
        row: dict[str, Any] = {
            "phase": phase.name, "parts": f"{phase.tasks:,}", "thread hours": f"{phase.cpu(constants) / 3600:,.2f}",
            "client's traffic": size_text(phase.state + phase.out + phase.back),
        }  # fmt: skip
        rows.append(row | {f"{ranks:,} ranks": clock(phase.seconds(ranks, constants)) for ranks in RANKS})
    whole = {
        f"{ranks:,} ranks": clock(sum(phase.seconds(ranks, constants) for phase in fit_phases(PLAN))) for ranks in RANKS
    }
    rows.insert(-1, {"phase": "**fit**", "parts": "", "thread hours": "", "client's traffic": "", **whole})
    return markdown(list(rows[0]), rows)


def memory_table() -> list[str]:
    """What each process holds."""
    found = {ranks: memory(PLAN, ranks) for ranks in RANKS}
    rows = [
        {"process": name} | {f"{ranks:,} ranks": size_text(found[ranks][name]) for ranks in RANKS}
        for name in found[RANKS[0]]
    ]
    return markdown(list(rows[0]), rows)


def check_table(saved: Mapping[str, Any]) -> list[str]:
    """The model beside what was measured."""
    rows = []
    for each in saved["check"]["runs"]:
        model, run = each["model"], each["run"]
        times = [f"{x:,.1f}" for x in (model["seconds"], each["simulation"], run["seconds"])]
        rows.append(
            {
                "workers": each["workers"],
                "CPU, s": f"{model['cpu']:,.1f} / {run['cpu']:,.1f}",
                "to the client, MB": f"{model['back'] / 1e6:,.1f} / {run['back'] / 1e6:,.1f}",
                "from the client, MB": f"{model['out'] / 1e6:,.1f} / {run['out'] / 1e6:,.1f}",
                "time, s: model / simulation / run": " / ".join(times),
                "same bits": "yes" if each["same bits"] else "NO",
            }
        )
    return markdown(list(rows[0]), rows)


def constants_table(saved: Mapping[str, Any]) -> list[str]:
    """Measured constants in words."""
    found = saved["constants"]["plan"]
    rates = {"multiply": "products, flop", "gram": "Gram matrices, multiply-add", "add": "sums of products, flop",
             "score": "search, flop", "exponential": "exponentials", "gathered": "numbers of feature rows",
             "pair": "pairs × columns, either way", "profile": "pairs × numbers, profiles", "sorted": "pairs sorted",
             "row": "rows of Parquet"}  # fmt: skip
    rows = [{"one thread, in a second": text, "": f"{1 / found[name]:.2g}"} for name, text in rates.items()]
    rows.append({"one thread, in a second": "tasks of Dask, all workers together", "": f"{1 / found['task']:.2g}"})
    return markdown(list(rows[0]), rows)


def size_text(size: float) -> str:
    """Bytes in decimal units, as links have them."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB" if size else "–"


def clock(seconds: float) -> str:
    """Seconds as a reader would say them."""
    if seconds >= 5400:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:,.1f} min" if seconds >= 90 else f"{seconds:,.1f} s"


def body(saved: Mapping[str, Any]) -> str:
    """The tables of the page."""
    where, check = saved["machine"], saved["check"]
    parts = [
        "### Time", "", *table(saved), "", "### Memory", "", *memory_table(), "", "### Constants", "",
        *constants_table(saved), "", "### Check", "", *check_table(saved), "",
        f"Model / run of {check['users']:,} users, {check['items']:,} items, {check['pairs']:,} pairs, "
        f"{check['landmarks']} landmarks; {saved['date']}, {where['cpu']}, {where['cores']} cores, of which other "
        f"processes took {100 * check['others']:.0f} % meanwhile.",
    ]  # fmt: skip
    return "\n".join(parts)


def filled(text: str) -> str:
    """The page with the tables of the saved results."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{body(json.loads(FILE.read_text()))}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("measure", "check", "tables"))
    what = parser.parse_args().what
    if what != "tables":
        import planning_check

        saved = json.loads(FILE.read_text()) if FILE.exists() else {}
        saved |= planning_check.measured() if what == "measure" else planning_check.checked(saved["constants"]["check"])
        where = machine()
        saved |= {"machine": where, "date": where.pop("date", None) or planning_check.today()}
        FILE.write_text(json.dumps(saved, indent=1) + "\n")
    if "check" in json.loads(FILE.read_text()):
        PAGE.write_text(filled(PAGE.read_text()))


if __name__ == "__main__":
    main()
