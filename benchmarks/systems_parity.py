"""Compare the accuracy of the paper's other systems with programs for PyTorch, after the same training.

`python benchmarks/systems_parity.py [SYSTEM ...] [--data built-in|lfm2k] [--epochs N] [--seeds 3]`; PyTorch has to be
installed, and lfm2k is a folder of the folder that `MILK_DATA` names.

With each seed both begin with the same tables and take the same batches, for as many epochs, without early stopping:
this project by its gradients, kernels and optimisers, the other by autograd and torch.optim (`peers/
systems_torch_losses.py`). Dropout and GoRec's noise are drawn by each program for itself. What PyTorch learned is put
into a model of this project, so that both are scored and evaluated alike: NDCG@20 on test items, FTMT. Learning is
compared, not the best accuracy: settings are the defaults, pretrained tables singular vectors, epochs few. Writes
results/systems_parity.json, where runs of other systems and data stay. Exits with 1 where two means are further apart
than the seeds' deviation, with 2 without PyTorch or the data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from harness import RESULTS, installed, machine, markdown
from peers import systems_milk
from worker import pin_threads

from milk_np.data import Dataset, apply_protocol, from_folder, make_synthetic
from milk_np.data.arrays import Split
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.registry import make_model, make_settings

EPOCHS = {
    "gorec": 30, "mtpr": 4, "dropoutnet": 6, "ccfcrec": 3, "gar": 3, "micro": 3, "clcrec": 1, "heater": 1,
}  # fmt: skip
"""Epochs of a system, few where they are dear."""
RATES: dict[str, Callable[[int, int], float]] = {
    "heater": lambda step, steps: 0.8 ** (step // (10 * steps)),
    "micro": lambda step, steps: 0.96 ** (step / (50 * steps)),
}
"""What learning rates are multiplied by before a step, of so many in an epoch; 1 for other systems (DropoutNet's falls
after hundreds of epochs)."""
DATA = ("built-in", "lfm2k")
METRIC = "ndcg@20"


def load(name: str) -> Dataset | None:
    """A data set, half of its new items without a modality; None where it isn't there."""
    if name == "built-in":
        return apply_protocol(make_synthetic(), "FTMT")
    folder = os.environ.get("MILK_DATA")
    path = Path(folder or "", name)
    return apply_protocol(from_folder(path), "FTMT") if folder and path.is_dir() else None


def start(system: str, ds: Dataset, seed: int) -> tuple[Any, Any]:
    """A model with its first tables, and its trainer."""
    options = {"model": system, "seed": seed} | ({"backbone": "svd"} if system in systems_milk.PRETRAINED else {})
    model: Any = make_model(make_settings(options))
    return model, model.trainer(ds)


def learn(trainer: Any, epochs: int) -> None:
    """This project's training."""
    for epoch in range(1, epochs + 1):
        for step in range(trainer.steps):
            trainer.step(epoch, step)
    trainer.flush()


def learn_by_torch(system: str, model: Any, trainer: Any, epochs: int, seed: int) -> None:
    """PyTorch's training from the same tables on the same batches; its tables are put into the model."""
    from peers.systems_torch import Learner

    given = {"x": model._x, **{f"t/{name}": x.copy() for name, x in trainer.tables.items()}}
    learner = Learner(given | systems_milk.graphs_of(trainer), system, seed)
    for epoch in range(1, epochs + 1):
        for step in range(trainer.steps):
            taken = (epoch - 1) * trainer.steps + step
            rate = RATES[system](taken, trainer.steps) if system in RATES else 1.0
            learner.step(systems_milk.BATCH[system](trainer, epoch, step), rate)
    for name, x in learner.tables().items():
        trainer.tables[name][...] = x
    model.moved()


def score(model: Any, ds: Dataset) -> float:
    """NDCG@20 on test items."""
    return float(evaluate(model, ds, Split.TEST, topk=(20,)).metrics[METRIC])


def compare(system: str, ds: Dataset, epochs: int, seeds: range) -> dict[str, list[float]]:
    """Figures of both programs, seed by seed, and before any training."""
    found: dict[str, list[float]] = {"untrained": [], "milk_np": [], "torch": []}
    for seed in seeds:
        model, trainer = start(system, ds, seed)
        found["untrained"].append(score(model, ds))
        learn(trainer, epochs)
        found["milk_np"].append(score(model, ds))
        model, trainer = start(system, ds, seed)
        learn_by_torch(system, model, trainer, epochs, seed)
        found["torch"].append(score(model, ds))
    return found


def row(system: str, data: str, epochs: int, found: dict[str, list[float]]) -> dict[str, Any]:
    """A line of the table; `within`: the means are no further apart than either program's seeds deviate."""
    ours, theirs = found["milk_np"], found["torch"]
    apart = mean(ours) - mean(theirs)
    return {
        "system": system,
        "data": data,
        "epochs": epochs,
        "untrained": f"{mean(found['untrained']):.4f}",
        "milk_np": f"{mean(ours):.4f} ± {stdev(ours):.4f}",
        "torch": f"{mean(theirs):.4f} ± {stdev(theirs):.4f}",
        "difference": f"{apart:+.4f}",
        "greatest of a seed": f"{max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.4f}",
        "within": "ok" if abs(apart) <= max(stdev(ours), stdev(theirs)) else "OFF",
    }


def run(systems: list[str], data: str, epochs: int, seeds: range, out: Path) -> int:
    """Print and save the table; the exit code."""
    ds = load(data)
    if ds is None or not installed("torch"):
        print("systems_parity: PyTorch isn't installed, or MILK_DATA names no folder with lfm2k", file=sys.stderr)
        return 2
    rows, done = [], json.loads(out.read_text())["runs"] if out.exists() else {}
    for system in systems:
        begun, count = time.process_time(), epochs or EPOCHS[system]
        found = compare(system, ds, count, seeds)
        took = round(time.process_time() - begun, 1)
        done[f"{data}/{system}"] = {"epochs": count, "seeds": list(seeds), "core_seconds": took, **found}
        rows.append(row(system, data, count, found))
        print(rows[-1], file=sys.stderr, flush=True)
        saved = {"machine": machine(), "metric": f"test {METRIC}", "runs": dict(sorted(done.items()))}
        out.write_text(json.dumps(saved, indent=1) + "\n")
    print("\n".join(markdown(list(rows[0]), rows)))
    return int(any(line["within"] == "OFF" for line in rows))


def main(arguments: list[str] | None = None) -> int:
    """Command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(EPOCHS)}; all by default")
    parser.add_argument("--data", choices=DATA, default=DATA[0], help="data set")
    parser.add_argument("--epochs", type=int, default=0, help="epochs of every system (default: by system)")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds, at least 2")
    parser.add_argument("--out", type=Path, default=RESULTS / "systems_parity.json", help="file of results")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.systems if name not in EPOCHS]:
        parser.error(f"no system {', '.join(unknown)}; there are {', '.join(EPOCHS)}")
    if given.seeds < 2:
        parser.error(f"--seeds {given.seeds}: a deviation needs at least 2")
    pin_threads()
    return run(given.systems or list(EPOCHS), given.data, given.epochs, range(given.seeds), given.out)


if __name__ == "__main__":
    sys.exit(main())
