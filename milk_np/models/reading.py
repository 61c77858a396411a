"""What a model's file holds, tried before anybody asks the model: arrays that don't fit together are told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from milk_np.errors import DataError, MilkError
from milk_np.models.base import Vectors


def try_arrays(model: Any, path: str | Path, arrays: dict[str, Any]) -> None:
    """Let a `StoredModel` read its arrays; DataError, which names the file, unless they fit together."""
    try:
        model._read(path, arrays)
        ends = np.array([0, model.catalogue.n_users - 1][: model.catalogue.n_users], np.int32)
        widths = {"users": model.user_factors(ends).shape[1], "items": model._stored_items().shape[1]}
        if not model.described and model.settings.device == "cpu":
            widths["new items"] = _new_item(model).shape[1]
    except DataError as error:
        raise error if str(error).startswith(str(path)) else DataError(f"{path}: {error}") from error
    except MilkError:
        raise
    except Exception as error:  # nearly anything, an array's type that a kernel doesn't know included
        raise DataError(
            f"{path}: its arrays don't fit together ({error}); the file is damaged, write it again"
        ) from error
    if len(set(widths.values())) > 1:
        found = ", ".join(f"{width} of {whose}" for whose, width in widths.items())
        raise DataError(f"{path}: expected vectors of one length, got {found} numbers; write it again")


def _new_item(model: Any) -> Vectors:
    """The vector of an item that has all modalities; a history is tried, too."""
    widths = model.fitted_imputer().widths
    made: Vectors = model.encode_items({name: np.ones((1, width), np.float32) for name, width in widths.items()})
    if model.serves_histories and model.catalogue.n_items:
        model.encode_users([np.zeros(1, np.int32)])
    return made
