"""A small model with ids, and its service."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from milk_np.data import Dataset, make_synthetic
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.stored import StoredModel, load
from milk_np.service.core import Service

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer versions ask for another client, which older ones don't know
    import httpx as httpx  # the client is made of it
    from fastapi.testclient import TestClient as TestClient


@dataclass(frozen=True)
class Case:
    """A data set and a model, in files and loaded."""

    folder: Path
    ds: Dataset
    model: StoredModel

    @property
    def file(self) -> Path:
        return self.folder / "model.npz"

    def service(self, journal: Path, titles: bool = True) -> Service:
        """A service on the model's file."""
        names = {f"i{n}": f"Thing {n} <b>&" for n in range(0, self.ds.n_items, 2)} if titles else {}
        return Service(lambda: load(self.file), str(journal), names, self.ds)


def make_case(folder: Path, seed: int = 3) -> Case:
    """Users u0, u1, ..., items i0, i1, ...; half of the items are new."""
    ds = make_synthetic(40, 80, 700, {"image": 5, "text": 4}, new_items=0.5, seed=seed)
    users, items = (np.array([f"{kind}{n}" for n in range(size)]) for kind, size in (("u", 40), ("i", 80)))
    ds = replace(ds, user_ids=users, item_ids=items)
    model = KernelProfile().fit(ds)
    ds.save(folder / "data.npz")
    model.save(folder / "model.npz")
    return Case(folder, ds, model)
