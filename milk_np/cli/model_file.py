"""What a command's --model and --data refer to: a trained model, or one without training, on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.choices import model_help
from milk_np.data import Dataset
from milk_np.data.rows import row_blocks
from milk_np.errors import DataError, SettingsError
from milk_np.models import registry
from milk_np.models.base import Recommender, Vectors
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.histories import Ids
from milk_np.serving.ranking import TopK
from milk_np.settings.shared import Settings
from milk_np.training.run_folder import RunFolder

if TYPE_CHECKING:
    from milk_np.models.stored import StoredModel


def is_untrained(text: str) -> bool:
    """Whether --model names a model without training."""
    return text in registry.untrained()


def load_model(text: str, device: str) -> StoredModel:
    """The trained model in a run folder or a file.

    Raises SettingsError if there is none; if a run has several seeds, the message names a seed's folder.
    """
    from milk_np.models.stored import load

    return load(model_path(text), device=device)


def model_path(text: str) -> Path:
    """The file that --model names."""
    path = Path(text)
    file = RunFolder(path).model if path.is_dir() else path
    if file.is_file():
        return file
    seeds = sorted(str(seed) for seed in path.glob("seed-*") if RunFolder(seed).model.is_file())
    if seeds:
        raise SettingsError(f"--model {text}: contains several runs; choose one, such as {seeds[0]}")
    missing = f"has no {file.name}" if path.is_dir() else "does not exist"
    raise SettingsError(f"--model {text}: {missing}; expected a {model_help()}")


def make_untrained(text: str, ds: Dataset, settings: Settings) -> Recommender:
    """The model without training that --model names, made from `ds`."""
    return registry.make_model(registry.adapted(settings, {"model": text})).fit(ds)


@dataclass(frozen=True, eq=False)
class OnData:
    """A trained model that ranks the items of `ds` by their features there."""

    model: StoredModel
    ds: Dataset

    @classmethod
    def of(cls, model: StoredModel, ds: Dataset) -> OnData:
        """The model on `ds`, or DataError if it was trained with other users or modalities."""
        _check_same("users", model.catalogue.n_users, ds.n_users)
        imputer = model.imputer
        if imputer is not None:
            widths = {name: int(ds.features[name].shape[1]) for name in ds.modalities}
            _check_same("modalities", imputer.widths, widths)
        return cls(model, ds)

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `users`, or of all."""
        return self.model.user_factors(users)

    def encode_users(self, histories: Sequence[Ids]) -> Vectors:
        """Vectors (n, K) of users who weren't in training; see `Recommender.encode_users`."""
        if _item_names(self.ds) != _item_names(self.model.catalogue):
            raise DataError("--history: the items in --data differ from those of training; leave out --data")
        return self.model.encode_users(histories)

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `items`, or of all, encoded from their features in blocks."""
        ids = np.arange(self.ds.n_items, dtype=np.int32) if items is None else items
        widest = max(rows.shape[1] for rows in self.ds.features.values())
        return np.concatenate([self._encode(ids[block]) for block in row_blocks(len(ids), widest)])

    @property
    def top_k(self) -> TopK:
        """The search for the best items on the model's device."""
        return self.model.top_k

    def encode_items(self, features: Any, available: NDArray[np.bool_] | None = None) -> Vectors:
        """Vectors (n, K) of items that aren't in the data; see `Recommender.encode_items`."""
        return self.model.encode_items(features, available)

    def _encode(self, ids: NDArray[np.int32]) -> Vectors:
        owned = self.ds.available[ids]
        rows = {name: self.ds.features[name][ids] for name in self.ds.modalities}
        return self.model.encode_items(rows, owned)


def _item_names(known: Dataset | Catalogue) -> list[str] | int:
    """Original ids of the items, or the number of items where there are no ids."""
    return known.n_items if known.item_ids is None else known.item_ids.tolist()


def _check_same(what: str, trained: object, given: object) -> None:
    if trained != given:
        raise DataError(
            f"--data: {what}: expected {trained} as in training, got {given}; give the data set that the model was "
            "trained on"
        )
