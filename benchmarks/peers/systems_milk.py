"""One of the paper's other systems as this project trains it, and its first batches, for the other programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.models.registry import make_model, make_settings
from milk_np.nn.embedding import RowGradient
from milk_np.nn.linear import Rows
from peers.milk_engine import dataset

BATCHES = 6
"""Batches that the other programs go round and round."""
PRETRAINED = ("dropoutnet", "heater", "gar", "gorec")
STILL = {"gar": ("generator_dropout", "recommender_dropout"), "gorec": ("dropout",)}
"""Rates of dropout, which are 0 where gradients are compared: programs draw other masks."""


class Program:
    """`run(steps)` trains on; `gradients` are those of the first step, `given` what it and the next ones take."""

    def __init__(self, problem: Any, system: str, still: bool = False) -> None:
        self.system, self.at = system, 0
        options: dict[str, Any] = {"model": system}
        options |= {"backbone": "svd"} if system in PRETRAINED else {}
        options |= dict.fromkeys(STILL.get(system, ()), 0.0) if still else {}
        self.model = make_model(make_settings(options))
        self.trainer = self.model.trainer(dataset(problem))

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches, drawing them too; the loss of each."""
        losses = []
        for _ in range(steps):
            epoch, step = divmod(self.at, self.trainer.steps)
            self.trainer.step(epoch + 1, step)
            losses.append(float(self.trainer._record[step].sum()))
            self.at += 1
        self.trainer.flush()
        return losses

    def steps(self) -> int:
        """Steps of an epoch; of DropoutNet, whose epochs are parts of a pass, those of a pass."""
        return self.trainer._sampler.batches if self.system == "dropoutnet" else self.trainer.steps

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of all tables at the first step, without taking it."""
        tables = self.trainer.tables
        kept, found = {name: x.copy() for name, x in tables.items()}, {}
        for optimiser in self.trainer.several._optimisers.values():
            optimiser.step = found.update
        self.trainer.learn(1, 0)
        for optimiser in self.trainer.several._optimisers.values():
            del optimiser.step
        for name, x in kept.items():
            tables[name][...] = x
        return {name: whole(gradient, tables[name]) for name, gradient in found.items()}

    def given(self) -> dict[str, np.ndarray]:
        """Tables ("t/NAME"), content ("x") and the first batches ("b/NUMBER/NAME")."""
        arrays = {f"t/{name}": x for name, x in self.trainer.tables.items()} | {"x": self.model._x}
        for number in range(BATCHES):
            epoch, step = divmod(number, self.trainer.steps)
            batch = BATCH[self.system](self.trainer, epoch + 1, step)
            arrays |= {f"b/{number}/{name}": np.asarray(x) for name, x in batch.items()}
        return arrays | graphs_of(self.trainer)


def whole(gradient: Any, table: np.ndarray) -> np.ndarray:
    """A gradient of rows as that of the table."""
    if not isinstance(gradient, RowGradient):
        return gradient
    out = np.zeros_like(table)
    out[gradient.ids] = gradient.values
    return out


def graphs_of(trainer: Any) -> dict[str, np.ndarray]:
    """MICRO's matrices, each with its transpose, and which items own a modality."""
    if not hasattr(trainer, "_graphs"):
        return {}
    graphs = {"pairs": trainer._graphs.pairs} | {f"items{m}": graph for m, graph in enumerate(trainer._graphs.items)}
    found = {"g/owned": trainer._graphs.owned}
    for name, graph in graphs.items():
        for way, matrix in zip(("forward", "back"), graph, strict=True):
            parts = {"indptr": matrix.indptr, "indices": matrix.indices, "weights": matrix.weights}
            found |= {f"g/{name}/{way}/{part}": x for part, x in parts.items()}
            found[f"g/{name}/{way}/columns"] = np.array(matrix.columns)
    return found


def dropoutnet(trainer: Any, epoch: int, step: int) -> dict[str, Any]:
    """Users, items, and whose vectors are kept."""
    users, items = trainer._sampler.batch(*trainer._sampler.place(epoch, step))
    batch = trainer._batch(epoch, step)
    return {"users": users, "items": items, "keep_u": batch.keep_u, "keep_v": batch.keep_v}


def mtpr(trainer: Any, epoch: int, step: int) -> dict[str, Any]:
    """Users, and items chosen and drawn."""
    users, items = trainer._sampler.batch(epoch, step)
    return {"users": users, "items": items}


def heater(trainer: Any, epoch: int, step: int) -> dict[str, Any]:
    """Users, items, labels, and where content stands in for vectors."""
    users, items, labels = trainer._sampler.batch(epoch, step)
    return {"users": users, "items": items, "y": labels, "replaced": trainer._batch(epoch, step).replaced}


def clcrec(trainer: Any, epoch: int, step: int) -> dict[str, Any]:
    """Distinct items and users, candidates, and which are seen by content."""
    batch = trainer.batch(epoch, step)
    names = ("ids", "people", "user", "slots", "replaced")
    return {name: getattr(batch, name) for name in names}


def ccfcrec(trainer: Any, epoch: int, step: int) -> dict[str, Any]:
    """Distinct items and users, groups of candidates, other users."""
    batch = trainer.batch(epoch, step)
    names = ("own", "ids", "people", "slots", "user", "other")
    mine = batch.x[0].ids if isinstance(batch.x[0], Rows) else None
    return {"mine": mine, "widths": np.array(trainer._widths)} | {name: getattr(batch, name) for name in names}


def gar(trainer: Any, epoch: int, step: int) -> dict[str, Any]:
    """Users, items they chose, and drawn ones."""
    return dict(zip(("users", "chosen", "drawn"), trainer._sampler.batch(epoch, step), strict=True))


def gorec(trainer: Any, epoch: int, step: int) -> dict[str, Any]:
    """Items and both noises."""
    batch = trainer.batch(epoch, step)
    return {"ids": batch.x.ids, "noise": batch.noise}


def micro(trainer: Any, epoch: int, step: int) -> dict[str, Any]:
    """Users, distinct items, places of those chosen and drawn, and of those that own each modality."""
    batch = trainer.batch(epoch, step)
    names = ("users", "ids", "better", "worse")
    anchors = {f"anchors{m}": places for m, places in enumerate(batch.anchors)}
    return {name: getattr(batch, name) for name in names} | anchors


BATCH = {
    "dropoutnet": dropoutnet, "mtpr": mtpr, "heater": heater, "clcrec": clcrec, "ccfcrec": ccfcrec, "gar": gar,
    "gorec": gorec, "micro": micro,
}  # fmt: skip
