"""What a harness tried and found, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """Counts of what was tried, what was wrong, the seed, and how long it took."""

    harness: str
    tried: dict[str, int]
    wrong: list[str]
    seed: int
    seconds: float

    def text(self) -> str:
        """In a line."""
        counts = ", ".join(f"{count:,} {what}" for what, count in self.tried.items())
        return f"{self.harness}: {counts}; {len(self.wrong)} wrong, seed {self.seed}, {self.seconds:.0f} s"


def write_record(path: Path, record: Record) -> None:
    """Add a record to those in the file."""
    found = read_records(path)
    path.write_text(json.dumps([*map(asdict, found), asdict(record)], indent=1) + "\n")


def reported(record: Record, path: Path | None) -> int:
    """Print a record, keep it in the file if one is given; 1 if anything was wrong, as an exit code."""
    print(record.text(), flush=True)
    if path:
        write_record(path, record)
    return int(bool(record.wrong))


def read_records(path: Path) -> list[Record]:
    """All records in a file; none if there is no file."""
    return [Record(**each) for each in json.loads(path.read_text())] if path.exists() else []
