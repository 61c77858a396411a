"""What the longest kernels reach: `python benchmarks/gpu_longest.py run` under ncu, then `... table FILE.csv`.

`run` launches steps of the Baby shape one by one and a search, for ncu to look at. `table` reads the CSV that ncu wrote
and prints, for the kernels that take most time in all, their seconds, bytes per second of device memory and operations
per second, beside what the card can do (`--bandwidth`, `--peak`).
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

METRICS = {
    "gpu__time_duration.sum": "ns",
    "dram__bytes.sum": "bytes",
    "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum": "ffma",
    "smsp__sass_thread_inst_executed_op_fadd_pred_on.sum": "fadd",
    "smsp__sass_thread_inst_executed_op_fmul_pred_on.sum": "fmul",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy",
}
UNITS = {"second": 1e9, "msecond": 1e6, "usecond": 1e3, "nsecond": 1.0, "s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
UNITS |= {"byte": 1.0, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9, "inst": 1.0, "%": 1.0, "": 1.0}


def main() -> int:
    """Run or tell; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("metrics", "run", "table"))
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--top", type=int, default=5, help="kernels to show")
    parser.add_argument("--bandwidth", type=float, default=3.35e12, help="bytes per second (default: an H100's)")
    parser.add_argument("--peak", type=float, default=67e12, help="float32 operations per second (default: an H100's)")
    parser.add_argument("--quick", action="store_true", help="a tiny problem")
    chosen = parser.parse_args()
    if chosen.what == "metrics":
        print(",".join(METRICS))
    elif chosen.what == "run":
        run(chosen.quick)
    else:
        print("\n".join(table(chosen.file, chosen.top, chosen.bandwidth, chosen.peak)))
    return 0


def run(quick: bool) -> None:
    """Two steps after the first ones, and a search."""
    import numpy as np
    from objective import REFERENCE
    from peers.gpu_milk import Program, Search
    from shapes import BABY, TINY, Problem, write

    with tempfile.TemporaryDirectory(prefix="milk-bench-") as folder:
        write(TINY if quick else BABY, Path(folder))
        program = Program(Problem(Path(folder)), REFERENCE, given=False, replayed=False)
        program.run(3)
    rng = np.random.default_rng(0)
    many = 2_000 if quick else 30_000
    Search(*(rng.standard_normal((n, 64), dtype=np.float32) for n in (many, many)), 20).search()


def table(path: Path, top: int, bandwidth: float, peak: float) -> list[str]:
    """Lines of the table, from a CSV of ncu's raw page: names, units, then a line for each launch."""
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.startswith('"')]
    header, units, *launches = list(csv.reader(lines))
    spent: dict[str, list[dict[str, float]]] = defaultdict(list)
    for launch in launches:
        row = dict(zip(header, launch, strict=True))
        unit = dict(zip(header, units, strict=True))
        spent[row["Kernel Name"]].append({short: number(row[long], unit[long]) for long, short in METRICS.items()})
    longest = sorted(spent, key=lambda name: -sum(each["ns"] for each in spent[name]))[:top]
    out = [
        "| kernel | launches | microseconds | share of bandwidth | share of peak | warps active |",
        "|---|---|---|---|---|---|",
    ]
    return out + [_line(name, spent[name], bandwidth, peak) for name in longest]


def number(text: str, unit: str) -> float:
    """A value of ncu in bytes, nanoseconds, instructions or per cent."""
    return float(text.replace(",", "")) * UNITS[unit]


def _line(name: str, launches: list[dict[str, float]], bandwidth: float, peak: float) -> str:
    total: dict[str, Any] = {key: sum(each[key] for each in launches) for key in launches[0]}
    seconds = total["ns"] / 1e9
    operations = 2 * total["ffma"] + total["fadd"] + total["fmul"]
    shares = total["bytes"] / seconds / bandwidth, operations / seconds / peak, total["occupancy"] / 100 / len(launches)
    cells = name[:60], len(launches), f"{1e6 * seconds / len(launches):.1f}", *(f"{share:.0%}" for share in shares)
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
