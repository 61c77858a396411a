"""Renews the table of docs/hardening.md from the records of the harnesses; with `--run`, runs these first.

python tests/hardening_table.py                  # the table, from tests/hardening/records.json
python tests/hardening_table.py --run 10         # about ten minutes for each harness, added to the records
python tests/hardening_table.py --run 0.2 --fresh
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "hardening"))

from records import Record, read_records

HERE = Path(__file__).resolve().parent
RECORDS, PAGE = HERE / "hardening" / "records.json", HERE.parent / "docs" / "hardening.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of the table -->"


def commands(minutes: float, seed: int) -> list[list[str]]:
    """What runs every harness for about so long on two cores."""
    options = ["--seed", str(seed)]
    return [
        ["crashes.py", *options, "--points", str(max(1, round(20 * minutes)))],
        ["kills.py", *options, "--count", str(max(1, round(80 * minutes)))],
        ["kills.py", *options, "--anew", "--count", str(max(1, round(6 * minutes)))],
        ["interrupts.py", *options, "--within", "2", "--count", str(max(1, round(minutes)))],
        ["fuzz.py", *options, "--minutes", str(minutes)],
        ["cycles.py", *options, "--count", str(max(20, round(500 * minutes)))],
        ["cycles.py", *options, "--minutes", str(minutes)],
    ]


def rows(records: Sequence[Record]) -> list[str]:
    """Rows of the table: what was tried, how often, what was wrong, seeds, minutes."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    of: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        for what, count in record.tried.items():
            if count:
                of[record.harness, what].append(record)
                found[record.harness, what] += count
    lines = ["| harness | tried | times | wrong | seeds | minutes |", "|---|---|---|---|---|---|"]
    for (harness, what), count in found.items():
        mine = of[harness, what]
        seeds = ", ".join(map(str, sorted({record.seed for record in mine})))
        wrong, minutes = sum(len(record.wrong) for record in mine), sum(record.seconds for record in mine) / 60
        lines.append(f"| {harness} | {what} | {count:,} | {wrong} | {seeds} | {minutes:.1f} |")
    return lines


def renewed(page: str, records: Sequence[Record]) -> str:
    """The page with the table of these records."""
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + "\n".join(rows(records)) + "\n" + END + rest.partition(END)[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Run if asked to, then write the page; 1 if a harness found anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=float, metavar="MINUTES", help="run every harness for about so long")
    parser.add_argument("--fresh", action="store_true", help="forget earlier records")
    parser.add_argument("--seed", type=int, default=0, help="seed of the harnesses (default: 0)")
    given = parser.parse_args(argv)
    if given.fresh:
        RECORDS.unlink(missing_ok=True)
    failed = 0
    for line in commands(given.run, given.seed) if given.run else ():
        failed |= subprocess.run(
            [sys.executable, HERE / line[0], *line[1:], "--record", RECORDS], check=False
        ).returncode
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), read_records(RECORDS)), encoding="utf-8")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
