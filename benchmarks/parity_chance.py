"""How often would this project's MILK meet its own figures? `python benchmarks/parity_chance.py [--seeds 33]`

`parity.py` compares means over three seeds with means over three seeds of the authors' program, within tolerances that
are about as wide as three seeds scatter. Here many seeds are trained, and two things are counted over random triples of
them: how many figures of one triple are off another triple's, by the rule of `parity.py`, and how far the authors'
figures lie from the mean of all seeds, beside how far triples of ours lie from that of the rest. If both programs learn
the same, the authors' figures are one more triple.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS
from numpy.typing import NDArray
from parity import LOSSES, allowance, data_folder, train_all
from worker import pin_threads

Floats = NDArray[np.float64]
DRAWS = 4000
TRIPLE = 3


def allowances(names: list[str], mean: Floats, deviation: Floats, tolerance: dict[str, float]) -> Floats:
    """How far off each figure (epochs, names) may be, by the rule of `parity.py`."""
    allowed = np.empty_like(mean)
    for (epoch, column), value in np.ndenumerate(mean):
        spread = {"mean": value, "deviation": deviation[epoch, column]}
        name = names[column]
        allowed[epoch, column] = allowance(name, value if name in LOSSES else spread, tolerance)[1]
    return allowed


def distance(mean: Floats, others: Floats) -> float:
    """Mean square of how far a triple's figures lie from the mean of `others` (seeds, epochs, names), in deviations."""
    error = others.std(axis=0, ddof=1) * np.sqrt(1 / TRIPLE + 1 / len(others))
    return float(np.mean(((mean - others.mean(axis=0)) / error) ** 2))


def compare(ours: Floats, target: Floats, allowed: Floats, names: list[str], tolerance: dict[str, float]) -> str:
    """The counts of one file in words."""
    rng = np.random.default_rng(0)
    theirs, among, far = np.empty(DRAWS), np.empty(DRAWS), np.empty(DRAWS)
    for draw in range(DRAWS):
        order = rng.permutation(len(ours))
        one, other = ours[order[:TRIPLE]].mean(axis=0), ours[order[TRIPLE : 2 * TRIPLE]]
        mean = other.mean(axis=0)
        theirs[draw] = (np.abs(one - target) > allowed).sum()
        among[draw] = (np.abs(one - mean) > allowances(names, mean, other.std(axis=0, ddof=1), tolerance)).sum()
        far[draw] = distance(one, ours[order[TRIPLE:]])
    reached = (far >= distance(target, ours)).mean()
    return (
        f"of {target.size} figures, {theirs.mean():.1f} of a triple of ours are off the authors', {among.mean():.1f} "
        f"off another of ours; none is off in {(theirs == 0).mean():.1%} and in {(among == 0).mean():.1%} of the "
        f"cases; the authors' are off the mean of all seeds by a mean square of {distance(target, ours):.2f}, which "
        f"{reached:.0%} of our own triples reach"
    )


def figures(name: str, reference: dict[str, Any], folder: Path, seeds: range) -> str:
    """Train all seeds on one file and compare."""
    rows, runs = train_all(folder, reference, name, seeds)
    names = list(runs[0][rows[0]["epoch"]])
    ours = np.array([[[one[row["epoch"]][key] for key in names] for row in rows] for one in runs])
    target = np.array([[row[key] if key in LOSSES else row[key]["mean"] for key in names] for row in rows])
    deviation = np.array([[0 if key in LOSSES else row[key]["deviation"] for key in names] for row in rows])
    allowed = allowances(names, target, deviation, reference["tolerance"])
    return f"{name}, {len(runs)} seeds: {compare(ours, target, allowed, names, reference['tolerance'])}"


def main() -> int:
    """Command."""
    reference = json.loads((RESULTS / "parity_reference.json").read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(reference["align_weight"])
    parser.add_argument("--files", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {names}")
    parser.add_argument("--seeds", type=int, default=33)
    chosen = parser.parse_args()
    folder = data_folder()
    if folder is None:
        return 2
    pin_threads()
    for name in chosen.files:
        print(figures(name, reference, folder, range(2023, 2023 + chosen.seeds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
