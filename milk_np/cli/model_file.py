"""What a command's --model and --data refer to: a trained model, or one without training, on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from milk_np.cli.settings import model_help
from milk_np.data import Dataset
from milk_np.errors import SettingsError
from milk_np.models import registry
from milk_np.models.base import Recommender
from milk_np.settings.shared import Settings
from milk_np.training.run_folder import model_in

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
    file = model_in(text, "--model ")
    if not file.is_file():
        raise SettingsError(f"--model {text}: does not exist; expected a {model_help()}")
    return file


def refuse_without_data(model: str, data: str | None) -> None:
    """Raise SettingsError for a model without training, which knows nothing, without --data."""
    if data is None and is_untrained(model):
        raise SettingsError(f"--model {model}: needs no training but data to rank; give them with --data")


def make_untrained(text: str, ds: Dataset, settings: Settings) -> Recommender:
    """The model without training that --model names, made from `ds`."""
    return registry.make_model(registry.adapted(settings, {"model": text})).fit(ds)
