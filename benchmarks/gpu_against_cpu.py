"""Train the same runs on the GPU and on the CPU: `python benchmarks/gpu_against_cpu.py [--epochs N] [DATA ...]`.

Runs `bin/milk-train` twice on the built-in set and on each data set (.npz or folder), compares losses of the first
epoch and the metrics of valid and test items, and prints a table. Ends with 1 if a difference is over its tolerance,
with 5 where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import markdown

ROOT = Path(__file__).resolve().parents[1]
LOSS, METRIC = 1e-4, 2e-3
"""Greatest differences: of the first epoch's losses by their size, of metrics as they are. After many steps rounding
alone makes runs differ; metrics of some hundred users then differ in a few places of their lists."""


def main() -> int:
    """Compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, help="data sets beside the built-in one")
    parser.add_argument("--epochs", type=int, default=5)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="milk-gpu-") as folder:
        for number, data in enumerate([None, *chosen.data]):
            runs = [
                trained(Path(folder) / f"{number}-{device}", data, device, chosen.epochs) for device in ("cpu", "gpu")
            ]
            if None in runs:
                return 5
            rows.append(compared(data.stem if data else "built-in", *runs))
    print("\n".join(markdown(list(rows[0]), rows)), flush=True)
    return int(any(row["verdict"] != "same" for row in rows))


def trained(out: Path, data: Path | None, device: str, epochs: int) -> tuple[dict, dict, float] | None:
    """First line of a run's metrics.jsonl, its summary, and seconds; None without a device."""
    source = ["--data", str(data)] if data else []
    line = [
        str(ROOT / "bin/milk-train"),
        *source,
        "--protocol",
        "FTMT",
        "--epochs",
        str(epochs),
        "--eval-every",
        str(epochs),
    ]
    start = time.perf_counter()
    python = shlex.split(os.environ.get("PYTHON", sys.executable))  # an emulator of a device may stand before it
    done = subprocess.run([*python, *line, "--device", device, "--out", str(out), "--quiet"], check=False)
    if done.returncode == 5:
        return None
    if done.returncode:
        raise RuntimeError(f"milk-train ended with {done.returncode}: {' '.join(line)} --device {device}")
    first = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    return first, json.loads((out / "summary.json").read_text()), time.perf_counter() - start


def compared(name: str, cpu: tuple[dict, dict, float], gpu: tuple[dict, dict, float]) -> dict[str, object]:
    """A row of the table."""
    losses, summaries, seconds = zip(cpu, gpu, strict=True)
    one, other = (each["losses"] for each in losses)
    loss = max(abs(other[key] / one[key] - 1) if one[key] else abs(other[key]) for key in one)
    metric = max(
        abs(summaries[0][split][key] - summaries[1][split][key])
        for split in ("valid", "test")
        for key, value in summaries[0][split].items()
        if isinstance(value, float)
    )
    same = loss <= LOSS and metric <= METRIC
    return {
        "data": name,
        "test ndcg@20, CPU": summaries[0]["test"]["ndcg@20"],
        "GPU": summaries[1]["test"]["ndcg@20"],
        "losses differ by": f"{loss:.1e}",
        "metrics differ by": f"{metric:.1e}",
        "s, CPU": seconds[0],
        "s, GPU": seconds[1],
        "verdict": "same" if same else "DIFFERENT",
    }


if __name__ == "__main__":
    sys.exit(main())
