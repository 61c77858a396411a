"""milk-merge: the parts of lists that milk-recommend --shard or Dask wrote, as one file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from milk_np.cli.common import run_command
from milk_np.cli.parser import Parser
from milk_np.errors import SettingsError

PROGRAM = "milk-merge"
DESCRIPTION = """Make one file of the parts of lists that milk-recommend --shard wrote, or Dask.

All parts have to be there, once each, and made of the same model, data, users and options; what is missing or differs
is named. The file has the lists in the order of one call for all users, and appears when it is complete."""
EXAMPLES = (
    "milk-merge lists/ --out lists.parquet",
    "milk-merge 1.parquet 2.parquet 3.parquet --out lists.csv",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-merge`; returns the exit code."""
    return run_command(PROGRAM, body, argv)


def body(line: list[str]) -> int:
    """Parse the line, check the parts and write the file."""
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument("parts", nargs="+", metavar="FILE|DIR", help="parts, or folders of parts (.parquet)")
    parser.add_argument("--out", required=True, metavar="FILE", help="write .parquet, .csv or .jsonl (no default)")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    given = parser.parse_args(line)
    from milk_np.serving import output, parts

    output.writer_for(given.out)
    n = parts.merge([path for name in given.parts for path in _files(Path(name), Path(given.out))], given.out)
    if not given.quiet:
        print(f"wrote the lists of {n:,} parts to {given.out}")
    return 0


def _files(path: Path, out: Path) -> list[Path]:
    """The files that an argument names; in a folder, an earlier result of this command isn't a part."""
    if not path.exists():
        raise SettingsError(f"{path}: no such file or folder; expected parts written by milk-recommend --shard")
    return sorted(file for file in path.glob("*.parquet") if file != out) if path.is_dir() else [path]


if __name__ == "__main__":
    sys.exit(main())
