"""Compare this project's MILK with the authors' program: `python benchmarks/parity.py [--seeds 3] [--files NAME ...]`.

Trains with the settings of results/parity_reference.json on the fixed splits and masks in the folder `parity` of
`MILK_DATA`, and prints every figure beside the one to meet. Exits with 1 when one is off, with 2 without the data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

from harness import RESULTS, markdown
from worker import pin_threads

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.milk.model import Milk
from milk_np.training.progress import Progress

Figures = dict[str, float]
LOSSES = ("total", "bpr0", "variance", "alignment")


def collect(model: Milk, ds: Dataset, epochs: list[int], into: dict[int, Figures]) -> Callable[[Progress], None]:
    """A callback that stores the figures of the epochs asked for."""

    def at(event: Progress) -> None:
        if event.kind != "evaluation" or event.epoch not in epochs:
            return
        test = evaluate(model, ds, Split.TEST, topk=(20,)).metrics
        found = {f"valid {name}": event.metrics[name] for name in ("recall@20", "ndcg@20")}
        found |= {f"test {name}": test[name] for name in ("recall@20", "ndcg@20")}
        into[event.epoch] = found | {name: event.losses[name] for name in LOSSES}

    return at


def train(ds: Dataset, settings: dict[str, Any], epochs: list[int], seed: int) -> dict[int, Figures]:
    """Figures of one run at each of `epochs`, without early stopping."""
    figures: dict[int, Figures] = {}
    model = Milk(**settings, epochs=max(epochs), eval_every=10, patience=0, seed=seed)
    model.fit(ds, callback=collect(model, ds, epochs, figures))
    return figures


def allowance(name: str, target: Any, tolerance: dict[str, float]) -> tuple[float, float]:
    """The figure to meet, and how far off it may be."""
    if name in LOSSES:
        return target, tolerance[name] * abs(target)
    return target["mean"], max(tolerance["deviations"] * target["deviation"], tolerance["metric"])


def compare(row: dict[str, Any], found: Figures, tolerance: dict[str, float]) -> tuple[dict[str, Any], int]:
    """A line of the table, and how many of its figures are off."""
    line: dict[str, Any] = {"file": row["file"], "epoch": row["epoch"]}
    off = 0
    for name, value in found.items():
        target, most = allowance(name, row[name], tolerance)
        good = abs(value - target) <= most
        off += not good
        line[name] = f"{value:.4g} / {target:.4g} {'ok' if good else 'OFF'}"
    return line, off


def train_all(
    folder: Path, reference: dict[str, Any], name: str, seeds: range
) -> tuple[list[dict[str, Any]], list[dict[int, Figures]]]:
    """The reference's rows of one file, and the figures of a run with each seed."""
    ds = Dataset.load(folder / f"{name}.npz")
    rows = [row for row in reference["rows"] if row["file"] == name]
    settings = reference["settings"] | {"align_weight": reference["align_weight"][name]}
    return rows, [train(ds, settings, [row["epoch"] for row in rows], seed) for seed in seeds]


def data_folder() -> Path | None:
    """The folder of the fixed splits; None, with a word, where there is none."""
    folder = Path(os.environ.get("MILK_DATA", "")) / "parity"
    if os.environ.get("MILK_DATA") and folder.is_dir():
        return folder
    print("parity: set MILK_DATA to a folder that has parity/lfm2k-ftmt.npz and the others", file=sys.stderr)
    return None


def run(folder: Path, reference: dict[str, Any], names: list[str], seeds: range) -> int:
    """Print the comparison; the number of figures that are off."""
    lines, wrong = [], 0
    for name in names:
        rows, runs = train_all(folder, reference, name, seeds)
        for row in rows:
            found = {key: mean(one[row["epoch"]][key] for one in runs) for key in runs[0][row["epoch"]]}
            line, off = compare(row, found, reference["tolerance"])
            lines.append(line)
            wrong += off
    print(f"Each cell: ours / to meet. Means over seeds {seeds[0]} to {seeds[-1]}.\n")
    print("\n".join(markdown(list(lines[0]), lines)))
    print(f"\n{wrong} of {sum(len(line) - 2 for line in lines)} figures are off.")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Command."""
    reference = json.loads((RESULTS / "parity_reference.json").read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(reference["align_weight"])
    parser.add_argument("--files", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {names}")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds to average over")
    parser.add_argument("--first-seed", type=int, default=2023, help="the first of them (default: the authors')")
    chosen = parser.parse_args(arguments)
    folder = data_folder()
    if folder is None:
        return 2
    pin_threads()
    return 1 if run(folder, reference, chosen.files, range(chosen.first_seed, chosen.first_seed + chosen.seeds)) else 0


if __name__ == "__main__":
    sys.exit(main())
